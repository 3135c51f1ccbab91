#include "server/compute/project/numerical_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "server/compute/parallel_gemm.h"
#include "server/compute/project/bidiagonal.h"
#include "server/compute/project/normalized.h"
#include "server/compute/project/svd.h"
#include "server/compute/project/triplets.h"

namespace attend::compute {
namespace {

using lapack::ColumnMajor;

template <typename T>
constexpr double Epsilon() {
  return static_cast<double>(std::numeric_limits<T>::epsilon());
}

runtime::Buffer Doubles(runtime::BufferPool& pool, int64_t count) {
  return pool.AllocateArray<double>(static_cast<size_t>(count));
}

// |R_kk| of the pivoted factorization of a (column-major, rows >= cols), largest first.
std::vector<double> PivotedDiagonal(runtime::BufferPool& pool, const ColumnMajor& a) {
  const runtime::Buffer pivots = pool.AllocateArray<int>(static_cast<size_t>(a.cols));
  const runtime::Buffer work = Doubles(pool, a.cols + lapack::PivotedQrWork(a.cols));
  lapack::PivotedQr(a, pivots.as<int>(), work.as<double>(), work.as<double>() + a.cols);
  std::vector<double> diagonal;
  for (int64_t k = 0; k < a.cols; ++k) diagonal.push_back(std::abs(*a.at(k, k)));
  return diagonal;
}

// `a` holds a matrix of these sides or its transpose, such that its column-major form is tall; destroyed.
absl::StatusOr<std::vector<double>> Measures(runtime::Executor& executor, runtime::BufferPool& pool, RankMethod method,
                                             double* a, int64_t rows, int64_t cols) {
  if (method == RankMethod::kSingularValues) return SingularValues(executor, pool, a, rows, cols);
  const int64_t tall = std::max(rows, cols);
  if (auto wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
  return PivotedDiagonal(pool, {a, tall, std::min(rows, cols), tall});
}

// Powers of two for the columns of left and right, both [rows, inner], that leave left right^T as it is but for one
// power of two and bring the entries of either to 1 at most: whatever is lost is far below the product's rounding.
struct ColumnScales {
  std::vector<int> left, right;
};

constexpr int kNone = std::numeric_limits<int>::min();

// Of each column's largest entry; kNone for a column of zeros.
template <typename T>
std::vector<int> ColumnExponents(const T* a, int64_t rows, int64_t inner) {
  std::vector<int> exponents(static_cast<size_t>(inner), kNone);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < inner; ++k) {
      const T entry = a[i * inner + k];
      if (entry != 0)
        exponents[static_cast<size_t>(k)] = std::max(exponents[static_cast<size_t>(k)], std::ilogb(entry));
    }
  }
  return exponents;
}

template <typename T>
ColumnScales ScalesOf(const T* left, const T* right, int64_t rows, int64_t inner) {
  const std::vector<int> left_exponents = ColumnExponents(left, rows, inner);
  const std::vector<int> right_exponents = ColumnExponents(right, rows, inner);
  int most = kNone;
  for (size_t k = 0; k < left_exponents.size(); ++k) {
    if (left_exponents[k] == kNone || right_exponents[k] == kNone) continue;
    most = std::max(most, left_exponents[k] + right_exponents[k]);
  }
  ColumnScales scales{std::vector<int>(left_exponents.size(), 0), std::vector<int>(left_exponents.size(), 0)};
  for (size_t k = 0; k < left_exponents.size(); ++k) {
    // Where one column is zero the other does not count.
    const bool counts = left_exponents[k] != kNone && right_exponents[k] != kNone;
    scales.left[k] = counts ? -left_exponents[k] : kNone;
    scales.right[k] = counts ? left_exponents[k] - most : kNone;
  }
  return scales;
}

// a [rows, inner] with column k times 2^scales[k], 0 for kNone; row i at to + i * row_step, column k at k *
// column_step.
template <typename T>
void ScaleColumns(const T* a, int64_t rows, int64_t inner, const std::vector<int>& scales, double* to, int64_t row_step,
                  int64_t column_step) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < inner; ++k) {
      const int scale = scales[static_cast<size_t>(k)];
      to[i * row_step + k * column_step] =
          scale == kNone ? 0 : std::ldexp(static_cast<double>(a[i * inner + k]), scale);
    }
  }
}

// R of a [rows, inner] with scaled columns = Q R, column-major [inner, inner] with zeros below. REQUIRES: rows >=
// inner.
template <typename T>
absl::StatusOr<runtime::Buffer> TriangularFactor(runtime::Executor& executor, runtime::BufferPool& pool, const T* a,
                                                 int64_t rows, int64_t inner, const std::vector<int>& scales) {
  const runtime::Buffer copy = Doubles(pool, rows * inner);
  ScaleColumns(a, rows, inner, scales, copy.as<double>(), 1, rows);
  const ColumnMajor tall{copy.as<double>(), rows, inner, rows};
  const runtime::Buffer factors = Doubles(pool, inner);
  if (auto done = ReduceToTriangular(executor, pool, tall, factors.as<double>()); !done.ok()) return done;
  runtime::Buffer triangle = Doubles(pool, inner * inner);
  for (int64_t j = 0; j < inner; ++j) {
    std::copy_n(tall.at(0, j), j + 1, triangle.as<double>() + j * inner);
    std::fill_n(triangle.as<double>() + j * inner + j + 1, inner - j - 1, 0.0);
  }
  return triangle;
}

// A copy of a [rows, inner] itself, its columns scaled.
template <typename T>
runtime::Buffer ScaledCopy(runtime::BufferPool& pool, const T* a, int64_t rows, int64_t inner,
                           const std::vector<int>& scales) {
  runtime::Buffer copy = Doubles(pool, rows * inner);
  ScaleColumns(a, rows, inner, scales, copy.as<double>(), inner, 1);
  return copy;
}

}  // namespace

template <typename T>
absl::StatusOr<int64_t> NumericalRank(runtime::Executor& executor, runtime::BufferPool& pool, RankMethod method,
                                      const T* a, int64_t rows, int64_t cols) {
  if (rows == 0 || cols == 0) return 0;
  const runtime::Buffer copy = Doubles(pool, rows * cols);
  const int exponent = NormalizingExponent(a, rows * cols);
  if (rows > cols) {
    NormalizeTransposed(a, rows, cols, exponent, copy.as<double>());
  } else {
    Normalize(a, rows * cols, exponent, copy.as<double>());
  }
  const auto measures = Measures(executor, pool, method, copy.as<double>(), rows, cols);
  if (!measures.ok()) return measures.status();
  return CountAboveRounding(*measures, rows, cols, Epsilon<T>());
}

template <typename T>
absl::StatusOr<int64_t> NumericalRankOfProduct(runtime::Executor& executor, runtime::BufferPool& pool,
                                               RankMethod method, const T* left, const T* right, int64_t rows,
                                               int64_t inner) {
  if (rows == 0 || inner == 0) return 0;
  const int64_t side = std::min(rows, inner);
  const ColumnScales scales = ScalesOf(left, right, rows, inner);
  runtime::Buffer left_factor, right_factor;
  if (inner < rows) {
    auto left_triangle = TriangularFactor(executor, pool, left, rows, inner, scales.left);
    if (!left_triangle.ok()) return left_triangle.status();
    auto right_triangle = TriangularFactor(executor, pool, right, rows, inner, scales.right);
    if (!right_triangle.ok()) return right_triangle.status();
    left_factor = *std::move(left_triangle);
    right_factor = *std::move(right_triangle);
  } else {
    left_factor = ScaledCopy(pool, left, rows, inner, scales.left);
    right_factor = ScaledCopy(pool, right, rows, inner, scales.right);
  }
  // A column-major triangle R is R^T row-major: both are multiplied as they should be.
  const bool triangles = inner < rows;
  const Operand<double> l(left_factor.as<double>(), side, inner, inner, triangles);
  const Operand<double> r(right_factor.as<double>(), side, inner, inner, triangles);
  const runtime::Buffer product = Doubles(pool, side * side);
  auto done = ParallelGemm(executor, 1.0, l, Transposed(r), 0.0, Matrix<double>(product.as<double>(), side, side));
  if (!done.ok()) return done;
  const auto measures = Measures(executor, pool, method, product.as<double>(), side, side);
  if (!measures.ok()) return measures.status();
  return CountAboveRounding(*measures, rows, rows, Epsilon<T>());
}

double RankCost(RankMethod method, int64_t rows, int64_t inner) {
  const auto side = static_cast<double>(inner > 0 ? std::min(rows, inner) : rows);
  const double factors = inner > 0 && inner < rows ? 2 * 3 * static_cast<double>(rows) * side * side : 0;
  const double product = inner > 0 ? 2 * side * side * static_cast<double>(inner) : 0;
  return factors + product + (method == RankMethod::kSingularValues ? 11 : 4) * side * side * side;
}

double RankWorkspaceBytes(int64_t rows, int64_t inner, int workers) {
  const int64_t side = inner > 0 ? std::min(rows, inner) : rows;
  const auto length = static_cast<double>(rows), width = static_cast<double>(inner > 0 ? inner : rows);
  const double copies = inner > 0 ? 2 * length * width : length * length;
  const double square = static_cast<double>(side) * static_cast<double>(side);
  const double measuring = 130.0 * static_cast<double>(side);
  return sizeof(double) * (copies + 3 * square + measuring) + ReflectorWorkspaceBytes(rows, side, workers);
}

template absl::StatusOr<int64_t> NumericalRank(runtime::Executor&, runtime::BufferPool&, RankMethod, const float*,
                                               int64_t, int64_t);
template absl::StatusOr<int64_t> NumericalRank(runtime::Executor&, runtime::BufferPool&, RankMethod, const double*,
                                               int64_t, int64_t);
template absl::StatusOr<int64_t> NumericalRankOfProduct(runtime::Executor&, runtime::BufferPool&, RankMethod,
                                                        const float*, const float*, int64_t, int64_t);
template absl::StatusOr<int64_t> NumericalRankOfProduct(runtime::Executor&, runtime::BufferPool&, RankMethod,
                                                        const double*, const double*, int64_t, int64_t);

}  // namespace attend::compute
