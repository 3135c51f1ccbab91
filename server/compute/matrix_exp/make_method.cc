#include "server/compute/matrix_exp/action_adjoint.h"
#include "server/compute/matrix_exp/exp_adjoint.h"
#include "server/compute/matrix_exp/frechet.h"
#include "server/compute/matrix_exp/general_method.h"
#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/spectral.h"
#include "server/compute/matrix_exp/structured_methods.h"

#include <algorithm>

namespace attend::compute {

template <typename T>
std::unique_ptr<Method<T>> MakeMethod(MatrixStructure structure, runtime::BufferPool& pool, const Matrix<const T>& a) {
  switch (structure) {
    case MatrixStructure::kGenerator:
      return MakeGeneratorMethod(pool, a);
    case MatrixStructure::kSkewSymmetric:
      return MakeSkewSymmetricMethod(pool, a);
    case MatrixStructure::kSymmetric:
      return MakeSymmetricMethod(pool, a);
    case MatrixStructure::kTriangular:
      return MakeTriangularMethod(pool, a);
    case MatrixStructure::kDiagonal:
      return MakeDiagonalMethod(pool, a);
    case MatrixStructure::kGeneral:
      break;
  }
  return std::make_unique<GeneralMethod<T>>(pool, a);
}

template <typename T>
double MethodBytes(int64_t n, int64_t p, bool acts, bool with_gradients) {
  const auto size = static_cast<double>(n);
  const double matrix = 8 * size * size;
  const double columns = acts ? 8 * size * static_cast<double>(p) : 0;
  double bytes = 8 * (100 * size + 8192);  // LAPACK's rows and blocks
  // The shifted copy, exp on the way to the product, columns of either action.
  if (acts) bytes += 2 * matrix + 16 * columns + std::max(TaylorActionBytes(n, p), GeneratorActionBytes<T>(n, p));
  // The sum, the gradient widened or the outer product, and the most that any method takes.
  if (with_gradients) {
    const double dense =
        std::max({ExpAdjointBytes(n), SpectralBytes(n) + 3 * matrix, GeneratorExpAdjointBytes(n) + 3 * matrix});
    bytes += 3 * matrix + 4 * columns + std::max(dense, acts ? ActionAdjointBytes(n, p) : 0.0);
  }
  return bytes;
}

template double MethodBytes<float>(int64_t, int64_t, bool, bool);
template double MethodBytes<double>(int64_t, int64_t, bool, bool);
template std::unique_ptr<Method<float>> MakeMethod(MatrixStructure, runtime::BufferPool&, const Matrix<const float>&);
template std::unique_ptr<Method<double>> MakeMethod(MatrixStructure, runtime::BufferPool&, const Matrix<const double>&);

}  // namespace attend::compute
