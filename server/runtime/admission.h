// Who may hold memory. Calls are admitted in order of arrival against a budget of bytes, before their bodies are read,
// so that a waiting call holds next to nothing. Thread-safe.
#ifndef ATTEND_SERVER_RUNTIME_ADMISSION_H_
#define ATTEND_SERVER_RUNTIME_ADMISSION_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace attend::runtime {

class Admission;

// A call's share of the budget; gives it back when destroyed. Move-only. REQUIRES: the Admission outlives it.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();

  uint64_t bytes() const { return bytes_; }
  // Corrects the share once the true need is known. Never waits: the budget may be overdrawn by the difference.
  void Resize(uint64_t bytes);

 private:
  friend class Admission;
  Reservation(Admission* admission, uint64_t bytes) : admission_(admission), bytes_(bytes) {}

  Admission* admission_ = nullptr;
  uint64_t bytes_ = 0;
};

class Admission {
 public:
  using Ticket = uint64_t;
  using Admitted = absl::AnyInvocable<void(absl::StatusOr<Reservation>) &&>;

  explicit Admission(uint64_t budget_bytes) : budget_bytes_(budget_bytes) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Calls `admitted` exactly once, unless withdrawn: with a reservation when it is this call's turn and `bytes` fit,
  // possibly before Admit returns, else from the thread that frees the room; or at once with RESOURCE_EXHAUSTED where
  // `bytes` exceed the whole budget.
  Ticket Admit(uint64_t bytes, Admitted admitted);

  // Forgets a waiting call. False if it is not waiting (any more): then `admitted` has been or is being called.
  bool Withdraw(Ticket ticket);

  uint64_t budget_bytes() const { return budget_bytes_; }
  uint64_t reserved_bytes() const;
  int64_t waiting_calls() const;

 private:
  friend class Reservation;
  struct Waiting {
    Ticket ticket;
    uint64_t bytes;
    Admitted admitted;
  };

  void Change(uint64_t from, uint64_t to);
  void AdmitWaiting();
  bool Fits(uint64_t bytes) const {
    return reserved_bytes_ <= budget_bytes_ && bytes <= budget_bytes_ - reserved_bytes_;
  }

  const uint64_t budget_bytes_;

  mutable std::mutex mutex_;
  uint64_t reserved_bytes_ = 0;  // guarded by mutex_
  Ticket next_ticket_ = 1;       // guarded by mutex_
  std::deque<Waiting> waiting_;  // guarded by mutex_
};

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_ADMISSION_H_
