// The compute threads, shared by all calls. Thread-safe.
//
// There are as many slots as compute threads; only who holds a slot computes. A call's job runs on one thread that
// holds a slot; while it runs tiles, free slots help it, and at tile boundaries a slot moves to whichever call would be
// over first if all calls shared the slots evenly (weighted fair queueing over floating-point operations): a small call
// does not wait behind a large one, equal calls are done one after the other instead of all at the end, and no call is
// done much later than with even shares. Among equals the nearest deadline goes first. A job that lost its slot sleeps
// in its thread: more threads than slots may exist, never more that compute.
#ifndef ATTEND_SERVER_RUNTIME_COMPUTE_POOL_H_
#define ATTEND_SERVER_RUNTIME_COMPUTE_POOL_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "server/runtime/cancellation.h"
#include "server/runtime/executor.h"

namespace attend::runtime {

class ComputePool {
 public:
  using Job = absl::AnyInvocable<void(Executor&) &&>;

  // REQUIRES: slots >= 1.
  explicit ComputePool(int slots);
  // Waits for every job that was started.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  // Queues `job`; it runs once, soon, on a thread of the pool, even when the call was cancelled meanwhile (its tiles
  // then are not run). Never blocks.
  void Start(std::shared_ptr<const Cancellation> cancellation, Job job);

  int slots() const { return slots_; }

 private:
  struct Loop;
  struct Flow;
  class FlowExecutor;
  struct Assignment {
    std::shared_ptr<Flow> flow;
    bool as_helper = false;
    int worker = 0;
  };
  struct Tiles {
    int64_t begin = 0;
    int64_t end = 0;
  };
  using Lock = std::unique_lock<std::mutex>;

  absl::Status RunLoop(Flow& flow, Loop& loop);
  void RunTiles(Lock& lock, Flow& flow, Loop& loop, Tiles tiles, int worker);
  Tiles ClaimTiles(Flow& flow, Loop& loop);

  void ThreadMain();
  void RunJob(std::shared_ptr<Flow> flow);
  void Help(const Assignment& assignment);

  // All of these hold mutex_.
  void GrantFreeSlots();
  bool GrantOne();
  void Assign(Assignment assignment);
  void ReleaseSlotOf(Flow& flow);
  void AwaitSlot(Lock& lock, Flow& flow);
  bool OthersGoFirst(const Flow& flow) const;
  bool OthersAreDue(const Flow& flow) const;

  const int slots_;

  std::mutex mutex_;
  std::condition_variable assignments_changed_;
  std::condition_variable flows_changed_;
  // Guarded by mutex_:
  int free_slots_;
  int idle_threads_ = 0;
  int flows_ = 0;            // started and not finished
  double virtual_time_ = 0;  // the work that each call would have had if all had shared evenly since the start
  bool stopping_ = false;
  std::vector<std::shared_ptr<Flow>> waiting_;  // want a slot for their own thread, or are not started
  std::vector<std::shared_ptr<Flow>> open_;     // have tiles that nobody claimed
  std::deque<Assignment> assignments_;
  std::vector<std::thread> threads_;
};

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_COMPUTE_POOL_H_
