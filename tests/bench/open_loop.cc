#include "tests/bench/open_loop.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>

namespace attend::bench {
namespace {

double SecondsSince(LoadClock::time_point begin) {
  return std::chrono::duration<double>(LoadClock::now() - begin).count();
}

// Collects the answers on gRPC's threads.
class Answers {
 public:
  void Expect() {
    std::lock_guard lock(mutex_);
    ++pending_;
  }
  void Add(const grpc::Status& status, double seconds) {
    std::lock_guard lock(mutex_);
    if (status.ok()) {
      result_.answered_seconds.push_back(seconds);
    } else if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
      result_.refused_seconds.push_back(seconds);
    } else {
      ++result_.failed;
    }
    if (--pending_ == 0) none_pending_.notify_all();
  }
  OpenLoopResult Wait() {
    std::unique_lock lock(mutex_);
    none_pending_.wait(lock, [this] { return pending_ == 0; });
    return std::move(result_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_pending_;
  int pending_ = 0;        // guarded by mutex_
  OpenLoopResult result_;  // guarded by mutex_
};

}  // namespace

OpenLoopResult RunOpenLoop(std::vector<std::unique_ptr<RawCaller>>& callers, const grpc::ByteBuffer& request,
                           double per_second, double seconds, std::chrono::milliseconds timeout) {
  std::mt19937 random(11);
  std::exponential_distribution<double> gap(per_second);
  Answers answers;
  const LoadClock::time_point begin = LoadClock::now();
  size_t calls = 0;
  for (double due = gap(random); due < seconds; due += gap(random)) {
    const auto due_at = begin + std::chrono::duration_cast<LoadClock::duration>(std::chrono::duration<double>(due));
    std::this_thread::sleep_until(due_at);
    answers.Expect();
    callers[calls++ % callers.size()]->Start(
        request, timeout, [&, due_at](const grpc::Status& status) { answers.Add(status, SecondsSince(due_at)); });
  }
  const double sending_seconds = SecondsSince(begin);
  OpenLoopResult result = answers.Wait();
  result.seconds = sending_seconds;
  return result;
}

double ClosedLoopRate(const std::string& address, const grpc::ByteBuffer& request, int callers, double seconds) {
  std::vector<std::thread> threads;
  std::atomic<int64_t> answered{0};
  std::atomic<bool> counting{false};
  std::atomic<bool> stop{false};
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      const RawCaller caller(address, "Attention", true);
      while (!stop) {
        grpc::ByteBuffer response;
        if (const grpc::Status status = caller.Call(request, &response); !status.ok()) {
          std::fprintf(stderr, "a call failed: %s\n", status.error_message().c_str());
          std::abort();
        }
        if (counting) ++answered;
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  counting = true;
  const LoadClock::time_point begin = LoadClock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const double rate = static_cast<double>(answered) / SecondsSince(begin);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  return rate;
}

double Quantile(std::vector<double> values, double share) {
  const auto rank = std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace attend::bench
