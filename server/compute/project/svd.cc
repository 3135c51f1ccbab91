#include "server/compute/project/svd.h"

#include <algorithm>

#include "server/compute/bidiagonal_svd.h"
#include "server/compute/panels.h"
#include "server/compute/project/bidiagonal.h"

namespace attend::compute {
namespace {

using lapack::ColumnMajor;

bool IsTall(int64_t rows, int64_t cols) { return rows >= cols + cols / 2 && rows > cols; }

runtime::Buffer Doubles(runtime::BufferPool& pool, int64_t count) {
  return pool.AllocateArray<double>(static_cast<size_t>(count));
}

// The triangle on and above a's diagonal, zeros below it.
void CopyTriangle(const ColumnMajor& a, double* to) {
  for (int64_t j = 0; j < a.cols; ++j) {
    std::copy_n(a.at(0, j), j + 1, to + j * a.cols);
    std::fill_n(to + j * a.cols + j + 1, a.cols - j - 1, 0.0);
  }
}

}  // namespace

absl::Status Svd::Decompose(runtime::Executor& executor, runtime::BufferPool& pool, const ColumnMajor& a,
                            Wanted wanted) {
  a_ = reduced_ = a;
  values_ = Doubles(pool, a.cols);
  factors_ = Doubles(pool, 3 * a.cols);
  if (IsTall(a.rows, a.cols)) {
    double* const triangular_factors = factors_.as<double>() + 2 * a.cols;
    if (auto done = ReduceToTriangular(executor, pool, a, triangular_factors); !done.ok()) return done;
    triangular_ = Doubles(pool, a.cols * a.cols);
    CopyTriangle(a, triangular_.as<double>());
    reduced_ = {triangular_.as<double>(), a.cols, a.cols, a.cols};
  }
  return Diagonalize(executor, pool, wanted);
}

absl::Status Svd::Diagonalize(runtime::Executor& executor, runtime::BufferPool& pool, Wanted wanted) {
  const int64_t n = a_.cols;
  const runtime::Buffer superdiagonal = Doubles(pool, n);
  const lapack::Bidiagonal bidiagonal{values_.as<double>(), superdiagonal.as<double>(), factors_.as<double>(),
                                      factors_.as<double>() + n};
  if (auto done = ReduceToBidiagonal(executor, pool, reduced_, bidiagonal); !done.ok()) return done;
  if (wanted == Wanted::kValues) {
    return BidiagonalValues(executor, pool, n, bidiagonal.diagonal, bidiagonal.superdiagonal);
  }
  u_ = Doubles(pool, n * n);
  vt_ = Doubles(pool, n * n);
  return BidiagonalSvd(executor, pool, n, bidiagonal.diagonal, bidiagonal.superdiagonal, u_.as<double>(),
                       vt_.as<double>());
}

absl::Status Svd::Left(runtime::Executor& executor, runtime::BufferPool& pool, int64_t k, double* w) const {
  const int64_t n = a_.cols;
  const auto copied = ForEachPanel(executor, k, a_.rows, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      std::copy_n(u_.as<double>() + j * n, n, w + j * a_.rows);
      std::fill_n(w + j * a_.rows + n, a_.rows - n, 0.0);
    }
  });
  if (!copied.ok()) return copied;
  const ColumnMajor top{w, reduced_.rows, k, a_.rows};
  if (auto done = ApplyReflectors(executor, pool, Side::kLeft, reduced_, factors_.as<double>(), top); !done.ok()) {
    return done;
  }
  if (!tall()) return absl::OkStatus();
  return ApplyReflectors(executor, pool, Side::kLeft, a_, factors_.as<double>() + 2 * n, {w, a_.rows, k, a_.rows});
}

absl::Status Svd::Right(runtime::Executor& executor, runtime::BufferPool& pool, int64_t k, double* z) const {
  const int64_t n = a_.cols;
  const auto copied = ForEachPanel(executor, k, n, [&](int64_t begin, int64_t end) {
    std::copy_n(vt_.as<double>() + begin * n, (end - begin) * n, z + begin * n);
  });
  if (!copied.ok()) return copied;
  return ApplyReflectors(executor, pool, Side::kRight, reduced_, factors_.as<double>() + n, {z, n, k, n});
}

double SvdWorkspaceBytes(int64_t rows, int64_t cols, int workers) {
  const auto n = static_cast<double>(cols);
  const double triangular = IsTall(rows, cols) ? n * n : 0;
  const double vectors = 2 * n * n + 5 * n;
  return sizeof(double) * (triangular + vectors) + BidiagonalSvdBytes(cols) +
         ReflectorWorkspaceBytes(rows, cols, workers);
}

double SvdFlops(int64_t rows, int64_t cols, int64_t vectors) {
  const auto m = static_cast<double>(rows), n = static_cast<double>(cols), k = static_cast<double>(vectors);
  if (IsTall(rows, cols)) return 2 * n * n * (m - n / 3) + 8 * n * n * n / 3 + (4 * n * n + 4 * m * n) * k;
  return 4 * n * n * (m - n / 3) + (4 * m * n + 2 * n * n) * k;
}

}  // namespace attend::compute
