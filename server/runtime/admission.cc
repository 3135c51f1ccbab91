#include "server/runtime/admission.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attend::runtime {

Reservation::Reservation(Reservation&& other) noexcept
    : admission_(std::exchange(other.admission_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    if (admission_ != nullptr) admission_->Change(bytes_, 0);
    admission_ = std::exchange(other.admission_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

Reservation::~Reservation() {
  if (admission_ != nullptr) admission_->Change(bytes_, 0);
}

void Reservation::Resize(uint64_t bytes) {
  if (admission_ == nullptr) return;
  admission_->Change(bytes_, bytes);
  bytes_ = bytes;
}

Admission::Ticket Admission::Admit(uint64_t bytes, Admitted admitted) {
  if (bytes > budget_bytes_) {
    std::move(admitted)(absl::ResourceExhaustedError(
        absl::StrCat("the call needs ", bytes, " bytes, the server's memory budget is ", budget_bytes_, " bytes")));
    return 0;
  }
  Ticket ticket;
  {
    std::lock_guard lock(mutex_);
    ticket = next_ticket_++;
    if (!waiting_.empty() || !Fits(bytes)) {
      waiting_.push_back({ticket, bytes, std::move(admitted)});
      return ticket;
    }
    reserved_bytes_ += bytes;
  }
  std::move(admitted)(Reservation(this, bytes));
  return ticket;
}

bool Admission::Withdraw(Ticket ticket) {
  {
    std::lock_guard lock(mutex_);
    const auto it =
        std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& call) { return call.ticket == ticket; });
    if (it == waiting_.end()) return false;
    waiting_.erase(it);
  }
  AdmitWaiting();  // the one behind it may fit
  return true;
}

void Admission::Change(uint64_t from, uint64_t to) {
  {
    std::lock_guard lock(mutex_);
    reserved_bytes_ = reserved_bytes_ - from + to;
  }
  if (to < from) AdmitWaiting();
}

void Admission::AdmitWaiting() {
  while (true) {
    Waiting next;
    {
      std::lock_guard lock(mutex_);
      if (waiting_.empty() || !Fits(waiting_.front().bytes)) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
      reserved_bytes_ += next.bytes;
    }
    std::move(next.admitted)(Reservation(this, next.bytes));
  }
}

uint64_t Admission::reserved_bytes() const {
  std::lock_guard lock(mutex_);
  return reserved_bytes_;
}

int64_t Admission::waiting_calls() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(waiting_.size());
}

}  // namespace attend::runtime
