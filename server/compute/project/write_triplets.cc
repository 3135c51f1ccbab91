#include "server/compute/project/write_triplets.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"

namespace attend::compute {
namespace {

template <typename T>
void Round(DType answered, T* values, int64_t count) {
  if constexpr (std::is_same_v<T, float>) RoundTo(answered, values, static_cast<size_t>(count));
}

// Whether the first of the entries of largest magnitude in column k of u [n, rank] is negative.
template <typename T>
bool PointsDown(const T* u, int64_t n, int64_t rank, int64_t k) {
  T largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (std::abs(u[i * rank + k]) > std::abs(largest)) largest = u[i * rank + k];
  }
  return largest < 0;
}

}  // namespace

template <typename T>
absl::Status WriteTriplets(const runtime::Cancellation& cancellation, const Triplets& triplets, int64_t n, int64_t m,
                           int exponent, DType answered, const WrittenTriplets<T>& to) {
  constexpr int64_t kVectorsPerPoll = 16;
  const int64_t rank = triplets.rank;
  for (int64_t k = 0; k < rank; ++k) {
    if (k % kVectorsPerPoll == 0) {
      if (auto wanted = cancellation.Check(); !wanted.ok()) return wanted;
    }
    const double* left = triplets.left.as<double>() + k * n;
    for (int64_t i = 0; i < n; ++i) to.u[i * rank + k] = static_cast<T>(left[i]);
    to.values[k] = static_cast<T>(std::ldexp(triplets.values[static_cast<size_t>(k)], exponent));
    if (!std::isfinite(to.values[k])) {
      return absl::OutOfRangeError(
          absl::StrCat("singular value ", k, " overflows ", std::string(NameOf(DTypeOf<T>()))));
    }
  }
  const double* right = triplets.right.as<double>();
  std::transform(right, right + rank * m, to.vt, [](double x) { return static_cast<T>(x); });
  Round(answered, to.u, n * rank);
  Round(answered, to.values, rank);
  Round(answered, to.vt, rank * m);
  for (int64_t k = 0; k < rank; ++k) {
    if (!PointsDown(to.u, n, rank, k)) continue;
    for (int64_t i = 0; i < n; ++i) to.u[i * rank + k] *= -1;
    for (int64_t j = 0; j < m; ++j) to.vt[k * m + j] *= -1;
  }
  return absl::OkStatus();
}

template absl::Status WriteTriplets(const runtime::Cancellation&, const Triplets&, int64_t, int64_t, int, DType,
                                    const WrittenTriplets<float>&);
template absl::Status WriteTriplets(const runtime::Cancellation&, const Triplets&, int64_t, int64_t, int, DType,
                                    const WrittenTriplets<double>&);

}  // namespace attend::compute
