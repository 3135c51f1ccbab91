#include "server/compute/attention/additive.h"

#include <algorithm>

#include "server/compute/attention/softmax_tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/attention/additive.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

// Keys lie across the lanes, so that a score is a sum of vectors and no lane is added to another. A panel of keys,
// transposed, stays in the first-level cache while all queries of the tile pass over it.
constexpr int64_t kPanelKeys = 32;
constexpr int64_t kPanelTerms = 64;
static_assert(kPanelKeys <= 2 * kTilePadding, "the last panel ends within the padding of its tile");

template <typename T>
struct Panel {
  HWY_ALIGN T keys[kPanelTerms * kPanelKeys];  // [terms, kPanelKeys], zero past the last key
  int64_t terms = 0;
  int64_t first_key = 0;
  int64_t first_term = 0;
};

template <typename T>
HWY_INLINE void Pack(const Matrix<const T>& keys, int64_t first_key, int64_t first_term, Panel<T>& panel) {
  panel.first_key = first_key;
  panel.first_term = first_term;
  panel.terms = std::min(kPanelTerms, keys.cols - first_term);
  const int64_t count = std::min(kPanelKeys, keys.rows - first_key);
  for (int64_t j = 0; j < kPanelKeys; ++j) {
    for (int64_t k = 0; k < panel.terms; ++k) {
      panel.keys[k * kPanelKeys + j] = j < count ? keys.row(first_key + j)[first_term + k] : T{0};
    }
  }
}

// score (+)= w_score . tanh(query + key) over the panel's terms, for two vectors of keys: enough independent work to
// hide the latency of a tanh.
template <bool kAdd, typename T>
HWY_INLINE void ScoreRow(const T* query, const T* w_score, const Panel<T>& panel, T* scores) {
  const hn::CappedTag<T, kTilePadding> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < kPanelKeys; j += 2 * lanes) {
    auto first = kAdd ? hn::LoadU(d, scores + j) : hn::Zero(d);
    auto second = kAdd ? hn::LoadU(d, scores + j + lanes) : hn::Zero(d);
    const T* keys = panel.keys + j;
    for (int64_t k = 0; k < panel.terms; ++k, keys += kPanelKeys) {
      const auto q = hn::Set(d, query[k]);
      const auto w = hn::Set(d, w_score[k]);
      first = hn::MulAdd(w, TanhAny(d, hn::Add(q, hn::Load(d, keys))), first);
      second = hn::MulAdd(w, TanhAny(d, hn::Add(q, hn::Load(d, keys + lanes))), second);
    }
    hn::StoreU(first, d, scores + j);
    hn::StoreU(second, d, scores + j + lanes);
  }
}

template <typename T>
HWY_INLINE void ScorePanel(const Matrix<const T>& queries, const T* w_score, const KeyBand& band, const Panel<T>& panel,
                           const Matrix<T>& scores) {
  const T* w = w_score + panel.first_term;
  for (int64_t i = 0; i < queries.rows; ++i) {
    if (band.end(i) <= panel.first_key || band.begin(i) >= panel.first_key + kPanelKeys) continue;
    const T* query = queries.row(i) + panel.first_term;
    T* to = scores.row(i) + panel.first_key;
    if (panel.first_term == 0) {
      ScoreRow<false>(query, w, panel, to);
    } else {
      ScoreRow<true>(query, w, panel, to);
    }
  }
}

template <typename T>
HWY_INLINE void AdditiveTileT(const Matrix<const T>& queries, const Matrix<const T>& keys, const T* w_score,
                              const KeyBand& band, const Matrix<T>& scores) {
  Panel<T> panel;
  for (int64_t key = 0; key < keys.rows; key += kPanelKeys) {
    // With h = 0 there is one empty panel, which sets the scores to zero.
    int64_t term = 0;
    do {
      Pack(keys, key, term, panel);
      ScorePanel(queries, w_score, band, panel, scores);
      term += kPanelTerms;
    } while (term < keys.cols);
  }
}

void AdditiveTileF32(const Matrix<const float>& queries, const Matrix<const float>& keys, const float* w_score,
                     const KeyBand& band, const Matrix<float>& scores) {
  AdditiveTileT(queries, keys, w_score, band, scores);
}
void AdditiveTileF64(const Matrix<const double>& queries, const Matrix<const double>& keys, const double* w_score,
                     const KeyBand& band, const Matrix<double>& scores) {
  AdditiveTileT(queries, keys, w_score, band, scores);
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(AdditiveTileF32);
HWY_EXPORT(AdditiveTileF64);

void AdditiveTile(const Matrix<const float>& queries, const Matrix<const float>& keys, const float* w_score,
                  const KeyBand& band, const Matrix<float>& scores) {
  HWY_DYNAMIC_DISPATCH(AdditiveTileF32)(queries, keys, w_score, band, scores);
}
void AdditiveTile(const Matrix<const double>& queries, const Matrix<const double>& keys, const double* w_score,
                  const KeyBand& band, const Matrix<double>& scores) {
  HWY_DYNAMIC_DISPATCH(AdditiveTileF64)(queries, keys, w_score, band, scores);
}

}  // namespace attend::compute
#endif  // HWY_ONCE
