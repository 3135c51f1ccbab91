// What a call holds stays within MatrixExpWorkspaceBytes, which admission goes by.
#include <gtest/gtest.h>

#include "tests/server/compute/matrix_exp/structured_cases.h"
#include "tests/server/compute/watching_executor.h"

namespace attend::compute {
namespace {

template <typename T>
class MatrixExpWorkspaceTest : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(MatrixExpWorkspaceTest, ElementTypes);

TYPED_TEST(MatrixExpWorkspaceTest, BoundsWhatEveryStructureHolds) {
  const int64_t n = 280;  // above one tile: products go through the executor
  for (Kind kind : kAllKinds) {
    for (int64_t p : {0, 1, 16, 300}) {
      for (bool with_gradients : {false, true}) {
        SCOPED_TRACE(NameOf(kind, n, 1) + " p " + std::to_string(p));
        const auto a = Structured<TypeParam>(kind, n, 1.0, 3);
        const std::vector<TypeParam> b(static_cast<size_t>(3 * n * std::max(n, p)), TypeParam{0.5});
        std::vector<TypeParam> result(b.size()), grad_a(a.size()), grad_b(b.size());
        runtime::BufferPool pool;
        WatchingExecutor executor(pool);
        MatrixExpProblem<TypeParam> problem;
        problem.batch = 1;
        problem.n = n;
        problem.a = a.data();
        problem.times = {1.0, 2.0, 0.7};
        if (p > 0) {
          problem.apply_to = b.data();
          problem.p = p;
          problem.apply_to_is_shared = true;
        }
        if (with_gradients) problem.grad_output = b.data();
        MatrixExpResult<TypeParam> outcome;
        outcome.result = result.data();
        outcome.grad_a = grad_a.data();
        outcome.grad_apply_to = grad_b.data();
        const absl::Status status = MatrixExp(executor, pool, problem, outcome);
        ASSERT_TRUE(status.ok()) << status;
        // The pool rounds blocks up by at most an eighth.
        EXPECT_LE(static_cast<double>(executor.peak()), 9.0 / 8 * MatrixExpWorkspaceBytes(problem, 1));
      }
    }
  }
}

}  // namespace
}  // namespace attend::compute
