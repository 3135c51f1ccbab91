#include "server/compute/lie/matrix_log.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "server/compute/lie/chain.h"
#include "server/compute/lie/each_matrix.h"
#include "server/compute/lie/logarithm.h"
#include "server/compute/lie/singular_distance.h"
#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/matrix_exp.h"

namespace attend::compute {
namespace {

double Norm1(const Matrix<const double>& a) {
  std::vector<double> sums(static_cast<size_t>(a.cols), 0.0);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) sums[static_cast<size_t>(j)] += std::fabs(a.row(i)[j]);
  }
  return sums.empty() ? 0 : *std::max_element(sums.begin(), sums.end());
}

template <typename T>
bool IsStochastic(const Matrix<const double>& a) {
  for (int64_t i = 0; i < a.rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < a.cols; ++j) {
      if (a.row(i)[j] < 0) return false;
      sum += a.row(i)[j];
    }
    if (!(std::fabs(sum - 1) <= kRowSumTolerance<T>)) return false;
  }
  return true;
}

// One matrix, in double.
template <typename T>
class Run {
 public:
  Run(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, MatrixLogReport& report)
      : executor_(executor),
        pool_(pool),
        n_(n),
        report_(report),
        buffer_(pool.AllocateArray<double>(static_cast<size_t>(4 * n * n))) {}

  absl::Status Compute(const T* a) {
    std::copy_n(a, n_ * n_, part(0));
    const Matrix<const double> matrix = View(0);
    Logarithm logarithm;
    absl::Status done = ComputeLogarithm(executor_, pool_, matrix, Matrix<double>(part(1), n_, n_), logarithm);
    if (!done.ok()) return done;
    report_.exists = logarithm.exists;
    report_.obstacle = logarithm.obstacle;
    report_.cost = logarithm.cost;
    const bool stochastic = IsStochastic<T>(matrix);
    const SingularDistance distance(executor_, pool_, matrix);
    const StochasticMatrix chain{matrix, logarithm.eigenvalues, kUnit, distance};
    if (stochastic && n_ > 0) {
      if (done = Take(NecessaryConditions(chain)); !done.ok()) return done;
    } else if (!stochastic) {
      report_.embedding = {Embeddability::kNotStochastic, "the matrix is not row-stochastic", 0};
    }
    if (!logarithm.exists) {
      std::fill_n(part(1), 2 * n_ * n_, std::numeric_limits<double>::quiet_NaN());
      if (report_.embedding.reason.empty()) report_.embedding.reason = logarithm.obstacle;
      return absl::OkStatus();
    }
    if (done = Measure(); !done.ok()) return done;
    if (!stochastic || n_ == 0) return absl::OkStatus();
    if (report_.embedding.verdict == Embeddability::kUndecided && report_.embedding.reason.empty()) {
      if (done = Take(JudgeLogarithm(chain, View(1), report_.residual)); !done.ok()) return done;
    }
    return MeasureNearest();
  }

  const double* log() const { return part(1); }
  const double* nearest() const { return part(2); }

 private:
  static constexpr double kUnit = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;

  double* part(int k) const { return buffer_.template as<double>() + k * n_ * n_; }
  Matrix<const double> View(int k) const { return {part(k), n_, n_}; }

  absl::Status Take(absl::StatusOr<Embedding> embedding) {
    if (embedding.ok()) report_.embedding = *std::move(embedding);
    return embedding.status();
  }

  // ||exp(log) - a||, and the nearest generator.
  absl::Status Measure() {
    report_.norm1 = Norm1(View(1));
    report_.generator = DiagnoseGenerator(View(1), part(2));
    MatrixExpProblem<double> problem;
    problem.batch = 1;
    problem.n = n_;
    problem.a = part(1);
    problem.times = {1.0};
    problem.structure = MatrixStructure::kGeneral;
    MatrixExpResult<double> result;
    result.result = part(3);
    if (absl::Status done = MatrixExp(executor_, pool_, problem, result); !done.ok()) return done;
    SubtractMatrix();
    const double norm = Norm1(View(0));
    report_.residual = norm == 0 ? 0 : Norm1(View(3)) / norm;
    return absl::OkStatus();
  }

  absl::Status MeasureNearest() {
    MatrixExpReport unused;
    absl::Status done = GeneratorExp(executor_, pool_, View(2), 1.0, Matrix<double>(part(3), n_, n_), unused);
    if (!done.ok()) return done;
    SubtractMatrix();
    double sum = 0;
    for (int64_t i = 0; i < n_ * n_; ++i) sum += part(3)[i] * part(3)[i];
    report_.nearest_error = std::sqrt(sum);
    return absl::OkStatus();
  }

  void SubtractMatrix() {
    for (int64_t i = 0; i < n_ * n_; ++i) part(3)[i] -= part(0)[i];
  }

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const int64_t n_;
  MatrixLogReport& report_;
  const runtime::Buffer buffer_;  // the matrix, its logarithm, the nearest generator, scratch
};

template <typename T>
absl::Status RoundTo(const double* from, int64_t count, T* to) {
  for (int64_t i = 0; i < count; ++i) {
    if (std::fabs(from[i]) > static_cast<double>(std::numeric_limits<T>::max())) {
      return absl::OutOfRangeError("the logarithm overflows FLOAT32");
    }
    to[i] = static_cast<T>(from[i]);
  }
  return absl::OkStatus();
}

}  // namespace

template <typename T>
absl::Status MatrixLog(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixLogProblem<T>& problem,
                       MatrixLogResult<T>& result) {
  result.reports.assign(static_cast<size_t>(problem.batch), MatrixLogReport{});
  constexpr double kTypicalProducts = 40;
  const int64_t size = problem.n * problem.n;
  return ForEachMatrix(executor, problem.batch, problem.n, kTypicalProducts,
                       [&](runtime::Executor& inner, int64_t index) {
                         Run<T> run(inner, pool, problem.n, result.reports[static_cast<size_t>(index)]);
                         absl::Status done = run.Compute(problem.a + index * size);
                         if (done.ok()) done = RoundTo(run.log(), size, result.result + index * size);
                         if (!done.ok() || result.nearest_generator == nullptr) return done;
                         return RoundTo(run.nearest(), size, result.nearest_generator + index * size);
                       });
}

template absl::Status MatrixLog(runtime::Executor&, runtime::BufferPool&, const MatrixLogProblem<float>&,
                                MatrixLogResult<float>&);
template absl::Status MatrixLog(runtime::Executor&, runtime::BufferPool&, const MatrixLogProblem<double>&,
                                MatrixLogResult<double>&);

double MatrixLogFlops(int64_t n, const std::vector<MatrixLogReport>& reports) {
  const auto size = static_cast<double>(n);
  double cubes = 0;
  // In n^3: a Schur form; complex roots (8/3 each) and fractions (4/3 each); six real products.
  for (const MatrixLogReport& report : reports) {
    cubes += 25;
    if (report.exists) cubes += 8.0 / 3 * report.cost.square_roots + 4.0 / 3 * report.cost.degree + 12;
  }
  return cubes * size * size * size;
}

double MatrixLogWorkspaceBytes(int64_t batch, int64_t n, int workers) {
  MatrixExpProblem<double> problem;
  problem.batch = 1;
  problem.n = n;
  problem.times = {1.0};
  const auto size = static_cast<double>(n);
  const double one = 32 * size * size + std::max({LogarithmWorkspaceBytes(n), MatrixExpWorkspaceBytes(problem, workers),
                                                  SingularDistanceWorkspaceBytes(n, workers)});
  return MatricesAtOnce(batch, n, workers) * one + static_cast<double>(batch) * (sizeof(MatrixLogReport) + 256);
}

}  // namespace attend::compute
