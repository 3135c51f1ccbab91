#include "server/compute/lie/real_schur.h"

#include <algorithm>
#include <cmath>

#include "server/compute/lapack.h"
#include "server/compute/lie/hessenberg.h"
#include "server/compute/lie/multishift_qr.h"

namespace attend::compute {
namespace {

using lapack::ColumnMajor;

// Within it the entries' squares neither overflow nor vanish.
constexpr int kLargestExponent = 400;

// a times 2^-exponent, whose largest entry then is near 1, if it is far from it: rounds nothing that counts.
int ScaleNearOne(int64_t n, double* a) {
  double largest = 0;
  for (int64_t i = 0; i < n * n; ++i) largest = std::max(largest, std::fabs(a[i]));
  int exponent = 0;
  std::frexp(largest, &exponent);
  if (std::abs(exponent) <= kLargestExponent) return 0;
  for (int64_t i = 0; i < n * n; ++i) a[i] = std::ldexp(a[i], -exponent);
  return exponent;
}

// The real Schur form of a, with its vectors where q is not null.
class Decomposition {
 public:
  Decomposition(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a, double* q)
      : executor_(executor), pool_(pool), a_{a, n, n, n}, q_{q, n, n, n}, space_(static_cast<size_t>(4 * n)) {}

  absl::Status Run(std::vector<std::complex<double>>& values) {
    const int64_t n = a_.cols;
    double* const permutation = space_.data();
    double* const factors = permutation + n;
    const lapack::HessenbergQr qr{a_, q_.data == nullptr ? ColumnMajor{} : q_, factors + n, factors + 2 * n};
    const int exponent = ScaleNearOne(n, a_.data);
    const auto balancing = q_.data == nullptr ? lapack::Balancing::kScaled : lapack::Balancing::kPermuted;
    const lapack::ActiveRange range = lapack::Balance(balancing, a_, permutation);
    if (auto done = ReduceToHessenberg(executor_, pool_, a_, range, factors); !done.ok()) return done;
    if (q_.data != nullptr) {
      if (auto done = FormHessenbergBasis(executor_, pool_, a_, range, factors, q_); !done.ok()) return done;
    }
    for (int64_t j = 0; j + 2 < n; ++j) std::fill_n(a_.at(j + 2, j), n - j - 2, 0.0);
    if (auto done = SchurOfHessenberg(executor_, pool_, qr, range); !done.ok()) return done;
    if (q_.data != nullptr) lapack::Unbalance(range, permutation, q_);
    for (int64_t i = 0; exponent != 0 && i < n * n; ++i) a_.data[i] = std::ldexp(a_.data[i], exponent);
    for (int64_t i = 0; i < n; ++i) {
      values.emplace_back(std::ldexp(qr.real[i], exponent), std::ldexp(qr.imaginary[i], exponent));
    }
    return absl::OkStatus();
  }

 private:
  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const ColumnMajor a_, q_;
  std::vector<double> space_;  // permutation, factors, real, imaginary
};

}  // namespace

absl::Status Eigenvalues(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a,
                         std::vector<std::complex<double>>& values) {
  values.clear();
  if (n == 0) return absl::OkStatus();
  return Decomposition(executor, pool, n, a, nullptr).Run(values);
}

absl::Status RealSchur(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a, double* q,
                       std::vector<std::complex<double>>& values) {
  values.clear();
  if (n == 0) return absl::OkStatus();
  return Decomposition(executor, pool, n, a, q).Run(values);
}

double RealSchurWorkspaceBytes(int64_t n) {
  return 64 * static_cast<double>(n) + std::max(HessenbergBytes(n), MultishiftQrBytes(n));
}

}  // namespace attend::compute
