// exp(t A) of a triangular matrix, whose diagonal is exp of A's diagonal, exactly. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TRIANGULAR_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TRIANGULAR_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Taylor polynomial of degree 16 and squarings, in double. After the polynomial and after each squaring the diagonal
// and the one beside it are formed anew from A's entries, so that their errors never grow: Al-Mohy and Higham 2009, A
// new scaling and squaring algorithm for the matrix exponential, Code Fragment 2.1. The squarings come from norms of
// powers, as in taylor_plan.h. Memory: 7 matrices [n, n] of doubles.
template <typename T>
class Triangular {
 public:
  // REQUIRES: a [n, n] finite and upper or lower triangular.
  Triangular(runtime::BufferPool& pool, const Matrix<const T>& a);

  // result = exp(time * a), with zeros where a has them. False where an entry overflows T, or double on the way there:
  // result and report are then unspecified, and another way may still find it. Otherwise all of `report` but norm1 is
  // filled in. REQUIRES: time is not 0.
  absl::StatusOr<bool> Exp(runtime::Executor& executor, double time, const Matrix<T>& result, MatrixExpReport& report);

 private:
  static constexpr int kPowers = 4;
  using LogNorms = std::array<double, kPowers>;  // log2 of the powers' norms, -infinity for zero

  struct Step {
    double log2_scale = 0;  // of the powers of C: log2 |time| 2^exponent
    int64_t squarings = 0;
  };

  absl::Status FormPowers(runtime::Executor& executor);
  double LogNorm(int k, double log2_scale) const { return LogNorm(log_norms_, k, log2_scale); }
  Step PlanStep(double time) const;
  double Coefficient(double time, const Step& step, int k) const;
  absl::Status Evaluate(runtime::Executor& executor, double time, const Step& step);

  // An error that is followed through the squarings in the norm |D^-1 X D|_1. Rounding is entrywise and does not notice
  // D; a norm in which far entries are small does not take their size for a hump of the whole.
  struct ErrorTrack {
    std::vector<double> d;
    double norm = 0;   // of value_
    double error = 0;  // relative to it
  };
  ErrorTrack StartTrack(const Step& step, std::vector<double> d) const;
  static void FollowSquare(double norm, int64_t n, ErrorTrack& track);
  std::vector<double> Grading(double time) const;
  void RestoreDiagonals(long double time);
  static double LogNorm(const LogNorms& log_norms, int k, double log2_scale);
  // to = a b, all upper triangular.
  absl::Status Product(runtime::Executor& executor, const Dense& a, const Dense& b, const Dense& to) const;

  const int64_t n_;
  bool lower_ = false;  // then everything here is of a^T
  int exponent_ = 0;    // a = C 2^exponent
  std::vector<double> diagonal_;
  std::vector<double> beside_;  // a[i, i + 1]
  std::array<Dense, kPowers> powers_;
  LogNorms log_norms_{};  // of |C^k|_1
  bool has_powers_ = false;
  Dense value_;
  Dense spare_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TRIANGULAR_H_
