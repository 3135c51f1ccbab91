#include "server/runtime/admission.h"

#include <algorithm>
#include <cassert>

namespace attend::runtime {
namespace {

// Predictions are averages: a call that would be answered just in time would be late as often as not.
constexpr double kMargin = 1.25;

}  // namespace

Reservation::Reservation(Reservation&& other) noexcept
    : admission_(std::exchange(other.admission_, nullptr)),
      ticket_(other.ticket_),
      bytes_(std::exchange(other.bytes_, 0)),
      admitted_bytes_(other.admitted_bytes_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    if (admission_ != nullptr) admission_->GiveBack(bytes_, true);
    admission_ = std::exchange(other.admission_, nullptr);
    ticket_ = other.ticket_;
    bytes_ = std::exchange(other.bytes_, 0);
    admitted_bytes_ = other.admitted_bytes_;
  }
  return *this;
}

Reservation::~Reservation() {
  if (admission_ != nullptr) admission_->GiveBack(bytes_, true);
}

void Reservation::ShrinkTo(uint64_t bytes) {
  if (admission_ == nullptr || bytes >= bytes_) return;
  admission_->GiveBack(bytes_ - bytes, false);
  bytes_ = bytes;
}

void Reservation::Answered() {
  if (admission_ != nullptr) admission_->CountAnswered(admitted_bytes_);
}

Admission::Admission(const AdmissionLimits& limits, std::function<Clock::time_point()> now)
    : limits_(limits), now_(std::move(now)) {}

std::variant<Admission::Ticket, Busy> Admission::Admit(uint64_t bytes, std::shared_ptr<const Cancellation> call,
                                                       Admitted admitted) {
  assert(bytes <= limits_.budget_bytes);
  Ticket ticket;
  {
    std::lock_guard lock(mutex_);
    ticket = next_ticket_++;
    const bool first = waiting_.empty() && growing_.empty();
    if (!first || admitted_calls_ >= limits_.max_calls || !HasRoom(bytes)) {
      const Clock::time_point now = now_();
      const Rank rank{std::min(call->deadline(), now + kPatience), ticket};
      if (std::optional<Busy> busy = WhyBusy(rank, bytes, call->deadline())) return *std::move(busy);
      if (waiting_.empty()) drain_rate_.QueueFormed(now);
      waiting_.emplace(rank, Waiting{bytes, std::move(admitted)});
      return ticket;
    }
    reserved_bytes_ += bytes;
    ++admitted_calls_;
  }
  std::move(admitted)(Reservation(this, ticket, bytes));
  return ticket;
}

std::optional<Busy> Admission::WhyBusy(const Rank& rank, uint64_t bytes, Clock::time_point deadline) const {
  Busy busy;
  busy.waiting_calls = static_cast<int64_t>(waiting_.size());
  busy.queue_full = busy.waiting_calls >= limits_.max_queue;
  if (!busy.queue_full && deadline == Clock::time_point::max()) return std::nullopt;
  const Clock::time_point now = now_();
  if (const std::optional<double> rate = drain_rate_.PerSecond(now)) {
    const double queued = ShareUpTo(rank, bytes);
    busy.predicted_wait = std::chrono::duration<double>(queued / *rate);
    // While a queue stands, a call stays admitted for as long as those admitted now take to drain.
    busy.predicted_answer = std::chrono::duration<double>((queued + Share(admitted_calls_, reserved_bytes_)) / *rate);
  }
  const bool too_late = busy.predicted_answer.has_value() && deadline != Clock::time_point::max() &&
                        *busy.predicted_answer * kMargin > std::chrono::duration<double>(deadline - now);
  if (busy.queue_full || too_late) return busy;
  return std::nullopt;
}

// Of the call itself and all that go before it.
double Admission::ShareUpTo(const Rank& rank, uint64_t bytes) const {
  double share = Share(1, bytes);
  for (auto ahead = waiting_.begin(); ahead != waiting_.end() && ahead->first < rank; ++ahead) {
    share += Share(1, ahead->second.bytes);
  }
  return share;
}

// What calls take of all there is, be it memory or places.
double Admission::Share(int64_t calls, uint64_t bytes) const {
  return std::max(static_cast<double>(bytes) / static_cast<double>(std::max<uint64_t>(limits_.budget_bytes, 1)),
                  static_cast<double>(calls) / static_cast<double>(std::max<int64_t>(limits_.max_calls, 1)));
}

Admission::Growth Admission::Grow(Reservation& reservation, uint64_t bytes, const Cancellation& call, Grown grown) {
  assert(reservation.admission_ == this && bytes <= limits_.budget_bytes);
  if (bytes <= reservation.bytes_) {
    reservation.ShrinkTo(bytes);
    return Growth::kDone;
  }
  std::vector<Event> due;
  {
    std::lock_guard lock(mutex_);
    // Withdraw takes the same lock after the cancellation: one of the two sees the other.
    if (!call.Check().ok()) return Growth::kUnwanted;
    const uint64_t more = bytes - reservation.bytes_;
    if (growing_.empty() && HasRoom(more)) {
      reserved_bytes_ += more;
      reservation.bytes_ = bytes;
      return Growth::kDone;
    }
    growing_bytes_ += reservation.bytes_;
    growing_.emplace(reservation.ticket_, Growing{&reservation, bytes, std::move(grown)});
    due = TakeDue();
  }
  for (Event& event : due) std::move(event)();
  return Growth::kWaiting;
}

bool Admission::Withdraw(Ticket ticket) {
  std::vector<Event> due;
  {
    std::lock_guard lock(mutex_);
    if (const auto it = growing_.find(ticket); it != growing_.end()) {
      growing_bytes_ -= it->second.reservation->bytes_;
      growing_.erase(it);
    } else {
      const auto waiting = std::find_if(waiting_.begin(), waiting_.end(),
                                        [&](const auto& entry) { return entry.first.second == ticket; });
      if (waiting == waiting_.end()) return false;
      waiting_.erase(waiting);
    }
    due = TakeDue();  // the one behind it may fit
  }
  for (Event& event : due) std::move(event)();
  return true;
}

void Admission::GiveBack(uint64_t bytes, bool leaves) {
  std::vector<Event> due;
  {
    std::lock_guard lock(mutex_);
    reserved_bytes_ -= bytes;
    if (leaves) --admitted_calls_;
    due = TakeDue();
  }
  for (Event& event : due) std::move(event)();
}

void Admission::CountAnswered(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (!waiting_.empty()) drain_rate_.Answered(Share(1, bytes), now_());
}

std::vector<Admission::Event> Admission::TakeDue() {
  std::vector<Event> due;
  while (growing_.empty() ? TakeWaiting(due) : TakeGrowing(due)) {
  }
  return due;
}

bool Admission::TakeGrowing(std::vector<Event>& due) {
  const auto oldest = growing_.begin();
  Growing& call = oldest->second;
  const uint64_t held = call.reservation->bytes_;
  const bool nobody_else_moves = reserved_bytes_ == growing_bytes_;
  if (!HasRoom(call.bytes - held) && !nobody_else_moves) return false;
  reserved_bytes_ += call.bytes - held;
  growing_bytes_ -= held;
  call.reservation->bytes_ = call.bytes;
  due.push_back(std::move(call.grown));
  growing_.erase(oldest);
  return true;
}

bool Admission::TakeWaiting(std::vector<Event>& due) {
  if (waiting_.empty()) return false;
  const auto first = waiting_.begin();
  Waiting& call = first->second;
  if (admitted_calls_ >= limits_.max_calls || !HasRoom(call.bytes)) return false;
  reserved_bytes_ += call.bytes;
  ++admitted_calls_;
  due.push_back([admitted = std::move(call.admitted),
                 reservation = Reservation(this, first->first.second, call.bytes)]() mutable {
    std::move(admitted)(std::move(reservation));
  });
  waiting_.erase(first);
  return true;
}

uint64_t Admission::reserved_bytes() const {
  std::lock_guard lock(mutex_);
  return reserved_bytes_;
}

int64_t Admission::admitted_calls() const {
  std::lock_guard lock(mutex_);
  return admitted_calls_;
}

uint64_t Admission::arrived_calls() const {
  std::lock_guard lock(mutex_);
  return next_ticket_ - 1;
}

int64_t Admission::waiting_calls() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(waiting_.size());
}

int64_t Admission::growing_calls() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(growing_.size());
}

}  // namespace attend::runtime
