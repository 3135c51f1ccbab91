#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/generator_columns.h"
#include "server/compute/matrix_exp/generator_plan.h"
#include "server/compute/matrix_exp/generator_rates.h"

// Uniformization: with P = I + G / q, q >= every -g_ii, exp(tG) b = sum over k of Poisson(q t; k) P^k b. P is
// stochastic, so nothing grows, and the rounding error of each product stays. What keeps the sum of some hundred
// products at a few ulp is that products are made more precisely than the result:
//  - float32 computes them in double;
//  - float64 at short times makes too few products for their rounding to add up (kMaxPlainRateTime);
//  - float64 otherwise splits P = P1 + P2 and v = v1 + v2 where P1 and v1 lie on a grid of 2^-26, so that P1 v1 is
//  exact in
//    double (every partial sum is a multiple of 2^-52 below 2), and the rest is 2^26 times smaller. Ozaki et al. 2012.
namespace attend::compute {
namespace {

constexpr int64_t kTileRows = 64;
constexpr double kMaxRatePerStep = 4096;

double RoundToGrid(double a) {
  constexpr double kShift = 0x1.8p26;  // adding it leaves 26 bits behind the point
  return (a + kShift) - kShift;
}

// g in units in which the largest rate is in [1/2, 1], and the columns of v in units in which |v| <= 1.
struct Scaled {
  PowerOfTwo g_unit;
  std::vector<DoubleDouble> row;  // [n] rates
  double rate = 0;                // q, >= all of row
  double rate_time = 0;           // q t
};

Scaled ScaleRates(const Rates& rates) {
  double q = rates.largest.hi;
  if (rates.largest.lo > 0) q = std::nextafter(q, std::numeric_limits<double>::infinity());
  int exponent = 0;
  Scaled scaled{PowerOfTwo(0), rates.row, std::frexp(q, &exponent), 0};
  scaled.g_unit = PowerOfTwo(-rates.g_exponent - exponent);
  const PowerOfTwo down(-exponent);
  for (DoubleDouble& row : scaled.row) row = down(row);
  // More than this ends by convergence or by the deadline only.
  scaled.rate_time = std::min(std::ldexp(scaled.rate * rates.time_mantissa, rates.exponent + exponent), 1e300);
  return scaled;
}

// v in as many planes [n, p] as the products need: {v} or {v1, v2, v}, where the last two are also one matrix [2n, p].
// q P alike: {q P} or {q P1, q P2} side by side.
template <typename T, int kPlanes>
class Action {
 public:
  Action(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g, const Scaled& scaled,
         int64_t p)
      : executor_(executor),
        pool_(pool),
        g_(g),
        scaled_(scaled),
        n_(g.rows),
        p_(p),
        change_(static_cast<size_t>((n_ + kTileRows - 1) / kTileRows)) {
    rows_ = pool.AllocateArray<double>(static_cast<size_t>(n_ * n_ * kParts));
    for (runtime::Buffer* planes : {&current_, &next_}) *planes = pool.AllocateArray<double>(Size() * kPlanes);
    for (runtime::Buffer* sum : {&sum_, &sum_rest_}) *sum = pool.AllocateArray<double>(Size());
  }

  // b = values + rests, [n, p], |b| <= 1: also where the result is found.
  double* values() const { return sum_.as<double>(); }
  double* rests() const { return sum_rest_.as<double>(); }
  int64_t products() const { return products_; }  // of P with v, so far

  absl::Status Run() {
    const double steps = std::max(1.0, std::ceil(scaled_.rate_time / kMaxRatePerStep));
    const PoissonWeights weights = PoissonWeightsFor(scaled_.rate_time / steps);
    bool steady = false;
    const auto filled = executor_.ForEachTile(Tiles(), static_cast<double>(kTileRows * n_), [&](int64_t tile, int) {
      FillRows(tile * kTileRows, std::min(n_, (tile + 1) * kTileRows));
      return absl::OkStatus();
    });
    if (!filled.ok()) return filled;
    for (double step = 0; step < steps && !steady; ++step) {
      StartStep();
      if (auto done = Step(weights, (steps - step) * static_cast<double>(weights.last() + 1), steady); !done.ok()) {
        return done;
      }
    }
    return absl::OkStatus();
  }

 private:
  static constexpr int kParts = kPlanes == 1 ? 1 : 2;
  // What may still be lost when a vector that hardly changes any more is taken for the limit.
  static constexpr double kNegligible = std::is_same_v<T, float> ? 0x1p-30 : 0x1p-58;

  size_t Size() const { return static_cast<size_t>(n_ * p_); }
  int64_t Tiles() const { return static_cast<int64_t>(change_.size()); }

  void StorePlanes(double high, double low, int64_t index, double* planes) const {
    const auto size = static_cast<int64_t>(Size());
    if constexpr (kPlanes == 1) {
      planes[index] = high + low;
    } else {
      const double grid = RoundToGrid(high);
      const double rest = (high - grid) + low;
      planes[index] = grid;
      planes[size + index] = rest;
      planes[2 * size + index] = grid + rest;
    }
  }

  void StartStep() {
    double* planes = current_.as<double>();
    for (int64_t i = 0; i < n_ * p_; ++i) {
      StorePlanes(values()[i], rests()[i], i, planes);
      values()[i] = rests()[i] = 0;
    }
  }

  absl::Status Step(const PoissonWeights& weights, double products_left, bool& steady) {
    double weight_left = 1;
    for (int64_t k = 0;; ++k) {
      const double weight = k < weights.first ? 0 : weights.weight[static_cast<size_t>(k - weights.first)];
      if (weight > 0) AddToSum(weight);
      weight_left -= weight;
      if (k == weights.last()) return absl::OkStatus();
      if (auto done = Advance(); !done.ok()) return done;
      if (*std::max_element(change_.begin(), change_.end()) * (products_left - static_cast<double>(k)) > kNegligible) {
        continue;
      }
      steady = true;
      AddToSum(weight_left);
      return absl::OkStatus();
    }
  }

  void AddToSum(double weight) {
    const double* v = current_.as<double>();
    double* sum = values();
    double* rest = rests();
    const auto size = static_cast<int64_t>(Size());
    for (int64_t i = 0; i < size; ++i) {
      const DoubleDouble total = ExactSum(sum[i], weight * v[i + (kPlanes - 1) * size]);
      sum[i] = total.hi;
      rest[i] += total.lo;
    }
  }

  // current = P current; change_ gets the largest change of an entry in each tile.
  absl::Status Advance() {
    ++products_;
    const double tile_flops = 2.0 * kPlanes * static_cast<double>(std::min(n_, kTileRows) * n_ * p_);
    auto done = executor_.ForEachTile(Tiles(), tile_flops, [&](int64_t tile, int worker) {
      return AdvanceRows(tile * kTileRows, std::min(n_, (tile + 1) * kTileRows), change_[static_cast<size_t>(tile)]);
    });
    std::swap(current_, next_);
    return done;
  }

  absl::Status AdvanceRows(int64_t begin, int64_t end, double& change) {
    const int64_t rows = end - begin;
    const runtime::Buffer products = pool_.AllocateArray<double>(static_cast<size_t>(rows * p_ * kParts));
    const double* v = current_.as<double>();
    const int64_t stride = n_ * kParts;
    const double* q_p = rows_.as<double>() + begin * stride;
    const Matrix<double> high(products.as<double>(), rows, p_);
    auto done = Gemm(1.0, Operand<double>(q_p, rows, n_, stride), Operand<double>(v, n_, p_, p_), 0.0, high);
    if constexpr (kParts == 2) {
      const Matrix<double> low(products.as<double>() + rows * p_, rows, p_);
      if (!done.ok()) return done;
      done =
          Gemm(1.0, Operand<double>(q_p, rows, 2 * n_, stride), Operand<double>(v + n_ * p_, 2 * n_, p_, p_), 0.0, low);
    }
    if (done.ok()) change = StoreRows(begin, rows, products.as<double>());
    return done;
  }

  DoubleDouble Diagonal(int64_t i) const {
    return DoubleDouble{scaled_.rate, 0} + -scaled_.row[static_cast<size_t>(i)];
  }

  // Rows of q P = G + q I.
  void FillRows(int64_t begin, int64_t end) const {
    for (int64_t i = begin; i < end; ++i) {
      const T* from = g_.row(i);
      double* out = rows_.as<double>() + i * n_ * kParts;
      const DoubleDouble diagonal = Diagonal(i);
      if constexpr (kParts == 1) {
        for (int64_t j = 0; j < n_; ++j) out[j] = scaled_.g_unit(static_cast<double>(from[j]));
        out[i] = diagonal.hi;
      } else {
        for (int64_t j = 0; j < n_; ++j) {
          const double entry = scaled_.g_unit(from[j]);
          out[j] = RoundToGrid(entry);
          out[n_ + j] = entry - out[j];
        }
        out[i] = RoundToGrid(diagonal.hi);
        out[n_ + i] = (diagonal.hi - out[i]) + diagonal.lo;
      }
    }
  }

  // Rows of next = products / q; returns the largest change.
  double StoreRows(int64_t begin, int64_t rows, const double* products) {
    const double* before = current_.as<double>() + (kPlanes - 1) * static_cast<int64_t>(Size());
    double* planes = next_.as<double>();
    double change = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double diagonal_rest = Diagonal(begin + r).lo;
      for (int64_t j = 0; j < p_; ++j) {
        const int64_t at = (begin + r) * p_ + j;
        DoubleDouble value;
        if constexpr (kParts == 1) {
          value.hi = (products[r * p_ + j] + diagonal_rest * before[at]) / scaled_.rate;
        } else {
          value = ExactSum(products[r * p_ + j], products[(rows + r) * p_ + j]) / DoubleDouble{scaled_.rate, 0};
        }
        StorePlanes(value.hi, value.lo, at, planes);
        change = std::max(change, std::fabs(value.hi - before[at]));
      }
    }
    return change;
  }

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const Matrix<const T>& g_;
  const Scaled& scaled_;
  const int64_t n_;
  const int64_t p_;
  runtime::Buffer rows_;            // q P [n, kParts n]
  runtime::Buffer current_, next_;  // planes of v
  runtime::Buffer sum_, sum_rest_;  // [n, p] each
  std::vector<double> change_;      // one per tile
  int64_t products_ = 0;
};

template <typename T, int kPlanes>
absl::Status RunAction(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                       const Scaled& scaled, const Matrix<const T>& b, const Matrix<T>& out, int64_t& products) {
  const GeneratorColumns<T> columns(b);
  Action<T, kPlanes> action(executor, pool, g, scaled, b.cols);
  columns.Load(b, action.values(), action.rests());
  if (auto done = action.Run(); !done.ok()) return done;
  columns.Store(action.values(), action.rests(), out);
  products = action.products();
  return absl::OkStatus();
}

}  // namespace

template <typename T>
absl::Status GeneratorAction(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                             double time, const Matrix<const T>& b, const Matrix<T>& out, int64_t* products) {
  const Rates rates = MeasureRates(g, time);
  if (time == 0 || rates.largest.hi == 0 || b.cols == 0) {
    for (int64_t i = 0; i < b.rows; ++i) std::copy_n(b.row(i), b.cols, out.row(i));
    return absl::OkStatus();
  }
  const Scaled scaled = ScaleRates(rates);
  int64_t spent = 0;
  absl::Status done;
  if constexpr (std::is_same_v<T, float>) {
    done = RunAction<T, 1>(executor, pool, g, scaled, b, out, spent);
  } else if (scaled.rate_time <= kMaxPlainRateTime) {
    done = RunAction<T, 1>(executor, pool, g, scaled, b, out, spent);
  } else {
    done = RunAction<T, 3>(executor, pool, g, scaled, b, out, spent);
  }
  if (products != nullptr) *products = spent;
  return done;
}

template absl::Status GeneratorAction(runtime::Executor&, runtime::BufferPool&, const Matrix<const float>&, double,
                                      const Matrix<const float>&, const Matrix<float>&, int64_t*);
template absl::Status GeneratorAction(runtime::Executor&, runtime::BufferPool&, const Matrix<const double>&, double,
                                      const Matrix<const double>&, const Matrix<double>&, int64_t*);

}  // namespace attend::compute
