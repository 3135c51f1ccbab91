#include "server/compute/matrix_exp/matrix_exp.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/compact_exp.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/compute/matrix_exp/matrix_solver.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/structure.h"
#include "server/compute/matrix_exp/tiling.h"

namespace attend::compute {
namespace {

// An empty matrix has every structure, of which this is looked for first.
constexpr MatrixStructure kOfEmpty = MatrixStructure::kDiagonal;

absl::Status OfMatrix(const absl::Status& status, int64_t index) {
  if (status.code() != absl::StatusCode::kOutOfRange) return status;
  return absl::OutOfRangeError(absl::StrCat("matrix ", index, ": ", status.message()));
}

// Where each of the times is asked for first.
struct FirstPlaces {
  explicit FirstPlaces(const std::vector<double>& times) {
    std::unordered_map<double, size_t> places;
    for (size_t k = 0; k < times.size(); ++k) {
      const auto [place, is_new] = places.try_emplace(times[k], k);
      of.push_back(place->second);
      if (is_new) distinct.push_back(k);
    }
  }

  std::vector<size_t> of;        // [times]
  std::vector<size_t> distinct;  // the first places alone, ascending
};

template <typename T>
class Batch {
 public:
  Batch(runtime::BufferPool& pool, const MatrixExpProblem<T>& problem, MatrixExpResult<T>& result)
      : pool_(pool),
        problem_(problem),
        result_(result),
        first_(problem.times),
        flops_(static_cast<size_t>(problem.batch), 0) {
    if (SumsGradB()) shared_grads_ = Dense(problem.batch, problem.n * problem.p, pool);
  }

  absl::Status Run(runtime::Executor& executor) {
    if (auto done = RunMatrices(executor); !done.ok()) return done;
    result_.other_flops = std::accumulate(flops_.begin(), flops_.end(), 0.0);
    if (!SumsGradB()) return absl::OkStatus();
    const Dense sum(problem_.n, problem_.p, pool_);
    SetZero(sum.view());
    for (int64_t index = 0; index < problem_.batch; ++index) {
      const double* one = shared_grads_.view().row(index);
      for (int64_t i = 0; i < sum.size(); ++i) sum.data()[i] += one[i];
    }
    if (Store(sum.view(), 0, Matrix<T>(result_.grad_apply_to, problem_.n, problem_.p))) return absl::OkStatus();
    return absl::OutOfRangeError("the gradient of apply_to overflows");
  }

 private:
  bool SumsGradB() const { return problem_.acts() && problem_.apply_to_is_shared && problem_.grad_output != nullptr; }

  absl::Status RunMatrices(runtime::Executor& executor) {
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

  // Matrix `index` at all times.
  absl::Status RunMatrix(runtime::Executor& executor, int64_t index) {
    const int64_t n = problem_.n;
    const Matrix<const T> a(problem_.a + index * n * n, n, n);
    if (problem_.structure) {
      if (auto holds = CheckStructure(a, *problem_.structure, index); !holds.ok()) return holds;
    }
    MatrixSolver<T> solver(pool_, problem_, a);
    const bool in_cache = !problem_.acts() && IsGeneral(solver) && RunCompact(index);
    if (!in_cache) {
      if (auto done = RunTimes(executor, index, solver); !done.ok()) return OfMatrix(done, index);
    }
    if (problem_.grad_output != nullptr) {
      if (auto done = Differentiate(executor, index, solver); !done.ok()) return OfMatrix(done, index);
    }
    if (n == 1 && problem_.structure) {  // all ways are one there
      for (size_t k = 0; k < problem_.times.size(); ++k) ReportAt(k, index).structure = *problem_.structure;
    }
    flops_[static_cast<size_t>(index)] = solver.other_flops();
    return absl::OkStatus();
  }

  // Whether no time allows a better way.
  bool IsGeneral(MatrixSolver<T>& solver) const {
    return problem_.n > 1 && std::all_of(problem_.times.begin(), problem_.times.end(), [&](double time) {
             return solver.StructureAt(time) == MatrixStructure::kGeneral;
           });
  }

  // Whether matrix `index` could be done in the cache.
  bool RunCompact(int64_t index) {
    const int64_t n = problem_.n;
    if (n > kLargestCompact) return false;
    CompactProblem<T> compact;
    compact.n = n;
    compact.a = problem_.a + index * n * n;
    compact.times = problem_.times;
    compact.time_step = problem_.batch;
    compact.result = result_.result + index * n * n;
    compact.reports = &result_.reports[static_cast<size_t>(index)];
    if (!CompactExp(compact, pool_.Allocate(CompactBytes<T>(n)).data())) return false;
    if constexpr (std::is_same_v<T, float>) {  // which rounds the norm
      const double norm = NormOne(Matrix<const T>(compact.a, n, n));
      for (size_t k = 0; k < problem_.times.size(); ++k) {
        ReportAt(k, index).norm1 = norm * std::fabs(problem_.times[k]);
      }
    }
    return true;
  }

  // Each time once, all that a method allows at once; times that come again are copied.
  absl::Status RunTimes(runtime::Executor& executor, int64_t index, MatrixSolver<T>& solver) {
    std::vector<ActionJob<T>> forwards;
    std::vector<ActionJob<T>> backwards;
    for (size_t k : first_.distinct) {
      const double time = problem_.times[k];
      (time < 0 ? backwards : forwards).push_back({time, ResultAt(k, index), &ReportAt(k, index)});
    }
    for (std::vector<ActionJob<T>>* jobs : {&forwards, &backwards}) {
      if (jobs->empty()) continue;
      Method<T>& method = solver.At(jobs->front().time);
      auto done = problem_.acts() ? method.Act(executor, ApplyTo(index), *jobs) : method.Exps(executor, *jobs);
      if (!done.ok()) return done;
      for (const ActionJob<T>& job : *jobs) {
        if (problem_.acts() && job.report->products == 0) job.report->structure = solver.StructureAt(job.time);
      }
    }
    for (size_t k = 0; k < problem_.times.size(); ++k) CopyFrom(first_.of[k], k, index);
    return absl::OkStatus();
  }

  void CopyFrom(size_t from, size_t k, int64_t index) {
    if (from == k) return;
    std::copy_n(ResultAt(from, index).data, problem_.n * cols(), ResultAt(k, index).data);
    MatrixExpReport& report = ReportAt(k, index) = ReportAt(from, index);
    report.squarings = report.products = report.action_products = 0;
  }

  absl::Status Differentiate(runtime::Executor& executor, int64_t index, MatrixSolver<T>& solver) {
    const int64_t n = problem_.n;
    const Dense grad_a(n, n, pool_);
    const Dense grad_b(n, problem_.p, pool_);
    SetZero(grad_a.view());
    SetZero(grad_b.view());
    for (size_t k = 0; k < problem_.times.size(); ++k) {
      const double time = problem_.times[k];
      const Matrix<const T> gradient(problem_.grad_output + Position(k, index) * n * cols(), n, cols());
      absl::Status done;
      if (problem_.acts()) {
        done = solver.At(time).AddActionAdjoint(executor, time, ApplyTo(index), gradient, grad_a.view(), grad_b.view());
      } else {
        const Dense wide(n, n, pool_);
        Load(gradient, wide.view());
        done = solver.At(time).AddExpAdjoint(executor, time, AsConst(wide.view()), grad_a.view());
      }
      if (!done.ok()) return done;
    }
    const bool fits = Store(grad_a.view(), 0, Matrix<T>(result_.grad_a + index * n * n, n, n));
    if (!fits || !StoreGradB(index, grad_b)) return GradientOverflow(index);
    return absl::OkStatus();
  }

  absl::Status GradientOverflow(int64_t index) const {
    double norm = 0;
    for (size_t k = 0; k < problem_.times.size(); ++k) norm = std::max(norm, ReportAt(k, index).norm1);
    return absl::OutOfRangeError(absl::StrCat("the gradient of exp overflows at norm ", norm, " of time * a"));
  }

  // Of a shared B the gradients are summed at the end, in the order of the batch.
  bool StoreGradB(int64_t index, const Dense& grad_b) {
    if (!problem_.acts()) return true;
    const int64_t size = problem_.n * problem_.p;
    if (!problem_.apply_to_is_shared) {
      return Store(grad_b.view(), 0, Matrix<T>(result_.grad_apply_to + index * size, problem_.n, problem_.p));
    }
    std::copy_n(grad_b.data(), size, shared_grads_.data() + index * size);
    return true;
  }

  int64_t cols() const { return problem_.result_cols(); }
  int64_t Position(size_t k, int64_t index) const { return static_cast<int64_t>(k) * problem_.batch + index; }
  Matrix<T> ResultAt(size_t k, int64_t index) const {
    return Matrix<T>(result_.result + Position(k, index) * problem_.n * cols(), problem_.n, cols());
  }
  MatrixExpReport& ReportAt(size_t k, int64_t index) const {
    return result_.reports[static_cast<size_t>(Position(k, index))];
  }
  Matrix<const T> ApplyTo(int64_t index) const {
    const int64_t offset = problem_.apply_to_is_shared ? 0 : index * problem_.n * problem_.p;
    return Matrix<const T>(problem_.apply_to + offset, problem_.n, problem_.p);
  }

  runtime::BufferPool& pool_;
  const MatrixExpProblem<T>& problem_;
  MatrixExpResult<T>& result_;
  const FirstPlaces first_;    // of times
  std::vector<double> flops_;  // by matrix: other_flops
  Dense shared_grads_;         // [batch, n, p]
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
  if (problem.n == 0 || problem.batch == 0) {
    for (MatrixExpReport& report : result.reports) report.structure = problem.structure.value_or(kOfEmpty);
    if (result.grad_apply_to != nullptr && problem.apply_to_is_shared) {
      std::fill_n(result.grad_apply_to, problem.n * problem.p, T{0});
    }
    return absl::OkStatus();
  }
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

}  // namespace attend::compute
