#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/compute/parallel_gemm.h"
#include "server/compute/project/finite.h"
#include "server/compute/project/project.h"

namespace attend::compute {
namespace {

// Both forms are L A L^T with L = E [n, d] or L = E^T [d, n]: L is [outer, inner], A is [inner, inner].
template <typename T>
int64_t Outer(const CongruenceProblem<T>& problem) {
  return problem.form == CongruenceForm::kSequence ? problem.n : problem.d;
}
template <typename T>
int64_t Inner(const CongruenceProblem<T>& problem) {
  return problem.form == CongruenceForm::kSequence ? problem.d : problem.n;
}
template <typename T>
Operand<T> Left(const CongruenceProblem<T>& problem) {
  const Operand<T> e(problem.e, problem.n, problem.d, problem.d);
  return problem.form == CongruenceForm::kSequence ? e : Transposed(e);
}

// With factors, (L W_Q) (L W_K)^T ends in a product over d_k, L (W_Q (L W_K)^T) in one over `inner`; what comes before
// costs the same.
template <typename T>
bool EndsOverFactors(const CongruenceProblem<T>& problem) {
  return problem.d_k <= Inner(problem);
}

template <typename T>
runtime::Buffer Allocate(runtime::BufferPool& pool, int64_t rows, int64_t cols) {
  return pool.AllocateArray<T>(static_cast<size_t>(rows * cols));
}

// The whole matrix is L A L^T for a given A: both orders of the two products cost the same.
template <typename T>
absl::Status WithMatrix(runtime::Executor& executor, runtime::BufferPool& pool, const CongruenceProblem<T>& problem,
                        T scale, const Matrix<T>& out) {
  const int64_t inner = Inner(problem);
  const Operand<T> left = Left(problem);
  const Operand<T> a(problem.a, inner, inner, inner);
  const runtime::Buffer buffer = Allocate<T>(pool, problem.n, problem.d);
  // In either form the intermediate result is [n, d]: E A, or A E.
  const Matrix<T> middle(buffer.as<T>(), problem.n, problem.d);
  if (problem.form == CongruenceForm::kSequence) {
    if (auto done = ParallelGemm(executor, T{1}, left, a, T{0}, middle); !done.ok()) return done;
    return ParallelGemm(executor, scale, Operand<T>(middle), Transposed(left), T{0}, out);
  }
  if (auto done = ParallelGemm(executor, T{1}, a, Transposed(left), T{0}, middle); !done.ok()) return done;
  return ParallelGemm(executor, scale, left, Operand<T>(middle), T{0}, out);
}

template <typename T>
absl::Status WithFactors(runtime::Executor& executor, runtime::BufferPool& pool, const CongruenceProblem<T>& problem,
                         T scale, const Matrix<T>& out) {
  const int64_t outer = Outer(problem);
  const int64_t inner = Inner(problem);
  const Operand<T> left = Left(problem);
  const Operand<T> w_query(problem.w_query, inner, problem.d_k, problem.d_k);
  const Operand<T> w_key(problem.w_key, inner, problem.d_k, problem.d_k);
  const runtime::Buffer key_buffer = Allocate<T>(pool, outer, problem.d_k);
  const Matrix<T> key(key_buffer.as<T>(), outer, problem.d_k);
  if (auto done = ParallelGemm(executor, T{1}, left, w_key, T{0}, key); !done.ok()) return done;
  if (EndsOverFactors(problem)) {
    const runtime::Buffer query_buffer = Allocate<T>(pool, outer, problem.d_k);
    const Matrix<T> query(query_buffer.as<T>(), outer, problem.d_k);
    if (auto done = ParallelGemm(executor, T{1}, left, w_query, T{0}, query); !done.ok()) return done;
    return ParallelGemm(executor, scale, Operand<T>(query), Transposed(Operand<T>(key)), T{0}, out);
  }
  const runtime::Buffer right_buffer = Allocate<T>(pool, inner, outer);
  const Matrix<T> right(right_buffer.as<T>(), inner, outer);
  if (auto done = ParallelGemm(executor, T{1}, w_query, Transposed(Operand<T>(key)), T{0}, right); !done.ok()) {
    return done;
  }
  return ParallelGemm(executor, scale, left, Operand<T>(right), T{0}, out);
}

}  // namespace

template <typename T>
absl::Status CongruenceProjection(runtime::Executor& executor, runtime::BufferPool& pool,
                                  const CongruenceProblem<T>& problem, T* output) {
  const T scale = static_cast<T>(problem.scale);
  if (!std::isfinite(scale)) {
    return absl::OutOfRangeError(
        absl::StrCat("scale is ", problem.scale, ", which overflows ", std::string(NameOf(DTypeOf<T>()))));
  }
  const int64_t outer = Outer(problem);
  const Matrix<T> out(output, outer, outer);
  const absl::Status done = problem.a != nullptr ? WithMatrix(executor, pool, problem, scale, out)
                                                 : WithFactors(executor, pool, problem, scale, out);
  return done.ok() ? CheckFinite(out, 0, 0, 0) : done;
}

template <typename T>
double CongruenceFlops(const CongruenceProblem<T>& problem) {
  const auto outer = static_cast<double>(Outer(problem));
  const auto inner = static_cast<double>(Inner(problem));
  const auto d_k = static_cast<double>(problem.d_k);
  if (problem.a != nullptr) return 2 * outer * inner * (inner + outer);
  return 4 * outer * inner * d_k + 2 * outer * outer * (EndsOverFactors(problem) ? d_k : inner);
}

template <typename T>
double CongruenceWorkspaceBytes(const CongruenceProblem<T>& problem) {
  const auto outer = static_cast<double>(Outer(problem));
  const auto inner = static_cast<double>(Inner(problem));
  const auto d_k = static_cast<double>(problem.d_k);
  if (problem.a != nullptr) return sizeof(T) * outer * inner;
  return sizeof(T) * outer * (d_k + (EndsOverFactors(problem) ? d_k : inner));
}

template absl::Status CongruenceProjection(runtime::Executor&, runtime::BufferPool&, const CongruenceProblem<float>&,
                                           float*);
template absl::Status CongruenceProjection(runtime::Executor&, runtime::BufferPool&, const CongruenceProblem<double>&,
                                           double*);
template double CongruenceFlops(const CongruenceProblem<float>&);
template double CongruenceFlops(const CongruenceProblem<double>&);
template double CongruenceWorkspaceBytes(const CongruenceProblem<float>&);
template double CongruenceWorkspaceBytes(const CongruenceProblem<double>&);

}  // namespace attend::compute
