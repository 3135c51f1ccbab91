#include "server/compute/attention/lse_rest.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/attention/mask.h"

namespace attend::compute {
namespace {

// Past this a rounding is more than two units of the last place of 1.
constexpr double kLargeLse = 32;

}  // namespace

template <typename T>
bool HasLargeLse(const T* lse, int64_t count) {
  return std::any_of(lse, lse + count, [](T l) { return std::isfinite(l) && std::fabs(l) >= T{kLargeLse}; });
}

template <typename T>
absl::Status ComputeLseRest(const AttentionProblem<T>& problem, const TilePlace& rows, const T* lse,
                            const Matrix<T>& tile, const RowStates<T>& states, T* rest) {
  const KeyBand band = VisibleBand(problem, rows.batch);
  std::fill_n(states.max, rows.queries, -std::numeric_limits<T>::infinity());
  std::fill_n(states.sum, rows.queries, T{0});
  const int64_t end = band.end(rows.query + rows.queries - 1);
  for (int64_t key = band.begin(rows.query); key < end; key += tile.cols) {
    const TilePlace place{rows.batch, rows.head, rows.query, rows.queries, key, std::min(tile.cols, end - key)};
    const Matrix<T> scores(tile.data, place.queries, place.keys, tile.stride);
    TileMask<T> mask = MaskOfTile(problem.mask, band, place.batch, place.head, place.query, key, place.keys);
    mask.softcap = SoftcapOf(problem);
    if (absl::Status done = ComputeScores(problem, place, mask.band, scores); !done.ok()) return done;
    SoftmaxTile(scores, Hides(mask, place.queries, place.keys) ? &mask : nullptr, states, {});
  }
  for (int64_t r = 0; r < rows.queries; ++r) {
    rest[r] = states.sum[r] > 0 ? states.max[r] - lse[r] + std::log(states.sum[r]) : T{0};
  }
  return absl::OkStatus();
}

template bool HasLargeLse(const float*, int64_t);
template bool HasLargeLse(const double*, int64_t);
template absl::Status ComputeLseRest(const AttentionProblem<float>&, const TilePlace&, const float*,
                                     const Matrix<float>&, const RowStates<float>&, float*);
template absl::Status ComputeLseRest(const AttentionProblem<double>&, const TilePlace&, const double*,
                                     const Matrix<double>&, const RowStates<double>&, double*);

}  // namespace attend::compute
