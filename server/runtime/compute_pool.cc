#include "server/runtime/compute_pool.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <utility>

namespace attend::runtime {
namespace {

// Tiles cheaper than this are claimed in runs, so that taking them costs little beside computing them (about 20 us).
constexpr double kClaimFlops = 1e6;
// Calls whose ranks differ by less count as equal, and a call keeps its slot that long (about 0.1 ms).
constexpr double kQuantumFlops = 1e7;
// A call is ranked by the end of its work, or by this much of it at a time (about 10 ms): so much may a call that was
// served less than its share make up for at one go, while small calls wait.
constexpr double kInstallmentFlops = 1e9;
// Among calls that had equal shares, one without a deadline stands as if it had this one.
constexpr std::chrono::seconds kPatience{30};

}  // namespace

struct ComputePool::Loop {
  Loop(int64_t tiles_in, double tile_flops_in, absl::FunctionRef<absl::Status(int64_t, int)> tile_in, int workers)
      : tiles(tiles_in), tile_flops(std::max(tile_flops_in, 1.0)), tile(tile_in), worker_taken(workers, false) {
    claim = std::max<int64_t>(1, static_cast<int64_t>(kClaimFlops / tile_flops));
    worker_taken[0] = true;  // the call's own thread
  }

  const int64_t tiles;
  const double tile_flops;
  const absl::FunctionRef<absl::Status(int64_t, int)> tile;
  int64_t claim = 1;  // tiles taken at once
  int64_t next = 0;
  int helpers = 0;
  std::vector<bool> worker_taken;
  absl::Status status;  // the first failure
  std::condition_variable helpers_left;

  bool has_unclaimed() const { return next < tiles && status.ok(); }
  double unclaimed_flops() const { return tile_flops * static_cast<double>(tiles - next); }
};

struct ComputePool::Flow {
  std::shared_ptr<const Cancellation> cancellation;
  Job job;
  bool started = false;
  bool has_slot = false;
  double virtual_time = 0;              // of its start, and the work it has had since
  double finish = 0;                    // where its virtual time will be at the end of its installment
  Cancellation::Clock::time_point due;  // its deadline, or arrival + kPatience where that is earlier
  Loop* loop = nullptr;
  std::condition_variable slot_granted;

  void NextInstallment() { finish = virtual_time + std::min(loop->unclaimed_flops(), kInstallmentFlops); }

  // Who goes first: whose work would be over first if all calls shared the slots evenly, and among equals who has less
  // time left.
  std::pair<double, Cancellation::Clock::time_point> rank() const { return {std::floor(finish / kQuantumFlops), due}; }
};

class ComputePool::FlowExecutor final : public Executor {
 public:
  FlowExecutor(ComputePool& pool, Flow& flow) : pool_(pool), flow_(flow) {}

  absl::Status ForEachTile(int64_t tiles, double tile_flops,
                           absl::FunctionRef<absl::Status(int64_t, int)> tile) override {
    Loop loop(tiles, tile_flops, tile, pool_.slots_);
    return pool_.RunLoop(flow_, loop);
  }
  int max_workers() const override { return pool_.slots_; }
  const Cancellation& cancellation() const override { return *flow_.cancellation; }

 private:
  ComputePool& pool_;
  Flow& flow_;
};

ComputePool::ComputePool(int slots) : slots_(slots), free_slots_(slots) {}

ComputePool::~ComputePool() {
  {
    Lock lock(mutex_);
    flows_changed_.wait(lock, [this] { return flows_ == 0; });
    stopping_ = true;
    assignments_changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void ComputePool::Start(std::shared_ptr<const Cancellation> cancellation, Job job) {
  auto flow = std::make_shared<Flow>();
  flow->cancellation = std::move(cancellation);
  flow->job = std::move(job);
  flow->due = std::min(flow->cancellation->deadline(), Cancellation::Clock::now() + kPatience);
  Lock lock(mutex_);
  ++flows_;
  flow->virtual_time = flow->finish = virtual_time_;
  waiting_.push_back(std::move(flow));
  GrantFreeSlots();
}

absl::Status ComputePool::RunLoop(Flow& flow, Loop& loop) {
  Lock lock(mutex_);
  flow.loop = &loop;
  flow.NextInstallment();
  if (loop.tiles > loop.claim) {
    auto self = std::shared_ptr<Flow>(std::shared_ptr<Flow>(), &flow);  // the flow outlives its loop
    open_.push_back(self);
    GrantFreeSlots();
  }
  if (OthersGoFirst(flow)) {  // now that it is known how much work this is
    ReleaseSlotOf(flow);
    AwaitSlot(lock, flow);
  }
  while (loop.has_unclaimed()) {
    RunTiles(lock, flow, loop, ClaimTiles(flow, loop), 0);
    if (loop.has_unclaimed() && OthersAreDue(flow)) {
      ReleaseSlotOf(flow);
      AwaitSlot(lock, flow);
    }
  }
  std::erase_if(open_, [&](const auto& open) { return open.get() == &flow; });
  if (loop.helpers > 0) {
    ReleaseSlotOf(flow);
    loop.helpers_left.wait(lock, [&] { return loop.helpers == 0; });
    AwaitSlot(lock, flow);
  }
  flow.loop = nullptr;
  return loop.status;
}

ComputePool::Tiles ComputePool::ClaimTiles(Flow& flow, Loop& loop) {
  Tiles tiles{loop.next, std::min(loop.tiles, loop.next + loop.claim)};
  loop.next = tiles.end;
  const double flops = loop.tile_flops * static_cast<double>(tiles.end - tiles.begin);
  virtual_time_ += flops / flows_;
  flow.virtual_time += flops;
  if (flow.virtual_time >= flow.finish) flow.NextInstallment();
  return tiles;
}

void ComputePool::RunTiles(Lock& lock, Flow& flow, Loop& loop, Tiles tiles, int worker) {
  lock.unlock();
  absl::Status status = flow.cancellation->Check();
  try {
    for (int64_t index = tiles.begin; index < tiles.end && status.ok(); ++index) status = loop.tile(index, worker);
  } catch (const std::bad_alloc&) {  // on a helper's thread nobody else would catch it
    status = absl::ResourceExhaustedError("no memory for a tile");
  }
  lock.lock();
  if (!status.ok() && loop.status.ok()) loop.status = std::move(status);
}

void ComputePool::ThreadMain() {
  while (true) {
    Assignment assignment;
    {
      Lock lock(mutex_);
      ++idle_threads_;
      assignments_changed_.wait(lock, [this] { return stopping_ || !assignments_.empty(); });
      --idle_threads_;
      if (assignments_.empty()) return;
      assignment = std::move(assignments_.front());
      assignments_.pop_front();
    }
    if (assignment.as_helper) {
      Help(assignment);
    } else {
      RunJob(std::move(assignment.flow));
    }
  }
}

void ComputePool::RunJob(std::shared_ptr<Flow> flow) {
  FlowExecutor executor(*this, *flow);
  std::move(flow->job)(executor);
  flow->job = nullptr;  // what the job owned goes before the flow counts as finished
  Lock lock(mutex_);
  --flows_;
  ReleaseSlotOf(*flow);
  flows_changed_.notify_all();
}

void ComputePool::Help(const Assignment& assignment) {
  Flow& flow = *assignment.flow;
  Lock lock(mutex_);
  Loop& loop = *flow.loop;
  while (loop.has_unclaimed() && !OthersAreDue(flow)) {
    RunTiles(lock, flow, loop, ClaimTiles(flow, loop), assignment.worker);
  }
  loop.worker_taken[assignment.worker] = false;
  if (--loop.helpers == 0) loop.helpers_left.notify_one();
  ++free_slots_;
  GrantFreeSlots();
}

void ComputePool::GrantFreeSlots() {
  while (free_slots_ > 0 && GrantOne()) {
  }
}

bool ComputePool::GrantOne() {
  const auto earlier = [](const auto& a, const auto& b) { return a->rank() < b->rank(); };
  const auto waiting = std::min_element(waiting_.begin(), waiting_.end(), earlier);
  std::shared_ptr<Flow> helped;
  for (const auto& open : open_) {
    // A call whose own thread waits for a slot gets that first: helpers then never outnumber the other slots.
    if (!open->loop->has_unclaimed() || !open->has_slot) continue;
    if (helped == nullptr || earlier(open, helped)) helped = open;
  }
  if (waiting == waiting_.end() && helped == nullptr) return false;

  --free_slots_;
  if (waiting != waiting_.end() && (helped == nullptr || !earlier(helped, *waiting))) {
    std::shared_ptr<Flow> flow = std::move(*waiting);
    waiting_.erase(waiting);
    flow->has_slot = true;
    if (std::exchange(flow->started, true)) {
      flow->slot_granted.notify_one();
    } else {
      Assign({.flow = std::move(flow), .as_helper = false, .worker = 0});
    }
    return true;
  }
  Loop& loop = *helped->loop;
  ++loop.helpers;
  const auto worker = std::find(loop.worker_taken.begin(), loop.worker_taken.end(), false);
  *worker = true;
  Assign({.flow = helped, .as_helper = true, .worker = static_cast<int>(worker - loop.worker_taken.begin())});
  return true;
}

void ComputePool::Assign(Assignment assignment) {
  assignments_.push_back(std::move(assignment));
  if (idle_threads_ < static_cast<int>(assignments_.size())) {
    threads_.emplace_back([this] { ThreadMain(); });
  } else {
    assignments_changed_.notify_one();
  }
}

void ComputePool::ReleaseSlotOf(Flow& flow) {
  flow.has_slot = false;
  ++free_slots_;
  GrantFreeSlots();
}

void ComputePool::AwaitSlot(Lock& lock, Flow& flow) {
  waiting_.push_back(std::shared_ptr<Flow>(std::shared_ptr<Flow>(), &flow));
  GrantFreeSlots();
  flow.slot_granted.wait(lock, [&] { return flow.has_slot; });
}

bool ComputePool::OthersGoFirst(const Flow& flow) const {
  return std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& other) { return other->rank() < flow.rank(); });
}

bool ComputePool::OthersAreDue(const Flow& flow) const {
  return std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& other) {
    return other.get() != &flow && other->finish + kQuantumFlops < flow.finish;
  });
}

}  // namespace attend::runtime
