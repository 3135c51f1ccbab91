#include "server/compute/lie/logarithm.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "server/compute/lie/complex_schur.h"
#include "server/compute/lie/real_schur.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

using Complex = std::complex<double>;

double FrobeniusNorm(const Matrix<const double>& a) {
  double norm = 0;
  for (int64_t i = 0; i < a.rows; ++i) {
    double row = 0;
    for (int64_t j = 0; j < a.cols; ++j) row = std::max(row, std::fabs(a.row(i)[j]));
    if (row == 0) continue;
    double sum = 0;
    for (int64_t j = 0; j < a.cols; ++j) sum += (a.row(i)[j] / row) * (a.row(i)[j] / row);
    norm = std::hypot(norm, row * std::sqrt(sum));
  }
  return norm;
}

void FindObstacle(const Matrix<const double>& a, Logarithm& result) {
  const double zero = 0.5 * std::numeric_limits<double>::epsilon() * static_cast<double>(a.rows) * FrobeniusNorm(a);
  for (const Complex& value : result.eigenvalues) {
    if (std::abs(value) <= zero) {
      result.obstacle = absl::StrCat("an eigenvalue of modulus ", std::abs(value), " is 0 to working precision");
      return;
    }
    if (value.imag() == 0 && value.real() < 0) {
      result.obstacle = absl::StrCat("the eigenvalue ", value.real(), " lies on the negative real axis");
      return;
    }
  }
  result.exists = true;
}

// The real part of q m q^H, from real products of the parts: parts[0..3] are q's and m's real and imaginary parts, [n,
// n] COLUMN-major, so that each is read as the transpose of a row-major matrix; parts[4..5] are scratch.
class BackFromSchur {
 public:
  BackFromSchur(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n)
      : executor_(executor), n_(n), buffer_(pool.AllocateArray<double>(static_cast<size_t>(6 * n * n))) {}

  absl::Status Run(const Complex* q, const Complex* m, const Matrix<double>& to) {
    for (int64_t i = 0; i < n_ * n_; ++i) {
      part(0)[i] = q[i].real();
      part(1)[i] = q[i].imag();
      part(2)[i] = m[i].real();
      part(3)[i] = m[i].imag();
    }
    const Matrix<double> real(part(4), n_, n_), imaginary(part(5), n_, n_);
    if (auto done = Add(1, 0, 2, 0, real); !done.ok()) return done;
    if (auto done = Add(-1, 1, 3, 1, real); !done.ok()) return done;
    if (auto done = Add(1, 0, 3, 0, imaginary); !done.ok()) return done;
    if (auto done = Add(1, 1, 2, 1, imaginary); !done.ok()) return done;
    // Row-major q is q^T here: the last factor is it as it stands.
    if (auto done = ParallelGemm(executor_, 1.0, Operand<double>(real), Stored(0), 0.0, to); !done.ok()) return done;
    return ParallelGemm(executor_, 1.0, Operand<double>(imaginary), Stored(1), 1.0, to);
  }

 private:
  double* part(int k) { return buffer_.as<double>() + k * n_ * n_; }
  Operand<double> Stored(int k) { return Operand<double>(part(k), n_, n_, n_); }
  absl::Status Add(double sign, int left, int right, double keep, const Matrix<double>& to) {
    return ParallelGemm(executor_, sign, Transposed(Stored(left)), Transposed(Stored(right)), keep, to);
  }

  runtime::Executor& executor_;
  const int64_t n_;
  const runtime::Buffer buffer_;
};

}  // namespace

absl::Status ComputeLogarithm(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& a,
                              const Matrix<double>& log, Logarithm& result) {
  result = Logarithm{};
  const int64_t n = a.rows;
  const auto size = static_cast<size_t>(n * n);
  const runtime::Buffer t_buffer = pool.AllocateArray<Complex>(size);
  const runtime::Buffer q_buffer = pool.AllocateArray<Complex>(size);
  Complex* t = t_buffer.as<Complex>();
  Complex* q = q_buffer.as<Complex>();
  {
    const runtime::Buffer schur_buffer = pool.AllocateArray<double>(2 * size);
    double* schur = schur_buffer.as<double>();
    double* vectors = schur + size;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) schur[i + j * n] = a.row(i)[j];  // LAPACK's order
    }
    absl::Status done = RealSchur(executor, pool, n, schur, vectors, result.eigenvalues);
    if (!done.ok()) return done;
    std::copy_n(schur, size, t);
    std::copy_n(vectors, size, q);
  }
  FindObstacle(a, result);
  if (!result.exists || n == 0) return absl::OkStatus();
  TriangularizeBlocks(n, t, q);
  if (auto done = TriangularLog(executor.cancellation(), pool, n, t, result.cost); !done.ok()) return done;
  return BackFromSchur(executor, pool, n).Run(q, t, log);
}

double LogarithmWorkspaceBytes(int64_t n) {
  const auto size = static_cast<double>(n);
  return (5 * 16 + 16) * size * size + RealSchurWorkspaceBytes(n) + 64 * size;
}

}  // namespace attend::compute
