// What this machine can do, measured in this process, to hold the kernels against.
#ifndef ATTEND_TESTS_BENCH_MACHINE_H_
#define ATTEND_TESTS_BENCH_MACHINE_H_

#include <vector>

#include "absl/functional/function_ref.h"
#include "server/runtime/buffer_pool.h"

namespace attend::bench {

// A large float32 product on the calling thread. The best of all runs so far is the peak.
class SgemmPeak {
 public:
  SgemmPeak();
  void Run();
  double flops_per_second() const { return best_; }

 private:
  static constexpr int kSide = 1536;
  std::vector<float> a_, b_, c_;
  double best_ = 0;
};

// The median of the times that one run takes, over about `seconds`, with the peak measured in turns with it.
double MedianSecondsBeside(SgemmPeak& peak, double seconds, absl::FunctionRef<double()> run);

// A sweep over memory that no cache holds, on the calling thread. The median of all runs so far is the bandwidth: what
// is held against it is a median in turns with it.
class ReadBandwidth {
 public:
  ReadBandwidth();
  void Run();
  double bytes_per_second() const;

 private:
  runtime::BufferPool pool_;
  runtime::Buffer memory_;  // where tensors lie, too
  std::vector<double> seconds_;
};

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_MACHINE_H_
