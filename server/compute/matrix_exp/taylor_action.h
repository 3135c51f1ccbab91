// exp(t A) B of any matrix by products of A with [n, p], never forming exp(t A). Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_ACTION_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_ACTION_H_

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/matrix_exp/packed_matrix.h"
#include "server/compute/matrix_exp/shifted_matrix.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// [n, p] whose column j stands for itself times 2^exponents[j]: nothing over- or underflows on the way.
struct ScaledColumns {
  ScaledColumns(int64_t n, int64_t p, runtime::BufferPool& pool)
      : values(n, p, pool), exponents(static_cast<size_t>(p), 0) {}

  // = b. T is float or double.
  template <typename T>
  void LoadFrom(const Matrix<const T>& b);
  // Brings the largest entry of each column to [1/2, 1).
  void Normalize();
  // to = these times factor; false where an entry is not finite in T.
  template <typename T>
  bool StoreTo(long double exp_factor, const Matrix<T>& to) const;

  Dense values;
  std::vector<int64_t> exponents;
};

// t is cut into steps, each a Taylor polynomial that ends where its terms no longer count.
struct ActionPlan {
  int degree = 0;
  double steps = 1;

  double products() const { return degree * steps; }
};

struct ActionReport {
  int degree = 0;  // the highest of any step
  int64_t steps = 0;
  int64_t products = 0;
  double rounding = 0;  // sum over steps of the largest term over the result: what cancelled, in units of roundoff
  // Where powers cancel: sum over steps of the terms' | |C| |f| |_1, by which their products round, over the result's.
  double product_rounding = 0;
};

// Source: Al-Mohy and Higham 2011, Computing the action of the matrix exponential: degree and steps from norms of
// powers of A - shift I, which are estimated here from a few columns' Krylov sequence instead of an iteration per
// power. What the estimate misses, each step notices itself: it goes on until two terms in a row do not count, and
// where terms grow so far beyond the result that digits cancel, it is taken anew with half its length. Steps longer
// than the plan's, which bounds what may cancel, are taken where they cancel little: fewer products in sum.
class TaylorAction {
 public:
  // T tells when a term no longer counts.
  template <typename T>
  TaylorAction(runtime::BufferPool& pool, const Matrix<const T>& a)
      : pool_(pool), a_(a, pool), tolerance_(std::numeric_limits<T>::digits < 53 ? 0x1p-44 : 0x1p-53) {}

  const ShiftedMatrix& a() const { return a_; }
  // A term below this share of its column's sum no longer counts.
  double tolerance() const { return tolerance_; }

  // Nine products of A with [n, 4], once; the plans of long times are better for it. Errors: the executor's.
  absl::Status EstimateNorms(runtime::Executor& executor);
  ActionPlan Plan(double time) const;

  // What a step began with, for the way back.
  struct Step {
    ScaledColumns begin;
    double time = 0;
    double scale = 0;  // the step is exp(scale C)
    int degree = 0;
  };
  struct Recording {
    size_t most_steps = 0;
    double least_steps = 1;
    std::vector<Step> steps;  // in order
    bool complete = true;     // false: there were more than most_steps, and f is unspecified
  };

  // f = exp(time (A - shift)) f; the shift's factor is exp(a().ShiftBy(time)). Adds to `report`.
  // `recording` may be null. Polls cancellation between tiles of products.
  absl::Status Run(runtime::Executor& executor, double time, ScaledColumns& f, ActionReport& report,
                   Recording* recording = nullptr);

  // A term this many times the result costs 7 bits of it: the step is halved.
  static constexpr double kMostCancellation = 128;

 private:
  static constexpr int kEstimated = 9;  // powers

  double LogAlpha(int p) const;
  absl::Status Pack(runtime::Executor& executor);
  // In how many steps, possibly fewer than the plan's.
  absl::Status ChooseSteps(runtime::Executor& executor, double time, const ScaledColumns& f, double& steps);

  runtime::BufferPool& pool_;
  const ShiftedMatrix a_;
  const double tolerance_;
  std::optional<PackedMatrix> packed_;  // C
  bool has_estimates_ = false;
  std::array<double, kEstimated + 1> log_norms_{};  // log2 |C^k|_1, estimated for k > 1
};

// Bytes of working memory beyond what is recorded of steps.
double TaylorActionBytes(int64_t n, int64_t p);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_ACTION_H_
