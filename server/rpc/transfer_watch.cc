#include "server/rpc/transfer_watch.h"

#include <string>

#include "absl/strings/str_format.h"

namespace attend::rpc {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLooksEvery{100};
constexpr double kLeastBytesPerMillisecond = (1 << 20) / 4e3;

milliseconds TimeFor(uint64_t bytes) {
  return milliseconds(static_cast<int64_t>(static_cast<double>(bytes) / kLeastBytesPerMillisecond));
}

}  // namespace

TransferWatch::TransferWatch(milliseconds patience) : patience_(patience) {
  if (patience_.count() > 0) thread_ = std::thread([this] { Run(); });
}

TransferWatch::~TransferWatch() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

void TransferWatch::Transfer::Begin(TransferWatch& watch, grpc_call* call, uint64_t bytes, const char* complaint) {
  if (watch.patience_.count() == 0) return;
  watch_ = &watch;
  call_ = call;
  complaint_ = complaint;
  begin_ = Clock::now();
  end_ = begin_ + watch.patience_ + TimeFor(bytes);
  std::lock_guard lock(watch.mutex_);
  watch.transfers_.insert(this);
}

void TransferWatch::Transfer::Finish() {
  if (watch_ == nullptr) return;
  std::lock_guard lock(watch_->mutex_);
  watch_->transfers_.erase(this);
  watch_ = nullptr;
}

absl::Status TransferWatch::Transfer::status() const {
  const std::chrono::duration<double> waited = end_ - begin_;
  return absl::DeadlineExceededError(absl::StrFormat("%s within %.3g s", complaint_, waited.count()));
}

void TransferWatch::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_changed_.wait_for(lock, kLooksEvery, [this] { return stop_; })) {
    const std::vector<Ended> ended = TakeStalled();
    lock.unlock();  // whoever is told may finish a transfer at once
    for (const Ended& each : ended) {
      const std::string why(each.why.message());
      grpc_call_cancel_with_status(each.call, GRPC_STATUS_DEADLINE_EXCEEDED, why.c_str(), nullptr);
      grpc_call_unref(each.call);
    }
    lock.lock();
  }
}

std::vector<TransferWatch::Ended> TransferWatch::TakeStalled() {
  const Clock::time_point now = Clock::now();
  std::vector<Ended> ended;
  for (Transfer* transfer : transfers_) {
    if (transfer->stalled_ || now < transfer->end_) continue;
    transfer->stalled_ = true;
    grpc_call_ref(transfer->call_);  // the transfer may be gone once the mutex is released
    ended.push_back({transfer->call_, transfer->status()});
  }
  return ended;
}

}  // namespace attend::rpc
