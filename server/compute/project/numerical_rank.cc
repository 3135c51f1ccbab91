#include "server/compute/project/numerical_rank.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

namespace attend::compute {
namespace {

template <typename T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// The matrix times a power of two that brings its largest entry near 1: the rank stays, and squares cannot overflow.
template <typename T>
Eigen::MatrixXd Normalized(const T* a, int64_t rows, int64_t cols) {
  Eigen::MatrixXd matrix = Eigen::Map<const RowMajor<T>>(a, rows, cols).template cast<double>();
  const double largest = matrix.size() == 0 ? 0 : matrix.cwiseAbs().maxCoeff();
  if (largest > 0) {
    const int exponent = std::ilogb(largest);
    matrix = matrix.unaryExpr([exponent](double x) { return std::ldexp(x, -exponent); });
  }
  return matrix;
}

int64_t CountAbove(const Eigen::VectorXd& singular_values, double relative_threshold) {
  if (singular_values.size() == 0) return 0;
  const double threshold = singular_values.maxCoeff() * relative_threshold;
  return (singular_values.array() > threshold).count();
}

Eigen::VectorXd SingularValues(const Eigen::MatrixXd& a) {
  if (a.size() == 0) return {};
  return Eigen::BDCSVD<Eigen::MatrixXd>(a).singularValues();
}

// R of a = Q R, [min(rows, cols), cols].
Eigen::MatrixXd TriangularFactor(const Eigen::MatrixXd& a) {
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(a);
  return qr.matrixQR().topRows(std::min(a.rows(), a.cols())).triangularView<Eigen::Upper>();
}

template <typename T>
double Threshold(int64_t rows, int64_t cols) {
  return static_cast<double>(std::max(rows, cols)) * static_cast<double>(std::numeric_limits<T>::epsilon());
}

}  // namespace

template <typename T>
int64_t NumericalRank(const T* a, int64_t rows, int64_t cols) {
  return CountAbove(SingularValues(Normalized(a, rows, cols)), Threshold<T>(rows, cols));
}

template <typename T>
int64_t NumericalRankOfProduct(const T* left, const T* right, int64_t rows, int64_t inner) {
  if (rows == 0 || inner == 0) return 0;
  const Eigen::MatrixXd left_factor = TriangularFactor(Normalized(left, rows, inner));
  const Eigen::MatrixXd right_factor = TriangularFactor(Normalized(right, rows, inner));
  return CountAbove(SingularValues(left_factor * right_factor.transpose()), Threshold<T>(rows, rows));
}

template int64_t NumericalRank(const float*, int64_t, int64_t);
template int64_t NumericalRank(const double*, int64_t, int64_t);
template int64_t NumericalRankOfProduct(const float*, const float*, int64_t, int64_t);
template int64_t NumericalRankOfProduct(const double*, const double*, int64_t, int64_t);

}  // namespace attend::compute
