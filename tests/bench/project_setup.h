// A linear projection of little arithmetic and many bytes: what a benchmark of the wire carries. The same work as a
// message, and in this process.
#ifndef ATTEND_TESTS_BENCH_PROJECT_SETUP_H_
#define ATTEND_TESTS_BENCH_PROJECT_SETUP_H_

#include <cstdint>
#include <vector>

#include "attend/v1/attend.pb.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/compute_pool.h"

namespace attend::bench {

class ProjectSetup {
 public:
  // x [rows, d] times w [d, d], float32, without biases.
  ProjectSetup(int64_t rows, int64_t d);

  int64_t rows() const { return rows_; }
  int64_t d() const { return d_; }
  const std::vector<float>& x() const { return x_; }
  const std::vector<float>& w() const { return w_; }

  v1::ProjectRequest Request() const;
  double CarriedMiB() const;  // the elements of request and response

  // Computes into memory of the setup's own.
  void Run(runtime::ComputePool& pool);
  const std::vector<float>& output() const { return output_; }

 private:
  const int64_t rows_;
  const int64_t d_;
  std::vector<float> x_, w_, output_;
  runtime::BufferPool buffers_;
};

// output [rows, d] = x [rows, d] w [d, d], as one call of `pool`.
void RunProjection(runtime::ComputePool& pool, runtime::BufferPool& buffers, const float* x, int64_t rows,
                   const float* w, int64_t d, float* output);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_PROJECT_SETUP_H_
