// The online softmax of a panel of queries. Include it after hwy/highway.h
// in a file that foreach_target.h compiles repeatedly.
//
// Source: Milakov and Gimelshein 2018.
#if defined(ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SOFTMAX_INL_H_
#undef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SOFTMAX_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SOFTMAX_INL_H_
#endif

#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "server/compute/attention/panel_task.h"

// After highway.h, which they need.
#include "server/compute/attention/panel_mask-inl.h"
#include "server/compute/attention/panel_products-inl.h"
#include "server/compute/attention/panel_scores-inl.h"
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

// exp(scale * x) for x <= 0, 0 where that is no normal number. 2^(scale log2(e) x) with the factor in two parts; the
// polynomial is ExpReduced's with the powers of ln 2 in its coefficients.
struct ScaledExp {
  FloatVector high, low, lowest;

  // REQUIRES: 1e-30 <= scale <= 1.
  explicit ScaledExp(float scale) {
    const Floats f;
    constexpr double kLog2E = 1.4426950408889634;
    const double factor = static_cast<double>(scale) * kLog2E;
    const auto rounded = static_cast<float>(factor);
    high = hn::Set(f, rounded);
    low = hn::Set(f, static_cast<float>(factor - static_cast<double>(rounded)));
    lowest = hn::Set(f, static_cast<float>(-127 / factor));
  }

  HWY_INLINE FloatVector Clamp(FloatVector x) const { return hn::Max(x, lowest); }

  // REQUIRES: x is clamped.
  HWY_INLINE FloatVector operator()(FloatVector x) const {
    const Floats f;
    const hn::RebindToUnsigned<Floats> bits;
    // The biased exponent of 2^k ends up in the low bits of `shifted`.
    const FloatVector round = hn::Set(f, ExpConstants<float>::kRound + ExpConstants<float>::kExponentBias);
    const FloatVector shifted = hn::MulAdd(x, high, round);
    const FloatVector k = hn::Sub(shifted, round);
    const FloatVector r = hn::MulAdd(x, low, hn::MulSub(x, high, k));
    FloatVector p = hn::MulAdd(hn::Set(f, 1.3300226e-3f), r, hn::Set(f, 9.6697585e-3f));
    p = hn::MulAdd(p, r, hn::Set(f, 5.5505605e-2f));
    p = hn::MulAdd(p, r, hn::Set(f, 0.24022281f));
    p = hn::MulAdd(p, r, hn::Set(f, 0.69314718f));
    p = hn::MulAdd(p, r, hn::Set(f, 1.0f));
    const FloatVector power =
        hn::BitCast(f, hn::ShiftLeft<ExpConstants<float>::kMantissaBits>(hn::BitCast(bits, shifted)));
    return hn::Mul(p, power);
  }
};

// The panel's scores become exp(score - shift); adds to the sums of them, and of them times score - shift.
template <bool kWeighted, int kVecs>
HWY_INLINE void Exponentials(const ScaledExp& exp, int64_t count, const FloatVector (&shift)[kVecs], float* scores,
                             FloatVector (&total)[kVecs], FloatVector (&weighted)[kVecs]) {
  const Floats f;
  for (int64_t c = 0; c < count; ++c, scores += kVecs * kLanes) {
#pragma GCC unroll 3
    for (int v = 0; v < kVecs; ++v) {
      const auto x = exp.Clamp(hn::Sub(hn::Load(f, scores + v * kLanes), shift[v]));
      const auto e = exp(x);
      hn::Store(e, f, scores + v * kLanes);
      total[v] = hn::Add(total[v], e);
      if (kWeighted) weighted[v] = hn::MulAdd(e, x, weighted[v]);
    }
  }
}

// The sums of values so far, for queries whose maximum has risen.
template <int kVecs>
void Rescale(const PanelTask& task, const Panel<kVecs>& panel, const float* correction) {
  const Floats f;
  for (int64_t r = 0; r < panel.count; ++r) {
    if (correction[r] == 1) continue;
    const auto factor = hn::Set(f, correction[r]);
    float* sums = task.memory.sums + (panel.first + r) * task.memory.sums_stride;
    for (int64_t j = 0; j < task.values.cols; j += kLanes) {
      hn::Store(hn::Mul(factor, hn::Load(f, sums + j)), f, sums + j);
    }
  }
}

// Scores to weights, and the queries' states on. `first`: there are no states yet.
template <bool kWeighted, int kVecs>
HWY_INLINE void Softmax(const PanelTask& task, const Panel<kVecs>& panel, int64_t keys, bool first,
                        const PanelScan<kVecs>& scan) {
  const Floats f;
  const PanelMemory& memory = task.memory;
  const ScaledExp exp(task.scale);
  FloatVector shift[kVecs], total[kVecs], weighted[kVecs];
  HWY_ALIGN float correction[Panel<kVecs>::kQueries];
  bool rises = false;
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = panel.first + v * kLanes;
    total[v] = weighted[v] = hn::Zero(f);
    const auto before = first ? hn::Set(f, kHidden) : hn::Load(f, memory.max + at);
    const auto now = hn::Max(before, scan.max[v]);
    hn::Store(now, f, memory.max + at);
    // A query that has seen no key yet has -infinity throughout.
    shift[v] = hn::IfThenZeroElse(hn::Eq(now, hn::Set(f, kHidden)), now);
    if (first) continue;
    const auto moved = exp.Clamp(hn::Sub(before, shift[v]));
    const auto factor = exp(moved);
    hn::Store(factor, f, correction + v * kLanes);
    rises |= !hn::AllTrue(f, hn::Eq(factor, hn::Set(f, 1.0f)));
    const auto sum = hn::Mul(factor, hn::Load(f, memory.total + at));
    if (kWeighted) {
      weighted[v] = hn::MulAdd(factor, hn::Load(f, memory.weighted + at), hn::Mul(sum, moved));
    }
    total[v] = sum;
  }
  if (rises) Rescale(task, panel, correction);
  FloatVector tile_total[kVecs];
  for (int v = 0; v < kVecs; ++v) tile_total[v] = hn::Zero(f);
  Exponentials<kWeighted>(exp, keys, shift, memory.scores, tile_total, weighted);
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = panel.first + v * kLanes;
    hn::Store(hn::Add(total[v], tile_total[v]), f, memory.total + at);
    if (kWeighted) hn::Store(weighted[v], f, memory.weighted + at);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SOFTMAX_INL_H_
