// What one matrix of a batch is computed with. Not thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_MATRIX_SOLVER_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_MATRIX_SOLVER_H_

#include <array>
#include <memory>
#include <optional>

#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/compute/matrix_exp/method.h"
#include "server/compute/matrix_exp/structure.h"
#include "server/runtime/buffer_pool.h"

namespace attend::compute {

// The methods of one matrix: a generator is none at negative times.
template <typename T>
class MatrixSolver {
 public:
  MatrixSolver(runtime::BufferPool& pool, const MatrixExpProblem<T>& problem, const Matrix<const T>& a)
      : pool_(pool), a_(a), named_(problem.structure) {}

  Method<T>& At(double time) {
    std::unique_ptr<Method<T>>& method = methods_[time < 0 ? 1 : 0];
    if (method == nullptr) {
      // A number has an exponential of its own, whatever it is called.
      const bool is_number = a_.rows == 1;
      method = MakeMethod(is_number ? MatrixStructure::kDiagonal : StructureAt(time), pool_, a_);
    }
    return *method;
  }

  MatrixStructure StructureAt(double time) {
    if (named_) return *named_;
    std::optional<MatrixStructure>& found = found_[time < 0 ? 1 : 0];
    if (!found) found = DetectStructure(a_, time >= 0);
    return *found;
  }

  double other_flops() const {
    double sum = 0;
    for (const auto& method : methods_) sum += method == nullptr ? 0 : method->other_flops();
    return sum;
  }

 private:
  runtime::BufferPool& pool_;
  const Matrix<const T> a_;
  const std::optional<MatrixStructure> named_;
  std::array<std::optional<MatrixStructure>, 2> found_;
  std::array<std::unique_ptr<Method<T>>, 2> methods_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_MATRIX_SOLVER_H_
