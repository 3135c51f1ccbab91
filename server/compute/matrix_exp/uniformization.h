// The series of uniformization, times columns. Not thread-safe. T is float or double: what the result is rounded to.
//
// With P = I + G / q, q >= every -g_ii, exp(tG) b = sum over k of Poisson(q t; k) P^k b. P is stochastic, so nothing
// grows, and the rounding error of each product stays. What keeps the sum of some hundred products at a few ulp is that
// products are made more precisely than the result:
//  - float32 computes them in double;
//  - float64 at short times makes too few products for their rounding to add up (kMaxPlainRateTime): kPlain;
//  - float64 otherwise splits P = P1 + P2 and v = v1 + v2 where P1 and v1 lie on a grid of 2^-26, so that P1 v1 is
//  exact
//    in double (every partial sum is a multiple of 2^-52 below 2), and the rest is 2^26 times smaller (Ozaki et al.
//    2012): kSplit. Once v changes little, its changes are summed instead, v_j + sum over k > j of Pr(N >= k) (v_k -
//    v_(k-1)): plain products of so small a vector round so little that all of them together do not count.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_UNIFORMIZATION_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_UNIFORMIZATION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/column_panels.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/generator_rates.h"
#include "server/compute/matrix_exp/packed_matrix.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

enum class UniformProducts { kPlain, kSplit };

// g in units in which the largest rate is in [1/2, 1].
struct UniformRates {
  explicit UniformRates(const Rates& rates);

  PowerOfTwo g_unit;
  std::vector<DoubleDouble> row;  // [n] rates
  double rate = 0;                // q, >= all of row
  double rate_time = 0;           // q t
};

template <typename T>
class Uniformization {
 public:
  // `g` and `rates` outlive this.
  Uniformization(runtime::BufferPool& pool, const Matrix<const T>& g, const UniformRates& rates, int64_t p,
                 UniformProducts kind);

  // b = values + rests, [n, p], |b| <= 1, with zeros beyond n and p: also where the result is found.
  ColumnPanels& values() { return sum_; }
  ColumnPanels& rests() { return sum_rest_; }
  int64_t products() const { return products_; }  // of P with [n, p], so far

  // Errors: the executor's.
  absl::Status Run(runtime::Executor& executor);

  static double Bytes(int64_t n, int64_t p, UniformProducts kind);

 private:
  // What the weights of a step's terms leave after each: tails[k] = the sum of weights from k on, sums of tails, and
  // sums of those.
  struct Tails;

  absl::Status FillMatrix(runtime::Executor& executor);
  void FillRows(int64_t begin);
  void StartStep();
  absl::Status Step(runtime::Executor& executor, const Tails& tails, double steps_after, bool& steady);
  absl::Status FinishPlainly(runtime::Executor& executor, const Tails& tails, int64_t k);
  template <typename Work>
  absl::Status Advance(runtime::Executor& executor, const Work& work, double& largest);
  absl::Status AdvancePlain(runtime::Executor& executor, double weight, bool of_change, double& largest);
  absl::Status AdvanceSplit(runtime::Executor& executor, double weight, double& largest);
  void AddToSum(double weight);
  DoubleDouble Diagonal(int64_t i) const;
  double ProductRounding() const;

  const Matrix<const T>& g_;
  const UniformRates& rates_;
  const UniformProducts kind_;
  PackedMatrix rows_;                      // q P; its part on the grid while products are split
  std::optional<PackedMatrix> row_rests_;  // the other part
  ColumnPanels value_, next_value_;        // v
  std::optional<ColumnPanels> grid_, rest_, next_grid_, next_rest_;
  ColumnPanels sum_, sum_rest_;
  std::vector<double> diagonal_rests_;  // what the diagonal of rows_ lost to rounding
  std::vector<int64_t> most_entries_;   // of a row that are not zero, for each kPackedRows rows
  std::vector<double> largest_;         // by tile
  int64_t products_ = 0;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_UNIFORMIZATION_H_
