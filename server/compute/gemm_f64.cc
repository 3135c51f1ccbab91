// The one file that includes a BLAS.
#include <cblas.h>

#include <limits>

#include "server/compute/gemm.h"
#include "server/compute/library_threads.h"

namespace attend::compute {
namespace {

void Scale(double beta, const Matrix<double>& c) {
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) c.row(i)[j] = beta == 0 ? 0 : beta * c.row(i)[j];
  }
}

bool FitsBlasInt(const Operand<double>& a) {
  constexpr int64_t kLargest = std::numeric_limits<blasint>::max();
  return a.rows <= kLargest && a.cols <= kLargest && a.stride <= kLargest;
}

}  // namespace

void UseOneThread() {
  static const bool done = [] {
    openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(done);
}

absl::Status Gemm(double alpha, const Operand<double>& a, const Operand<double>& b, double beta,
                  const Matrix<double>& c) {
  if (c.rows == 0 || c.cols == 0) return absl::OkStatus();
  if (a.cols == 0 || alpha == 0) {
    Scale(beta, c);
    return absl::OkStatus();
  }
  UseOneThread();
  if (!FitsBlasInt(a) || !FitsBlasInt(b) || !FitsBlasInt(c)) {
    return absl::ResourceExhaustedError("a float64 matrix dimension exceeds 2147483647");
  }
  cblas_dgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, b.transposed ? CblasTrans : CblasNoTrans,
              static_cast<blasint>(c.rows), static_cast<blasint>(c.cols), static_cast<blasint>(a.cols), alpha, a.data,
              static_cast<blasint>(a.stride), b.data, static_cast<blasint>(b.stride), beta, c.data,
              static_cast<blasint>(c.stride));
  return absl::OkStatus();
}

}  // namespace attend::compute
