#include "server/compute/lie/singular_distance.h"

#include <algorithm>
#include <vector>

#include "server/compute/project/svd.h"
#include "server/compute/project/triplets.h"

namespace attend::compute {

absl::StatusOr<double> SingularDistance::At(double x) const {
  if (x == 0 && at_zero_) return *at_zero_;
  const int64_t n = s_.rows;
  const runtime::Buffer copy = pool_.AllocateArray<double>(static_cast<size_t>(n * n));
  double* shifted = copy.as<double>();
  for (int64_t i = 0; i < n; ++i) {
    std::copy_n(s_.row(i), n, shifted + i * n);
    shifted[i * n + i] -= x;
  }
  const absl::StatusOr<std::vector<double>> values = SingularValues(executor_, pool_, shifted, n, n);
  if (!values.ok()) return values.status();
  if (x == 0) at_zero_ = values->back();
  return values->back();
}

double SingularDistanceWorkspaceBytes(int64_t n, int workers) {
  const auto size = static_cast<double>(n);
  return 8 * size * size + SvdWorkspaceBytes(n, n, workers);
}

}  // namespace attend::compute
