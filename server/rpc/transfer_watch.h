// Ends calls whose messages do not move: a caller that stalls holds its share of the memory budget and one of the
// places of those at work. gRPC does not tell how much of a message has come or gone, so a transfer has a time limit
// instead of a rate: some patience, and four seconds more for each MiB, so that many callers may share a slow link.
// Thread-safe.
#ifndef ATTEND_SERVER_RPC_TRANSFER_WATCH_H_
#define ATTEND_SERVER_RPC_TRANSFER_WATCH_H_

#include <grpc/grpc.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"

namespace attend::rpc {

class TransferWatch {
 public:
  // Patience of 0: nothing is ended.
  explicit TransferWatch(std::chrono::milliseconds patience);
  ~TransferWatch();
  TransferWatch(const TransferWatch&) = delete;
  TransferWatch& operator=(const TransferWatch&) = delete;

  // One message on its way, watched from Begin until Finish or the destructor. Not thread-safe. REQUIRES: the watch
  // outlives it.
  class Transfer {
   public:
    Transfer() = default;
    ~Transfer() { Finish(); }
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    // `complaint` completes "... within 60 s" and lives for ever. REQUIRES: not watched.
    void Begin(TransferWatch& watch, grpc_call* call, uint64_t bytes, const char* complaint);
    void Finish();
    // Once finished: whether the watch ended the call, and what to say then.
    bool stalled() const { return stalled_; }
    absl::Status status() const;

   private:
    friend class TransferWatch;
    TransferWatch* watch_ = nullptr;
    grpc_call* call_ = nullptr;
    const char* complaint_ = "";
    std::chrono::steady_clock::time_point begin_, end_;
    bool stalled_ = false;  // guarded by the watch's mutex while it is watched
  };

 private:
  struct Ended {
    grpc_call* call;  // owned
    absl::Status why;
  };

  void Run();
  std::vector<Ended> TakeStalled();  // holds mutex_

  const std::chrono::milliseconds patience_;
  std::mutex mutex_;
  std::condition_variable stop_changed_;
  // Guarded by mutex_:
  std::unordered_set<Transfer*> transfers_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_TRANSFER_WATCH_H_
