#include "server/compute/matrix_exp/matrix_exp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/compact_exp.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/general_exp.h"
#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/structure.h"

namespace attend::compute {
namespace {

// Up to here a matrix is one tile; a larger one is worth splitting its products over the threads.
constexpr int64_t kLargestTile = 256;

absl::Status OfMatrix(const absl::Status& status, int64_t index) {
  if (status.code() != absl::StatusCode::kOutOfRange) return status;
  return absl::OutOfRangeError(absl::StrCat("matrix ", index, ": ", status.message()));
}

// exp of a number, correctly rounded but for the last digit.
template <typename T>
absl::Status ScalarExp(T a, double time, T& result, MatrixExpReport& report) {
  report = MatrixExpReport{};
  const DoubleDouble exponent = ExactProduct(static_cast<double>(a), time);
  report.norm1 = std::min(std::fabs(exponent.hi), std::numeric_limits<double>::max());
  report.error_bound = std::numeric_limits<T>::epsilon();
  const bool moderate = std::fabs(exponent.hi) < 1e4;
  const double value = std::exp(exponent.hi) * (moderate ? 1 + exponent.lo : 1);
  if (value > static_cast<double>(std::numeric_limits<T>::max())) {
    return absl::OutOfRangeError(absl::StrCat("exp overflows at norm ", report.norm1, " of time * a, time = ", time));
  }
  result = static_cast<T>(value);
  if (result < std::numeric_limits<T>::min()) {  // relative error of a number whose last digits are gone
    report.error_bound = result == 0 ? 1 : static_cast<double>(std::numeric_limits<T>::denorm_min() / result);
  }
  return absl::OkStatus();
}

template <typename T>
class Batch {
 public:
  Batch(runtime::BufferPool& pool, const MatrixExpProblem<T>& problem, MatrixExpResult<T>& result)
      : pool_(pool), problem_(problem), result_(result) {}

  absl::Status Run(runtime::Executor& executor) {
    if (problem_.n > kLargestTile) {
      for (int64_t index = 0; index < problem_.batch; ++index) {
        if (auto done = RunMatrix(executor, index); !done.ok()) return done;
      }
      return absl::OkStatus();
    }
    constexpr double kTypicalProducts = 12;
    const auto n = static_cast<double>(problem_.n);
    const double matrix_flops = kTypicalProducts * 2 * n * n * n * static_cast<double>(problem_.times.size());
    // Handing out a tile costs as much as some small matrices.
    constexpr double kLeastTileFlops = 1e6;
    const auto per_tile =
        static_cast<int64_t>(std::ceil(kLeastTileFlops / std::max(matrix_flops, kLeastTileFlops / 64)));
    const int64_t tiles = (problem_.batch + per_tile - 1) / per_tile;
    return executor.ForEachTile(tiles, matrix_flops * static_cast<double>(per_tile), [&](int64_t tile, int worker) {
      runtime::InlineExecutor nested(executor.cancellation());
      const int64_t end = std::min(problem_.batch, (tile + 1) * per_tile);
      for (int64_t index = tile * per_tile; index < end; ++index) {
        if (auto done = RunMatrix(nested, index); !done.ok()) return done;
      }
      return absl::OkStatus();
    });
  }

 private:
  // Matrix `index` at all times.
  absl::Status RunMatrix(runtime::Executor& executor, int64_t index) {
    const int64_t n = problem_.n;
    const Matrix<const T> a(problem_.a + index * n * n, n, n);
    std::optional<double> generator_row_sum;
    if (problem_.structure != MatrixStructure::kGeneral) generator_row_sum = GeneratorRowSum(a);
    if (problem_.structure == MatrixStructure::kGenerator && !generator_row_sum) return CheckGenerator(a, index);
    if (!generator_row_sum && RunCompact(index)) return absl::OkStatus();
    GeneralExp<T> general(a, pool_);
    for (size_t k = 0; k < problem_.times.size(); ++k) {
      const int64_t position = static_cast<int64_t>(k) * problem_.batch + index;
      const Matrix<T> out(result_.result + position * n * n, n, n);
      MatrixExpReport& report = result_.reports[static_cast<size_t>(position)];
      const double time = problem_.times[k];
      absl::Status done;
      if (generator_row_sum && time >= 0) {
        done = GeneratorExp(executor, pool_, a, time, out, report);
        // The diagonal as it came may differ from minus the sum of its row by rounding.
        report.error_bound += std::expm1(std::min(time * *generator_row_sum, 1.0));
      } else if (n == 1) {
        done = ScalarExp(a.data[0], time, out.data[0], report);
      } else {
        done = general.Run(executor, time, out, report);
      }
      if (!done.ok()) return OfMatrix(done, index);
    }
    return absl::OkStatus();
  }

  // Whether matrix `index` could be done in the cache.
  bool RunCompact(int64_t index) {
    const int64_t n = problem_.n;
    if (n < 2 || n > kLargestCompact) return false;
    CompactProblem<T> compact;
    compact.n = n;
    compact.a = problem_.a + index * n * n;
    compact.times = problem_.times;
    compact.time_step = problem_.batch;
    compact.result = result_.result + index * n * n;
    compact.reports = &result_.reports[static_cast<size_t>(index)];
    return CompactExp(compact, pool_.Allocate(CompactBytes<T>(n)).data());
  }

  runtime::BufferPool& pool_;
  const MatrixExpProblem<T>& problem_;
  MatrixExpResult<T>& result_;
};

template <typename T>
absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixExpProblem<T>& problem,
                 MatrixExpResult<T>& result) {
  result.reports.assign(problem.times.size() * static_cast<size_t>(problem.batch), MatrixExpReport{});
  if (problem.structure == MatrixStructure::kGenerator) {
    for (size_t k = 0; k < problem.times.size(); ++k) {
      if (problem.times[k] < 0) {
        return absl::InvalidArgumentError(absl::StrCat("times[", k, "] is ", problem.times[k],
                                                       ": a generator times a negative number is none, expected >= 0"));
      }
    }
  }
  if (problem.n == 0) return absl::OkStatus();
  return Batch<T>(pool, problem, result).Run(executor);
}

}  // namespace

absl::Status MatrixExp(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixExpProblem<float>& problem,
                       MatrixExpResult<float>& result) {
  return Run(executor, pool, problem, result);
}

absl::Status MatrixExp(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixExpProblem<double>& problem,
                       MatrixExpResult<double>& result) {
  return Run(executor, pool, problem, result);
}

double MatrixExpFlops(int64_t n, const std::vector<MatrixExpReport>& reports) {
  const auto size = static_cast<double>(n);
  double products = 0;
  for (const MatrixExpReport& report : reports) products += report.products;
  return products * 2 * size * size * size;
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
  return at_once * kMatrices * kEntryBytes * n * n + workers * kPanelColumns * 8 * n +
         reports * static_cast<double>(sizeof(MatrixExpReport));
}

template double MatrixExpWorkspaceBytes(const MatrixExpProblem<float>&, int);
template double MatrixExpWorkspaceBytes(const MatrixExpProblem<double>&, int);

}  // namespace attend::compute
