#include "server/runtime/admission.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace attend::runtime {
namespace {

// Admits `bytes` and keeps what came.
struct Caller {
  std::optional<absl::StatusOr<Reservation>> answer;
  Admission::Ticket ticket = 0;

  Caller(Admission& admission, uint64_t bytes) {
    ticket =
        admission.Admit(bytes, [this](absl::StatusOr<Reservation> reservation) { answer = std::move(reservation); });
  }
  bool admitted() const { return answer.has_value() && answer->ok(); }
  void Leave() { answer.reset(); }
};

TEST(Admission, AdmitsAtOnceWhatFits) {
  Admission admission(100);
  Caller a(admission, 60);
  Caller b(admission, 40);
  EXPECT_TRUE(a.admitted());
  EXPECT_TRUE(b.admitted());
  EXPECT_EQ(admission.reserved_bytes(), 100u);
}

TEST(Admission, MakesTheRestWaitInOrder) {
  Admission admission(100);
  Caller a(admission, 80);
  Caller b(admission, 50);
  Caller c(admission, 10);  // would fit, but b was first
  EXPECT_FALSE(b.answer.has_value());
  EXPECT_FALSE(c.answer.has_value());
  EXPECT_EQ(admission.waiting_calls(), 2);
  a.Leave();
  EXPECT_TRUE(b.admitted());
  EXPECT_TRUE(c.admitted());
  EXPECT_EQ(admission.reserved_bytes(), 60u);
}

TEST(Admission, RefusesWhatCanNeverFit) {
  Admission admission(100);
  Caller a(admission, 101);
  ASSERT_TRUE(a.answer.has_value());
  EXPECT_EQ(a.answer->status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(a.answer->status().message().find("101"), std::string::npos);
  EXPECT_NE(a.answer->status().message().find("100"), std::string::npos);
}

TEST(Admission, WithdrawnCallIsNotAdmitted) {
  Admission admission(100);
  Caller a(admission, 100);
  Caller b(admission, 90);
  Caller c(admission, 10);
  EXPECT_TRUE(admission.Withdraw(b.ticket));
  EXPECT_FALSE(admission.Withdraw(b.ticket));
  a.Leave();
  EXPECT_FALSE(b.answer.has_value());
  EXPECT_TRUE(c.admitted());
  EXPECT_FALSE(admission.Withdraw(c.ticket));
}

TEST(Admission, WithdrawingTheFirstLetsTheNextIn) {
  Admission admission(100);
  Caller a(admission, 50);
  Caller b(admission, 90);
  Caller c(admission, 50);
  EXPECT_FALSE(c.answer.has_value());
  EXPECT_TRUE(admission.Withdraw(b.ticket));
  EXPECT_TRUE(c.admitted());
}

TEST(Admission, ResizeGivesRoomOrTakesIt) {
  Admission admission(100);
  Caller a(admission, 100);
  Caller b(admission, 30);
  (*a.answer)->Resize(70);
  EXPECT_TRUE(b.admitted());
  (*a.answer)->Resize(120);  // overdraws
  EXPECT_EQ(admission.reserved_bytes(), 150u);
  Caller c(admission, 1);
  EXPECT_FALSE(c.answer.has_value());
  a.Leave();
  EXPECT_TRUE(c.admitted());
}

TEST(Admission, ReservationMovesAndReleasesOnce) {
  Admission admission(100);
  {
    Caller a(admission, 40);
    Reservation moved = std::move(**a.answer);
    EXPECT_EQ((*a.answer)->bytes(), 0u);
    moved = Reservation();
    EXPECT_EQ(admission.reserved_bytes(), 0u);
  }
  EXPECT_EQ(admission.reserved_bytes(), 0u);
}

}  // namespace
}  // namespace attend::runtime
