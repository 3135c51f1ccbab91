#include "server/runtime/admission.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace attend::runtime {
namespace {

using Clock = Admission::Clock;
using std::chrono::seconds;

std::shared_ptr<Cancellation> CallDue(Clock::time_point deadline) { return std::make_shared<Cancellation>(deadline); }

// Admits `bytes` and keeps what came.
struct Caller {
  Admission& admission;
  std::shared_ptr<Cancellation> call;
  std::optional<Reservation> share;
  std::optional<Busy> busy;
  Admission::Ticket ticket = 0;
  bool grown = false;

  Caller(Admission& the_admission, uint64_t bytes, Clock::time_point deadline = Clock::time_point::max())
      : admission(the_admission), call(CallDue(deadline)) {
    const auto answer =
        admission.Admit(bytes, call, [this](Reservation reservation) { share = std::move(reservation); });
    if (const auto* refused = std::get_if<Busy>(&answer)) {
      busy = *refused;
    } else {
      ticket = std::get<Admission::Ticket>(answer);
    }
  }
  ~Caller() { admission.Withdraw(ticket); }  // one that waits still is not to be called any more
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  bool admitted() const { return share.has_value(); }
  Admission::Growth Grow(uint64_t bytes) {
    return admission.Grow(*share, bytes, *call, [this] { grown = true; });
  }
  void Leave() { share.reset(); }
};

TEST(Admission, AdmitsAtOnceWhatFits) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 60);
  Caller b(admission, 40);
  EXPECT_TRUE(a.admitted());
  EXPECT_TRUE(b.admitted());
  EXPECT_EQ(admission.reserved_bytes(), 100u);
  EXPECT_EQ(admission.admitted_calls(), 2);
}

TEST(Admission, NobodyOvertakesTheFirst) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 80);
  Caller b(admission, 50);
  Caller c(admission, 10);  // would fit, but b was first
  EXPECT_FALSE(b.admitted());
  EXPECT_FALSE(c.admitted());
  EXPECT_EQ(admission.waiting_calls(), 2);
  a.Leave();
  EXPECT_TRUE(b.admitted());
  EXPECT_TRUE(c.admitted());
  EXPECT_EQ(admission.reserved_bytes(), 60u);
}

TEST(Admission, TheNearestDeadlineGoesFirst) {
  const Clock::time_point now = Clock::now();
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 100);
  Caller late(admission, 100, now + seconds(20));
  Caller soon(admission, 100, now + seconds(10));
  a.Leave();
  EXPECT_TRUE(soon.admitted());
  EXPECT_FALSE(late.admitted());
  soon.Leave();
  EXPECT_TRUE(late.admitted());
}

TEST(Admission, ACallWithoutDeadlineIsNotOvertakenForEver) {
  Clock::time_point now{};
  Admission admission({.budget_bytes = 100}, [&now] { return now; });
  Caller a(admission, 100, Clock::time_point::max());
  Caller patient(admission, 100);
  now += Admission::kPatience - seconds(10);
  Caller hasty(admission, 100, now + seconds(5));
  Caller newer(admission, 100, now + seconds(15));
  a.Leave();
  EXPECT_TRUE(hasty.admitted());
  hasty.Leave();
  EXPECT_TRUE(patient.admitted());
  EXPECT_FALSE(newer.admitted());
}

TEST(Admission, BoundsTheNumberOfCalls) {
  Admission admission({.budget_bytes = 100, .max_calls = 2});
  Caller a(admission, 0);
  Caller b(admission, 1);
  Caller c(admission, 1);
  EXPECT_TRUE(b.admitted());
  EXPECT_FALSE(c.admitted());
  a.Leave();
  EXPECT_TRUE(c.admitted());
}

TEST(Admission, AFullQueueRefuses) {
  Admission admission({.budget_bytes = 100, .max_queue = 2});
  Caller a(admission, 100);
  Caller b(admission, 1);
  Caller c(admission, 1);
  Caller d(admission, 1);
  EXPECT_FALSE(c.busy.has_value());
  ASSERT_TRUE(d.busy.has_value());
  EXPECT_TRUE(d.busy->queue_full);
  EXPECT_EQ(d.busy->waiting_calls, 2);
  EXPECT_FALSE(d.busy->predicted_wait.has_value());
  a.Leave();
  EXPECT_TRUE(b.admitted());
  EXPECT_TRUE(c.admitted());
  EXPECT_FALSE(d.admitted());
}

TEST(Admission, WithoutAQueueOnlyWhatFitsAtOnceIsTaken) {
  Admission admission({.budget_bytes = 100, .max_queue = 0});
  Caller a(admission, 60);
  Caller b(admission, 60);
  EXPECT_TRUE(a.admitted());
  ASSERT_TRUE(b.busy.has_value());
}

// Ten calls a second of half the budget each go through, for a second.
class AdmissionUnderLoad : public ::testing::Test {
 protected:
  void SetUp() override {
    auto running = std::make_unique<Caller>(admission_, 50);
    Caller other(admission_, 50);
    for (int i = 0; i < 10; ++i) {
      auto next = std::make_unique<Caller>(admission_, 50);
      ASSERT_FALSE(next->admitted());
      now_ += std::chrono::milliseconds(100);
      running->share->Answered();
      running->Leave();
      ASSERT_TRUE(next->admitted());
      running = std::move(next);
    }
  }

  Clock::time_point now_ = Clock::now();
  Admission admission_{{.budget_bytes = 100}, [this] { return now_; }};
};

TEST_F(AdmissionUnderLoad, RefusesWhoWouldBeAnsweredAfterItsDeadline) {
  Caller running(admission_, 100);
  Caller behind(admission_, 100);  // without a deadline, and so behind the others
  // 5 budgets drain per second: 0.2 s until admitted, 0.2 s more until answered.
  Caller in_time(admission_, 100, now_ + std::chrono::milliseconds(550));
  EXPECT_FALSE(in_time.busy.has_value());
  ASSERT_TRUE(admission_.Withdraw(in_time.ticket));
  Caller too_late(admission_, 100, now_ + std::chrono::milliseconds(450));  // but for a margin of a quarter
  ASSERT_TRUE(too_late.busy.has_value());
  EXPECT_FALSE(too_late.busy->queue_full);
  ASSERT_TRUE(too_late.busy->predicted_wait.has_value());
  EXPECT_NEAR(too_late.busy->predicted_wait->count(), 0.2, 1e-6);
  EXPECT_NEAR(too_late.busy->predicted_answer->count(), 0.4, 1e-6);
}

TEST_F(AdmissionUnderLoad, CountsThoseAheadAlone) {
  Caller running(admission_, 100);
  Caller ahead(admission_, 100, now_ + seconds(1));
  Caller behind(admission_, 100, now_ + seconds(20));
  Caller in_time(admission_, 50, now_ + std::chrono::milliseconds(1100));  // 0.2 + 0.1 + 0.2 s
  EXPECT_FALSE(in_time.busy.has_value());
  Caller first(admission_, 100, now_ + std::chrono::milliseconds(100));
  ASSERT_TRUE(first.busy.has_value());
  EXPECT_NEAR(first.busy->predicted_wait->count(), 0.2, 1e-6);
}

TEST_F(AdmissionUnderLoad, CallsThatGiveUpSayNothingAboutTheRate) {
  Caller running(admission_, 100);
  Caller waiting(admission_, 100);
  now_ += seconds(1);
  running.Leave();
  Caller next(admission_, 100, now_ + std::chrono::milliseconds(100));
  ASSERT_TRUE(next.busy.has_value());
  EXPECT_NEAR(next.busy->predicted_wait->count(), 0.2, 1e-6);
}

TEST_F(AdmissionUnderLoad, WithoutADeadlineItWaits) {
  Caller running(admission_, 100);
  std::vector<std::unique_ptr<Caller>> queue;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(queue.emplace_back(std::make_unique<Caller>(admission_, 100))->busy);
}

TEST(Admission, WithdrawnCallIsNotAdmitted) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 100);
  Caller b(admission, 90);
  Caller c(admission, 10);
  EXPECT_TRUE(admission.Withdraw(b.ticket));
  EXPECT_FALSE(admission.Withdraw(b.ticket));
  a.Leave();
  EXPECT_FALSE(b.admitted());
  EXPECT_TRUE(c.admitted());
  EXPECT_FALSE(admission.Withdraw(c.ticket));
}

TEST(Admission, WithdrawingTheFirstLetsTheNextIn) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 50);
  Caller b(admission, 90);
  Caller c(admission, 50);
  EXPECT_FALSE(c.admitted());
  EXPECT_TRUE(admission.Withdraw(b.ticket));
  EXPECT_TRUE(c.admitted());
}

TEST(Admission, ShrinkingLetsTheNextIn) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 100);
  Caller b(admission, 30);
  EXPECT_EQ(a.Grow(70), Admission::Growth::kDone);
  EXPECT_TRUE(b.admitted());
  EXPECT_EQ(admission.reserved_bytes(), 100u);
}

TEST(Admission, GrowsAtOnceWhereThereIsRoom) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 20);
  EXPECT_EQ(a.Grow(100), Admission::Growth::kDone);
  EXPECT_EQ(a.share->bytes(), 100u);
  EXPECT_FALSE(a.grown);
}

TEST(Admission, GrowthWaitsForRoomBeforeNewCalls) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 60);
  Caller b(admission, 40);
  Caller newcomer(admission, 5);
  EXPECT_EQ(b.Grow(70), Admission::Growth::kWaiting);
  EXPECT_EQ(admission.growing_calls(), 1);
  a.share->ShrinkTo(50);  // enough for the newcomer, not for b
  EXPECT_FALSE(newcomer.admitted());
  EXPECT_FALSE(b.grown);
  EXPECT_EQ(admission.reserved_bytes(), 90u);
  a.Leave();
  EXPECT_TRUE(b.grown);
  EXPECT_EQ(b.share->bytes(), 70u);
  EXPECT_TRUE(newcomer.admitted());
  EXPECT_EQ(admission.reserved_bytes(), 75u);
}

TEST(Admission, TheOldestGrowsFirst) {
  Admission admission({.budget_bytes = 100});
  Caller older(admission, 10);
  Caller younger(admission, 10);
  Caller running(admission, 80);
  EXPECT_EQ(younger.Grow(60), Admission::Growth::kWaiting);
  EXPECT_EQ(older.Grow(60), Admission::Growth::kWaiting);
  running.Leave();
  EXPECT_TRUE(older.grown);
  EXPECT_FALSE(younger.grown);
  older.Leave();
  EXPECT_TRUE(younger.grown);
}

TEST(Admission, WhereEverybodyWaitsToGrowTheOldestProceedsBeyondTheBudget) {
  Admission admission({.budget_bytes = 100});
  Caller older(admission, 50);
  Caller younger(admission, 50);
  EXPECT_EQ(younger.Grow(80), Admission::Growth::kWaiting);
  EXPECT_FALSE(younger.grown);
  EXPECT_EQ(older.Grow(90), Admission::Growth::kWaiting);
  EXPECT_TRUE(older.grown);
  EXPECT_FALSE(younger.grown) << "one at a time";
  EXPECT_EQ(admission.reserved_bytes(), 140u);
  older.Leave();
  EXPECT_TRUE(younger.grown);
  EXPECT_EQ(admission.reserved_bytes(), 80u);
}

TEST(Admission, ACallThatStopsAtTheRestWaitingLetsTheOldestProceed) {
  Admission admission({.budget_bytes = 100});
  Caller older(admission, 40);
  Caller younger(admission, 40);
  Caller running(admission, 20);
  EXPECT_EQ(older.Grow(90), Admission::Growth::kWaiting);
  EXPECT_EQ(younger.Grow(90), Admission::Growth::kWaiting);
  EXPECT_FALSE(older.grown);
  running.Leave();
  EXPECT_TRUE(older.grown);
  EXPECT_FALSE(younger.grown);
}

TEST(Admission, ACancelledCallDoesNotWaitToGrow) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 60);
  Caller b(admission, 40);
  b.call->Cancel();
  EXPECT_EQ(b.Grow(70), Admission::Growth::kUnwanted);
  EXPECT_EQ(b.share->bytes(), 40u);
}

TEST(Admission, AWithdrawnGrowthKeepsItsShareUntilItLeaves) {
  Admission admission({.budget_bytes = 100});
  Caller a(admission, 60);
  Caller b(admission, 40);
  Caller c(admission, 30);
  EXPECT_EQ(b.Grow(70), Admission::Growth::kWaiting);
  EXPECT_TRUE(admission.Withdraw(b.ticket));
  EXPECT_EQ(admission.reserved_bytes(), 100u);
  b.Leave();
  EXPECT_FALSE(b.grown);
  EXPECT_TRUE(c.admitted());
}

TEST(Admission, ReservationMovesAndReleasesOnce) {
  Admission admission({.budget_bytes = 100});
  {
    Caller a(admission, 40);
    Reservation moved = std::move(*a.share);
    EXPECT_EQ(a.share->bytes(), 0u);
    moved = Reservation();
    EXPECT_EQ(admission.reserved_bytes(), 0u);
    EXPECT_EQ(admission.admitted_calls(), 0);
  }
  EXPECT_EQ(admission.reserved_bytes(), 0u);
  EXPECT_EQ(admission.admitted_calls(), 0);
}

// Calls of random sizes that grow, shrink and leave, from several threads: all are served and nothing is left over.
TEST(Admission, ServesEverybodyWhateverTheyWant) {
  Admission admission({.budget_bytes = 1000, .max_calls = 7, .max_queue = 1 << 20});
  std::atomic<uint64_t> most{0};
  const auto caller = [&](uint64_t seed) {
    for (int i = 0; i < 2000; ++i) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      const auto call = CallDue(Clock::time_point::max());
      std::optional<Reservation> share;
      std::atomic<bool> ready{false};
      admission.Admit((seed >> 20) % 500, call, [&](Reservation reservation) {
        share = std::move(reservation);
        ready = true;
      });
      while (!ready) std::this_thread::yield();
      ready = false;
      if (admission.Grow(*share, (seed >> 40) % 1000, *call, [&] { ready = true; }) == Admission::Growth::kWaiting) {
        while (!ready) std::this_thread::yield();
      }
      const uint64_t reserved = admission.reserved_bytes();
      for (uint64_t seen = most; seen < reserved && !most.compare_exchange_weak(seen, reserved);) {
      }
    }
  };
  std::vector<std::thread> callers;
  for (uint64_t seed = 1; seed <= 5; ++seed) callers.emplace_back(caller, seed);
  for (std::thread& thread : callers) thread.join();
  EXPECT_EQ(admission.reserved_bytes(), 0u);
  EXPECT_EQ(admission.admitted_calls(), 0);
  EXPECT_LT(most, 2000u) << "one call at a time may exceed the budget";
}

}  // namespace
}  // namespace attend::runtime
