// Who may hold memory. Calls are admitted against a budget of bytes before their bodies are read, so that a waiting
// call holds next to nothing; an admitted call that turns out to need more waits for the difference. Thread-safe.
//
// Order. Calls that wait to be admitted are ordered by their deadline, or by their arrival plus kPatience where that is
// earlier: who has little time goes first, and who has no deadline is not overtaken for ever. Nobody overtakes the
// first of them, however large it is. Calls that wait to grow hold memory already: they go before all others, oldest
// first.
//
// Overdraft. Where every reserved byte belongs to calls that wait to grow, none of them can go on and none will give
// anything back: the oldest then grows beyond the budget. That is the only way past it, for one call at a time.
#ifndef ATTEND_SERVER_RUNTIME_ADMISSION_H_
#define ATTEND_SERVER_RUNTIME_ADMISSION_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "server/runtime/cancellation.h"
#include "server/runtime/drain_rate.h"

namespace attend::runtime {

class Admission;

struct AdmissionLimits {
  uint64_t budget_bytes = 0;
  int64_t max_calls = 64;    // admitted at once
  int64_t max_queue = 1024;  // waiting to be admitted
};

// A call's share of the budget; gives it back when destroyed. Move-only. REQUIRES: the Admission outlives it.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();

  uint64_t bytes() const { return bytes_; }
  // Gives back what exceeds `bytes`, at once.
  void ShrinkTo(uint64_t bytes);
  // To be told of every call that was served, once: the predictions rest on it.
  void Answered();

 private:
  friend class Admission;
  Reservation(Admission* admission, uint64_t ticket, uint64_t bytes)
      : admission_(admission), ticket_(ticket), bytes_(bytes), admitted_bytes_(bytes) {}

  Admission* admission_ = nullptr;
  uint64_t ticket_ = 0;
  uint64_t bytes_ = 0;
  uint64_t admitted_bytes_ = 0;  // at first
};

// Why a call was not even queued.
struct Busy {
  int64_t waiting_calls = 0;
  bool queue_full = false;  // else: it would be answered after its deadline
  std::optional<std::chrono::duration<double>> predicted_wait = std::nullopt;  // until it would be admitted
  std::optional<std::chrono::duration<double>> predicted_answer =
      std::nullopt;  // until it would be done, as the calls at work are
};

class Admission {
 public:
  using Clock = std::chrono::steady_clock;
  using Ticket = uint64_t;
  using Admitted = absl::AnyInvocable<void(Reservation) &&>;
  using Grown = absl::AnyInvocable<void() &&>;
  enum class Growth { kDone, kWaiting, kUnwanted };

  static constexpr std::chrono::seconds kPatience{30};

  explicit Admission(const AdmissionLimits& limits, std::function<Clock::time_point()> now = Clock::now);
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Either refuses the call at once, or calls `admitted` exactly once, unless withdrawn: when it is this call's turn
  // and `bytes` fit, possibly before Admit returns, else from the thread that frees the room. The ticket stays the
  // call's for what it waits for later. REQUIRES: bytes <= budget_bytes().
  std::variant<Ticket, Busy> Admit(uint64_t bytes, std::shared_ptr<const Cancellation> call, Admitted admitted);

  // Corrects a share to `bytes`: kDone where that is less or there is room, and `grown` is dropped. kWaiting: `grown`
  // is called once, unless withdrawn, from the thread that frees the room, possibly before Grow returns; until then the
  // reservation must stay where it is. kUnwanted: `call` was cancelled, nothing changed.
  // REQUIRES: bytes <= budget_bytes().
  Growth Grow(Reservation& reservation, uint64_t bytes, const Cancellation& call, Grown grown);

  // Forgets what the call waits for. False if it does not wait (any more): then the callback has been or is being
  // called. A call that is cancelled first and withdrawn then never waits again.
  bool Withdraw(Ticket ticket);

  uint64_t budget_bytes() const { return limits_.budget_bytes; }
  uint64_t reserved_bytes() const;
  int64_t admitted_calls() const;
  uint64_t arrived_calls() const;  // since the start
  int64_t waiting_calls() const;   // to be admitted
  int64_t growing_calls() const;   // admitted, and waiting for more

 private:
  friend class Reservation;
  using Rank = std::pair<Clock::time_point, Ticket>;  // who goes first
  using Event = absl::AnyInvocable<void() &&>;
  struct Waiting {
    uint64_t bytes;
    Admitted admitted;
  };
  struct Growing {
    Reservation* reservation;
    uint64_t bytes;  // wanted
    Grown grown;
  };

  void GiveBack(uint64_t bytes, bool leaves);
  void CountAnswered(uint64_t bytes);

  // All of these hold mutex_.
  std::vector<Event> TakeDue();
  bool TakeGrowing(std::vector<Event>& due);
  bool TakeWaiting(std::vector<Event>& due);
  bool HasRoom(uint64_t bytes) const {
    return reserved_bytes_ <= limits_.budget_bytes && bytes <= limits_.budget_bytes - reserved_bytes_;
  }
  double Share(int64_t calls, uint64_t bytes) const;
  double ShareUpTo(const Rank& rank, uint64_t bytes) const;
  std::optional<Busy> WhyBusy(const Rank& rank, uint64_t bytes, Clock::time_point deadline) const;

  const AdmissionLimits limits_;
  const std::function<Clock::time_point()> now_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  uint64_t reserved_bytes_ = 0;
  uint64_t growing_bytes_ = 0;  // of reserved_bytes_, held by calls that wait to grow
  int64_t admitted_calls_ = 0;
  Ticket next_ticket_ = 1;
  std::map<Rank, Waiting> waiting_;
  std::map<Ticket, Growing> growing_;
  DrainRate drain_rate_;
};

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_ADMISSION_H_
