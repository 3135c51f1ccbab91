#include "server/compute/lie/eigenvalue_condition.h"

#include <Eigen/Core>
#include <Eigen/LU>
#include <cmath>
#include <limits>

namespace attend::compute {
namespace {

constexpr int kIterations = 3;
constexpr double kRoundoff = 0x1p-53;

// Off the eigenvalue by a few roundings: LU then meets no pivot of exactly 0, and each solve gains many digits still.
constexpr double kShift = 8 * kRoundoff;

Eigen::VectorXcd FirstVector(Eigen::Index n) {
  Eigen::VectorXcd vector(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    vector(i) = {std::cos(static_cast<double>(i * i % 9973)), std::sin(static_cast<double>(i * i % 9967))};
  }
  return vector.normalized();
}

}  // namespace

absl::Status EigenvalueCondition(const runtime::Cancellation& cancelled, const Matrix<const double>& a,
                                 std::complex<double> value, double& condition) {
  Eigen::MatrixXcd shifted(a.rows, a.rows);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.rows; ++j) shifted(i, j) = a.row(i)[j];
    shifted(i, i) -= value + std::complex<double>(kShift, kShift);
  }
  const Eigen::PartialPivLU<Eigen::Ref<Eigen::MatrixXcd>> factors(shifted);
  if (absl::Status wanted = cancelled.Check(); !wanted.ok()) return wanted;
  Eigen::VectorXcd right = FirstVector(a.rows);
  for (int i = 0; i < kIterations; ++i) right = factors.solve(right).eval().normalized();
  Eigen::VectorXcd left = right;
  for (int i = 0; i < kIterations; ++i) left = factors.adjoint().solve(left).eval().normalized();
  condition = 1 / std::abs(left.dot(right));
  if (!std::isfinite(condition)) condition = std::numeric_limits<double>::infinity();
  return cancelled.Check();
}

double EigenvalueConditionBytes(double n) { return 16 * n * n + 128 * n; }

}  // namespace attend::compute
