#include "server/compute/lie/second_eigenvalue.h"

#include <algorithm>
#include <tuple>

#include "server/compute/lie/arnoldi.h"
#include "server/compute/lie/real_schur.h"

namespace attend::compute {
namespace {

// What is left without the eigenvalue nearest to 1.
double SecondModulus(const std::vector<std::complex<double>>& eigenvalues) {
  size_t first = 0;
  for (size_t i = 1; i < eigenvalues.size(); ++i) {
    if (std::abs(eigenvalues[i] - 1.0) < std::abs(eigenvalues[first] - 1.0)) first = i;
  }
  double modulus = 0;
  for (size_t i = 0; i < eigenvalues.size(); ++i) {
    if (i != first) modulus = std::max(modulus, std::abs(eigenvalues[i]));
  }
  return std::min(modulus, 1.0);
}

}  // namespace

absl::Status SortedEigenvalues(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                               std::vector<std::complex<double>>& eigenvalues) {
  const int64_t n = s.rows;
  const runtime::Buffer buffer = pool.AllocateArray<double>(static_cast<size_t>(n * n));
  // LAPACK reads the transpose, which has the same eigenvalues.
  for (int64_t i = 0; i < n; ++i) std::copy_n(s.row(i), n, buffer.as<double>() + i * n);
  absl::Status done = Eigenvalues(executor, pool, n, buffer.as<double>(), eigenvalues);
  std::sort(eigenvalues.begin(), eigenvalues.end(), [](const auto& a, const auto& b) {
    return std::make_tuple(-std::abs(a), -a.real(), -a.imag()) < std::make_tuple(-std::abs(b), -b.real(), -b.imag());
  });
  return done;
}

absl::Status SpectrumOfChain(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                             const std::vector<double>& pi, Spectrum& spectrum) {
  if (s.rows > kLargestSpectrum) {
    absl::Status done = LargestModulus(executor, pool, s, pi, spectrum.second_modulus, spectrum.residual);
    spectrum.second_modulus = std::min(spectrum.second_modulus, 1.0);
    return done;
  }
  absl::Status done = SortedEigenvalues(executor, pool, s, spectrum.eigenvalues);
  if (done.ok()) spectrum.second_modulus = SecondModulus(spectrum.eigenvalues);
  return done;
}

double SpectrumWorkspaceBytes(int64_t n) {
  const auto size = static_cast<double>(n);
  if (n > kLargestSpectrum) return ArnoldiWorkspaceBytes(n);
  return 8 * size * size + RealSchurWorkspaceBytes(n);
}

}  // namespace attend::compute
