// exp of one generator at some time, twice that, four times that, and so on, in working precision. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_CHAIN_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_CHAIN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/matrix_exp/generator_plan.h"
#include "server/compute/matrix_exp/wide_matrix.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Powers of the shifted generator, formed once for all chains of one horizon, and the chain that was started last.
// Memory: block + 2 matrices [n, n], and what their products take.
class GeneratorChain {
 public:
  GeneratorChain(int64_t n, Precision precision, runtime::BufferPool& pool);

  // S [n, n] = c (G + q I), q = max |g_ii|, entries in [0, 1]: to be filled in before all else.
  const WideMatrix& shifted() const { return powers_[0]; }

  // value = exp(factor S), rows normalized, which takes the shift out again: as accurate as plan.horizon squarings
  // need. What was formed before changes no bit of it. `products` counts.
  absl::Status Start(runtime::Executor& executor, const SeriesPlan& plan, double factor, uint32_t& products);

  // Squares value until it was squared `squarings` times since it started, or settled. `products` counts.
  // REQUIRES: squarings <= horizon.
  absl::Status SquareTo(runtime::Executor& executor, int squarings, uint32_t& products);

  const WideMatrix& value() const { return *value_; }
  int squarings() const { return squarings_; }  // since the start
  bool settled() const { return settled_; }     // further squarings change nothing

  // Gives back the memory of the value. Powers stay.
  void Stop();

  // What one product may change entries by, relatively, with `squarings` to come, each of which doubles it: all
  // products together stay about a unit of roundoff.
  static double ProductTolerance(int squarings);

 private:
  absl::Status NeedPower(runtime::Executor& executor, int k, uint32_t& products);
  absl::Status SumSeries(runtime::Executor& executor, const SeriesPlan& plan, double factor, uint32_t& products);

  const int64_t n_;
  const Precision precision_;
  runtime::BufferPool& pool_;
  std::vector<WideMatrix> powers_;        // S, S^2, ...
  std::vector<PairAccuracy> accuracies_;  // after each of them was formed
  int horizon_ = 0;
  std::optional<WideMatrix> value_;
  std::optional<WideMatrix> spare_;
  PairAccuracy accuracy_;
  int squarings_ = 0;
  bool settled_ = false;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_CHAIN_H_
