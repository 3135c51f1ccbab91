#include "server/compute/lie/stationary.h"

#include <algorithm>
#include <cmath>

namespace attend::compute {
namespace {

// Folds state k into those before it. What is left of `a` then is the chain watched on states 0 to k - 1 alone, and
// column k holds the expected visits to k between two such. False where nothing leaves k.
bool Eliminate(const Matrix<double>& a, int64_t k) {
  const double* from_k = a.row(k);
  double leaving = 0;
  for (int64_t j = 0; j < k; ++j) leaving += from_k[j];
  if (!(leaving > 0)) return false;
  for (int64_t i = 0; i < k; ++i) {
    double* row = a.row(i);
    const double visits = row[k] / leaving;
    row[k] = visits;
    if (visits == 0) continue;
    for (int64_t j = 0; j < k; ++j) row[j] += visits * from_k[j];
  }
  return true;
}

// From the visits that Eliminate left above the diagonal.
std::vector<double> Unfold(const Matrix<double>& a) {
  std::vector<double> weights(static_cast<size_t>(a.rows), 0.0);
  weights[0] = 1;
  for (int64_t k = 1; k < a.rows; ++k) {
    for (int64_t i = 0; i < k; ++i) weights[static_cast<size_t>(k)] += weights[static_cast<size_t>(i)] * a.row(i)[k];
    const double largest = *std::max_element(weights.begin(), weights.end());
    if (largest < 1e100) continue;
    for (double& weight : weights) weight /= largest;
  }
  double sum = 0;
  for (const double weight : weights) sum += weight;
  for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace

absl::Status StationaryDistribution(const runtime::Cancellation& cancelled, runtime::BufferPool& pool,
                                    const Matrix<const double>& s, const std::vector<int64_t>& closed,
                                    std::vector<double>& pi) {
  pi.clear();
  const auto n = static_cast<int64_t>(closed.size());
  const runtime::Buffer buffer = pool.AllocateArray<double>(static_cast<size_t>(n * n));
  const Matrix<double> a(buffer.as<double>(), n, n);
  for (int64_t i = 0; i < n; ++i) {
    const double* row = s.row(closed[static_cast<size_t>(i)]);
    for (int64_t j = 0; j < n; ++j) a.row(i)[j] = row[closed[static_cast<size_t>(j)]];
  }
  for (int64_t k = n - 1; k > 0; --k) {
    if (absl::Status wanted = cancelled.Check(); !wanted.ok()) return wanted;
    if (!Eliminate(a, k)) return absl::OkStatus();
  }
  const std::vector<double> weights = Unfold(a);
  if (!std::all_of(weights.begin(), weights.end(), [](double weight) { return std::isfinite(weight); })) {
    return absl::OkStatus();
  }
  pi.assign(static_cast<size_t>(s.rows), 0.0);
  for (int64_t i = 0; i < n; ++i)
    pi[static_cast<size_t>(closed[static_cast<size_t>(i)])] = weights[static_cast<size_t>(i)];
  return absl::OkStatus();
}

double StationaryResidual(const Matrix<const double>& s, const std::vector<double>& pi) {
  std::vector<double> product(pi.size(), 0.0);
  for (int64_t i = 0; i < s.rows; ++i) {
    const double weight = pi[static_cast<size_t>(i)];
    for (int64_t j = 0; j < s.cols; ++j) product[static_cast<size_t>(j)] += weight * s.row(i)[j];
  }
  double residual = 0;
  for (size_t j = 0; j < pi.size(); ++j) residual = std::max(residual, std::fabs(product[j] - pi[j]));
  return residual;
}

}  // namespace attend::compute
