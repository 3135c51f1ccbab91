// One step of an action: a Taylor polynomial of a matrix times columns. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ACTION_POLYNOMIAL_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_ACTION_POLYNOMIAL_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/matrix_exp/column_panels.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/compute/matrix_exp/packed_matrix.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

class ActionPolynomial {
 public:
  static constexpr int kMostTerms = 90;

  ActionPolynomial(runtime::BufferPool& pool, int64_t n, int64_t p);

  // The sum = exp(scale c) f, f [n, p]. Ends where two terms in a row are below `tolerance` of their column, in its
  // largest entries, or where it cannot. Gives up early where a term turns out to be more than `most_cancellation`
  // times a column's result. Errors: the executor's.
  absl::Status Evaluate(runtime::Executor& executor, double scale, const PackedMatrix& c, const Dense& f,
                        double tolerance, double most_cancellation);

  // From here on products are measured, with the column sums of |c|; none where `weights` is empty.
  void MeasureProducts(std::vector<double> weights) { weights_ = std::move(weights); }
  // What the products added up to with moduli, over the result; 0 where they were not measured.
  double ProductRounding() const;

  // How many times its column's result a term was, at most; at least 1. REQUIRES: converged().
  double Cancellation() const;

  int degree() const { return degree_; }  // products that it took
  bool converged() const { return converged_; }
  void StoreTo(const Dense& f) const { sum_.StoreTo(f.view()); }

  static double Bytes(int64_t n, int64_t p) { return 3 * 8.0 * static_cast<double>(ColumnPanels::Entries(n, p)); }

 private:
  absl::Status AddTerm(runtime::Executor& executor, double scale, const PackedMatrix& c);
  bool Cancels(double most) const;

  ColumnPanels term_;
  ColumnPanels next_;
  ColumnPanels sum_;
  // By column, panels padded to kPackedColumns.
  std::vector<double> term_largest_, before_, sum_largest_, peaks_;
  std::vector<double> weights_;           // by row, or empty
  std::vector<double> product_rounding_;  // by column
  std::vector<double> tiles_;             // what each tile found of a term and the sum
  int degree_ = 0;
  bool converged_ = false;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_ACTION_POLYNOMIAL_H_
