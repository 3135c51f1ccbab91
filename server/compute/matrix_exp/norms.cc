#include "server/compute/matrix_exp/norms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "server/compute/matrix_exp/entrywise.h"
#include "server/compute/matrix_exp/row_sums.h"
#include "server/compute/panels.h"

namespace attend::compute {

template <typename T>
double NormOne(const Matrix<const T>& a) {
  // Row by row through bands of columns whose sums stay in the cache.
  constexpr int64_t kBand = 256;
  double largest = 0;
  for (int64_t begin = 0; begin < a.cols; begin += kBand) {
    std::array<double, kBand> sums;
    const int64_t width = std::min(kBand, a.cols - begin);
    const Matrix<const T> band(a.data + begin, a.rows, width, a.stride);
    largest = std::max(largest, AbsColumnSums(band, sums.data()));
  }
  return largest;
}

template <typename T>
double MaxAbs(const Matrix<const T>& a) {
  double largest = 0;
  for (int64_t i = 0; i < a.rows; ++i) {
    const Range range = RangeOf(a.row(i), a.cols);
    largest = std::max({largest, -range.least, range.largest});
  }
  return largest;
}

template <typename T>
absl::Status NormOne(runtime::Executor& executor, const Matrix<const T>& a, double& norm) {
  std::vector<double> norms(static_cast<size_t>(a.cols / kBandColumns + 1));
  const auto done = ForEachBand(executor, a.rows, a.cols, [&](int64_t begin, int64_t end) {
    norms[static_cast<size_t>(begin / kBandColumns)] =
        NormOne(Matrix<const T>(a.data + begin, a.rows, end - begin, a.stride));
  });
  norm = *std::max_element(norms.begin(), norms.end());
  return done;
}

template <typename T>
absl::Status MaxAbs(runtime::Executor& executor, const Matrix<const T>& a, double& largest) {
  std::vector<double> each(static_cast<size_t>(a.rows + 1));
  const auto done = ForEachPanel(executor, a.rows, a.cols, [&](int64_t begin, int64_t end) {
    each[static_cast<size_t>(begin)] = MaxAbs(Matrix<const T>(a.row(begin), end - begin, a.cols, a.stride));
  });
  largest = *std::max_element(each.begin(), each.end());
  return done;
}

template double NormOne(const Matrix<const float>&);
template double NormOne(const Matrix<const double>&);
template double MaxAbs(const Matrix<const float>&);
template double MaxAbs(const Matrix<const double>&);
template absl::Status NormOne(runtime::Executor&, const Matrix<const float>&, double&);
template absl::Status NormOne(runtime::Executor&, const Matrix<const double>&, double&);
template absl::Status MaxAbs(runtime::Executor&, const Matrix<const float>&, double&);
template absl::Status MaxAbs(runtime::Executor&, const Matrix<const double>&, double&);

}  // namespace attend::compute
