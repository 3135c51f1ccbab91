#include "server/compute/matrix_exp/entrywise.h"

#include <algorithm>
#include <array>

#include "server/compute/panels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/entrywise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/matrix_exp/entrywise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

void CombineFloat(int64_t entries, int count, const float* coefficients, const float* const* terms, float* out) {
  Combine(hn::ScalableTag<float>(), entries, count, coefficients, terms, out);
}

void CombineDouble(int64_t entries, int count, const double* coefficients, const double* const* terms, double* out) {
  Combine(hn::ScalableTag<double>(), entries, count, coefficients, terms, out);
}

template <typename T>
double ColumnSums(const Matrix<const T>& a, const double* weights, double* sums) {
  return AbsColumnSums(hn::ScalableTag<double>(), a.rows, a.cols, a.data, a.stride, weights, sums);
}

double ColumnSumsFloat(const Matrix<const float>& a, const double* weights, double* sums) {
  return ColumnSums(a, weights, sums);
}

double ColumnSumsDouble(const Matrix<const double>& a, const double* weights, double* sums) {
  return ColumnSums(a, weights, sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(CombineFloat);
HWY_EXPORT(CombineDouble);
HWY_EXPORT(ColumnSumsFloat);
HWY_EXPORT(ColumnSumsDouble);

namespace {

constexpr size_t kMostTerms = 5;

void CombineAny(int64_t entries, int count, const float* coefficients, const float* const* terms, float* out) {
  HWY_DYNAMIC_DISPATCH(CombineFloat)(entries, count, coefficients, terms, out);
}
void CombineAny(int64_t entries, int count, const double* coefficients, const double* const* terms, double* out) {
  HWY_DYNAMIC_DISPATCH(CombineDouble)(entries, count, coefficients, terms, out);
}

double ColumnSumsAny(const Matrix<const float>& a, const double* weights, double* sums) {
  return HWY_DYNAMIC_DISPATCH(ColumnSumsFloat)(a, weights, sums);
}
double ColumnSumsAny(const Matrix<const double>& a, const double* weights, double* sums) {
  return HWY_DYNAMIC_DISPATCH(ColumnSumsDouble)(a, weights, sums);
}

}  // namespace

template <typename T>
absl::Status SumTerms(runtime::Executor& executor, int64_t n, absl::Span<const Term<T>> terms, T identity, T* out) {
  return ForEachPanel(executor, n, n, [&](int64_t begin, int64_t end) {
    std::array<T, kMostTerms> coefficients;
    std::array<const T*, kMostTerms> matrices;
    for (size_t k = 0; k < terms.size(); ++k) {
      coefficients[k] = terms[k].coefficient;
      matrices[k] = terms[k].matrix + begin * n;
    }
    CombineAny((end - begin) * n, static_cast<int>(terms.size()), coefficients.data(), matrices.data(),
               out + begin * n);
    if (identity == 0) return;
    for (int64_t i = begin; i < end; ++i) out[i * n + i] += identity;
  });
}

template <typename T>
absl::Status AbsColumnSums(runtime::Executor& executor, const Matrix<const T>& a, const double* weights, double* sums,
                           double& largest) {
  const auto done = ForEachBand(executor, a.rows, a.cols, [&](int64_t begin, int64_t end) {
    ColumnSumsAny(Matrix<const T>(a.data + begin, a.rows, end - begin, a.stride), weights, sums + begin);
  });
  largest = a.cols > 0 ? *std::max_element(sums, sums + a.cols) : 0;
  return done;
}

template <typename T>
double AbsColumnSums(const Matrix<const T>& a, double* sums) {
  return ColumnSumsAny(a, nullptr, sums);
}

template double AbsColumnSums(const Matrix<const float>&, double*);
template double AbsColumnSums(const Matrix<const double>&, double*);
template absl::Status SumTerms(runtime::Executor&, int64_t, absl::Span<const Term<float>>, float, float*);
template absl::Status SumTerms(runtime::Executor&, int64_t, absl::Span<const Term<double>>, double, double*);
template absl::Status AbsColumnSums(runtime::Executor&, const Matrix<const float>&, const double*, double*, double&);
template absl::Status AbsColumnSums(runtime::Executor&, const Matrix<const double>&, const double*, double*, double&);

}  // namespace attend::compute
#endif  // HWY_ONCE
