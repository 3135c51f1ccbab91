// One product split into tiles over a call's executor. The split depends on the shapes alone.
#ifndef ATTEND_SERVER_COMPUTE_PARALLEL_GEMM_H_
#define ATTEND_SERVER_COMPUTE_PARALLEL_GEMM_H_

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// c = alpha * a * b + beta * c, as Gemm, on the executor's threads. Same errors, and the executor's.
absl::Status ParallelGemm(runtime::Executor& executor, float alpha, const Operand<float>& a, const Operand<float>& b,
                          float beta, const Matrix<float>& c);
absl::Status ParallelGemm(runtime::Executor& executor, double alpha, const Operand<double>& a, const Operand<double>& b,
                          double beta, const Matrix<double>& c);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PARALLEL_GEMM_H_
