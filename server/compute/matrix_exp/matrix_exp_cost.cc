#include <algorithm>
#include <type_traits>

#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/compute/matrix_exp/method.h"
#include "server/compute/matrix_exp/tiling.h"

namespace attend::compute {

double MatrixExpFlops(int64_t n, int64_t cols, const std::vector<MatrixExpReport>& reports) {
  const auto size = static_cast<double>(n);
  double columns = 0;  // that were multiplied by an [n, n] matrix
  for (const MatrixExpReport& report : reports) {
    columns += report.products * size + report.action_products * static_cast<double>(cols);
  }
  return columns * 2 * size * size;
}

template <typename T>
double MatrixExpWorkspaceBytes(const MatrixExpProblem<T>& problem, int workers) {
  // The generator's way takes the most: up to 5 powers, the sum and a spare, in doubles or pairs of them, and the
  // slices of two pairs; and the panels of a pair product for each worker.
  constexpr double kMatrices = 9;
  constexpr double kEntryBytes = std::is_same_v<T, float> ? 8 : 16;
  constexpr double kPanelColumns = 16;
  const auto n = static_cast<double>(problem.n);
  const double tiles = std::min<double>(workers, static_cast<double>(std::max<int64_t>(problem.batch, 1)));
  const double at_once = problem.n > kLargestTile ? 1 : tiles;
  const double reports = static_cast<double>(problem.batch) * static_cast<double>(problem.times.size());
  const bool differentiates = problem.grad_output != nullptr;
  const double methods = at_once * MethodBytes<T>(problem.n, problem.p, problem.acts(), differentiates);
  const bool sums_shared = problem.apply_to_is_shared && differentiates;
  const double shared =
      sums_shared ? 8 * static_cast<double>(problem.batch + 1) * n * static_cast<double>(problem.p) : 0;
  return at_once * kMatrices * kEntryBytes * n * n + methods + shared + workers * kPanelColumns * 8 * n +
         reports * static_cast<double>(sizeof(MatrixExpReport));
}

template double MatrixExpWorkspaceBytes(const MatrixExpProblem<float>&, int);
template double MatrixExpWorkspaceBytes(const MatrixExpProblem<double>&, int);

}  // namespace attend::compute
