#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/parallel_gemm.h"
#include "server/compute/project/finite.h"
#include "server/compute/project/normalized.h"
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

template <typename T>
absl::Status Multiply(runtime::Executor& executor, runtime::BufferPool& pool, const CongruenceProblem<T>& problem,
                      T scale, const Matrix<T>& out) {
  return problem.a != nullptr ? WithMatrix(executor, pool, problem, scale, out)
                              : WithFactors(executor, pool, problem, scale, out);
}

// What the problem consists of: `a`, or two factors; [inner, inner] or [inner, d_k].
template <typename T>
struct Part {
  const T* entries;
  int64_t count;
};
template <typename T>
std::vector<Part<T>> Parts(const CongruenceProblem<T>& problem) {
  const int64_t inner = Inner(problem);
  if (problem.a != nullptr) return {{problem.a, inner * inner}};
  return {{problem.w_query, inner * problem.d_k}, {problem.w_key, inner * problem.d_k}};
}

// Whether all products on the way stay so far inside T's range that nothing that counts over- or underflows.
template <typename T>
bool StaysInRange(const CongruenceProblem<T>& problem) {
  constexpr int kMost = std::numeric_limits<T>::max_exponent / 2;
  if (problem.e == nullptr || problem.scale == 0) return true;
  int sum = 2 * std::abs(NormalizingExponent(problem.e, problem.n * problem.d)) + std::abs(std::ilogb(problem.scale));
  for (const Part<T>& part : Parts(problem)) sum += std::abs(NormalizingExponent(part.entries, part.count));
  return sum <= kMost;
}

// The problem over powers of two: each row of L over its own, other matrices over that of their largest entry.
template <typename T>
struct ScaledProblem {
  CongruenceProblem<T> problem;    // a view of `memory`, without the scale
  std::vector<int> row_exponents;  // of L, [outer]
  int exponent = 0;                // of the rest
  T fraction = 0;                  // scale / 2^(its part of exponent), in (-1, 1)
  runtime::Buffer memory;
};

template <typename T>
double ScaledProblemBytes(const CongruenceProblem<T>& problem) {
  double entries = static_cast<double>(problem.n) * static_cast<double>(problem.d);
  for (const Part<T>& part : Parts(problem)) entries += static_cast<double>(part.count);
  return sizeof(T) * entries + sizeof(int) * static_cast<double>(Outer(problem));
}

template <typename T>
void ScaleRows(const Operand<T>& left, T* copy, std::vector<int>& exponents) {
  const int64_t row_step = left.transposed ? 1 : left.stride, col_step = left.transposed ? left.stride : 1;
  for (int64_t i = 0; i < left.rows; ++i) {
    T largest = 0;
    for (int64_t j = 0; j < left.cols; ++j) {
      largest = std::max(largest, std::abs(left.data[i * row_step + j * col_step]));
    }
    const int exponent = NormalizingExponent(&largest, 1);
    exponents.push_back(exponent);
    for (int64_t j = 0; j < left.cols; ++j) {
      const int64_t at = i * row_step + j * col_step;
      copy[at] = std::scalbn(left.data[at], -exponent);
    }
  }
}

template <typename T>
ScaledProblem<T> Scale(runtime::BufferPool& pool, const CongruenceProblem<T>& problem) {
  ScaledProblem<T> scaled;
  scaled.problem = problem;
  scaled.memory = pool.AllocateArray<T>(static_cast<size_t>(ScaledProblemBytes(problem) / sizeof(T)));
  T* next = scaled.memory.template as<T>();
  ScaleRows(Left(problem), next, scaled.row_exponents);
  scaled.problem.e = std::exchange(next, next + problem.n * problem.d);
  std::vector<const T*> copies;
  for (const Part<T>& part : Parts(problem)) {
    const int exponent = NormalizingExponent(part.entries, part.count);
    std::transform(part.entries, part.entries + part.count, next, [=](T x) { return std::scalbn(x, -exponent); });
    scaled.exponent += exponent;
    copies.push_back(std::exchange(next, next + part.count));
  }
  if (problem.a != nullptr) {
    scaled.problem.a = copies[0];
  } else {
    scaled.problem.w_query = copies[0];
    scaled.problem.w_key = copies[1];
  }
  int of_scale = 0;
  scaled.fraction = static_cast<T>(std::frexp(problem.scale, &of_scale));
  scaled.exponent += of_scale;
  return scaled;
}

// What over- or underflows here does so in the result, unless the entries of a row of L are themselves further apart.
template <typename T>
absl::Status MultiplyScaled(runtime::Executor& executor, runtime::BufferPool& pool, const CongruenceProblem<T>& problem,
                            const Matrix<T>& out) {
  const ScaledProblem<T> scaled = Scale(pool, problem);
  if (auto done = Multiply(executor, pool, scaled.problem, scaled.fraction, out); !done.ok()) return done;
  return executor.ForEachTile(out.rows, static_cast<double>(out.cols), [&](int64_t i, int) {
    const int of_row = scaled.exponent + scaled.row_exponents[static_cast<size_t>(i)];
    T* const row = out.row(i);
    for (int64_t j = 0; j < out.cols; ++j) {
      row[j] = std::scalbn(row[j], of_row + scaled.row_exponents[static_cast<size_t>(j)]);
    }
    return absl::OkStatus();
  });
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
  const absl::Status done = StaysInRange(problem) ? Multiply(executor, pool, problem, scale, out)
                                                  : MultiplyScaled(executor, pool, problem, out);
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
  const double copies = StaysInRange(problem) ? 0 : ScaledProblemBytes(problem);
  if (problem.a != nullptr) return copies + sizeof(T) * outer * inner;
  return copies + sizeof(T) * outer * (d_k + (EndsOverFactors(problem) ? d_k : inner));
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
