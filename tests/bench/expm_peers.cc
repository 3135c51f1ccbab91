#include "tests/bench/expm_peers.h"

#include <Eigen/Dense>
#include <unsupported/Eigen/MatrixFunctions>

namespace attend::bench {
namespace {

template <typename T>
void Exp(int64_t batch, int64_t n, const T* a, T* out) {
  // The order of the entries does not matter: exp(A^T) = exp(A)^T.
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
  for (int64_t i = 0; i < batch; ++i) {
    const Eigen::Map<const Matrix> in(a + i * n * n, n, n);
    Eigen::Map<Matrix>(out + i * n * n, n, n) = in.exp();
  }
}

}  // namespace

void EigenExp(int64_t batch, int64_t n, const float* a, float* out) { Exp(batch, n, a, out); }
void EigenExp(int64_t batch, int64_t n, const double* a, double* out) { Exp(batch, n, a, out); }

}  // namespace attend::bench
