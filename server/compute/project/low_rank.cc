#include "server/compute/project/low_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "server/compute/project/normalized.h"
#include "server/compute/project/residual.h"
#include "server/compute/project/svd.h"
#include "server/compute/project/triplets.h"

namespace attend::compute {
namespace {

// Batches of matrices up to this many entries share out whole matrices; larger ones are worked on one at a time.
constexpr int64_t kSmallEntries = 256 * 256;

template <typename T>
bool SharesMatrices(const LowRankProblem<T>& problem) {
  return problem.batch > 1 && problem.n * problem.m <= kSmallEntries;
}

template <typename T>
constexpr double Epsilon() {
  return static_cast<double>(std::numeric_limits<T>::epsilon());
}

// A copy of one matrix in double, as ExactTriplets wants it.
template <typename T>
runtime::Buffer CopyForSvd(runtime::BufferPool& pool, const T* a, int64_t n, int64_t m, int exponent) {
  runtime::Buffer copy = pool.AllocateArray<double>(static_cast<size_t>(n * m));
  if (n > m) {
    NormalizeTransposed(a, n, m, exponent, copy.as<double>());
  } else {
    Normalize(a, n * m, exponent, copy.as<double>());
  }
  return copy;
}

bool MayRandomize(int64_t n, int64_t m, const RankRule& rule) {
  return rule.most_over_best > 1 && rule.rank.has_value() && *rule.rank > 0 && WorthRandomizing(n, m, *rule.rank);
}

template <typename T>
absl::StatusOr<Triplets> FindTriplets(runtime::Executor& executor, runtime::BufferPool& pool, const T* a, int64_t n,
                                      int64_t m, int exponent, const RankRule& rule) {
  if (MayRandomize(n, m, rule)) {
    const runtime::Buffer copy = pool.AllocateArray<double>(static_cast<size_t>(n * m));
    Normalize(a, n * m, exponent, copy.as<double>());
    auto sketched = RandomizedTriplets(executor, pool, copy.as<double>(), n, m, rule);
    if (!sketched.ok()) return sketched.status();
    if (sketched->has_value()) return **std::move(sketched);
  }
  const runtime::Buffer copy = CopyForSvd(pool, a, n, m, exponent);
  return ExactTriplets(executor, pool, copy.as<double>(), n, m, rule);
}

double SignOf(const double* vector, int64_t count) {
  const double* largest =
      std::max_element(vector, vector + count, [](double x, double y) { return std::abs(x) < std::abs(y); });
  return *largest < 0 ? -1 : 1;
}

// One matrix's place in the results.
template <typename T>
struct Outputs {
  T* u;
  T* values;
  T* vt;
};
template <typename T>
Outputs<T> OutputsOf(const LowRankResult& result, int64_t index, int64_t n, int64_t m, int64_t rank) {
  return {result.u.data<T>() + index * n * rank, result.singular_values.data<T>() + index * rank,
          result.vt.data<T>() + index * rank * m};
}

template <typename T>
absl::Status Write(const runtime::Cancellation& cancellation, const Triplets& triplets, int64_t n, int64_t m,
                   int exponent, const Outputs<T>& to) {
  constexpr int64_t kVectorsPerPoll = 16;
  for (int64_t k = 0; k < triplets.rank; ++k) {
    if (k % kVectorsPerPoll == 0) {
      if (auto wanted = cancellation.Check(); !wanted.ok()) return wanted;
    }
    const double* left = triplets.left.as<double>() + k * n;
    const double* right = triplets.right.as<double>() + k * m;
    const double sign = SignOf(left, n);
    for (int64_t i = 0; i < n; ++i) to.u[i * triplets.rank + k] = static_cast<T>(sign * left[i]);
    for (int64_t j = 0; j < m; ++j) to.vt[k * m + j] = static_cast<T>(sign * right[j]);
    to.values[k] = static_cast<T>(std::ldexp(triplets.values[static_cast<size_t>(k)], exponent));
    if (!std::isfinite(to.values[k])) {
      return absl::OutOfRangeError(
          absl::StrCat("singular value ", k, " overflows ", std::string(NameOf(DTypeOf<T>()))));
    }
  }
  return absl::OkStatus();
}

template <typename T>
LowRankReport ReportOn(const Triplets& triplets, int64_t n, int64_t m, int exponent) {
  LowRankReport report;
  report.numerical_rank = CountAboveRounding(triplets.values, n, m, Epsilon<T>());
  report.rank_is_least = !triplets.all_values_known;
  report.randomized = triplets.randomized;
  report.distance_over_best = triplets.distance_over_best;
  report.residual = std::ldexp(triplets.residual, exponent);
  double kept = 0;
  for (int64_t k = triplets.rank - 1; k >= 0; --k) kept += triplets.values[k] * triplets.values[k];
  report.energy = triplets.total_square > 0 ? std::min(1.0, kept / triplets.total_square) : 1;
  return report;
}

template <typename T>
void Allocate(const LowRankProblem<T>& problem, int64_t rank, runtime::BufferPool& pool, LowRankResult& result) {
  result.u = Tensor(DTypeOf<T>(), {problem.batch, problem.n, rank}, pool);
  result.singular_values = Tensor(DTypeOf<T>(), {problem.batch, rank}, pool);
  result.vt = Tensor(DTypeOf<T>(), {problem.batch, rank, problem.m}, pool);
}

// body(executor, index) for every matrix of the batch.
template <typename T, typename Body>
absl::Status ForEachMatrix(runtime::Executor& executor, const LowRankProblem<T>& problem, Body body) {
  if (SharesMatrices(problem)) {
    const double flops = LowRankFlops(problem) / static_cast<double>(problem.batch);
    return executor.ForEachTile(problem.batch, flops, [&](int64_t index, int worker) {
      runtime::InlineExecutor alone(executor.cancellation());
      return body(alone, index);
    });
  }
  for (int64_t index = 0; index < problem.batch; ++index) {
    if (auto wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
    if (auto done = body(executor, index); !done.ok()) return done;
  }
  return absl::OkStatus();
}

// The largest rank that any matrix needs for the energy.
template <typename T>
absl::Status RankOfBatch(runtime::Executor& executor, runtime::BufferPool& pool, const LowRankProblem<T>& problem,
                         int64_t& rank) {
  const int64_t n = problem.n, m = problem.m;
  std::vector<int64_t> ranks(static_cast<size_t>(problem.batch));
  const auto done = ForEachMatrix(executor, problem, [&](runtime::Executor& each, int64_t index) {
    const T* a = problem.a + index * n * m;
    const runtime::Buffer copy = CopyForSvd(pool, a, n, m, NormalizingExponent(a, n * m));
    const auto values = SingularValues(each, pool, copy.as<double>(), n, m);
    if (!values.ok()) return values.status();
    ranks[static_cast<size_t>(index)] = RankForEnergy(*values, problem.energy, n, m, Epsilon<T>());
    return absl::OkStatus();
  });
  rank = ranks.empty() ? 0 : *std::max_element(ranks.begin(), ranks.end());
  return done;
}

}  // namespace

template <typename T>
absl::Status LowRankProjection(runtime::Executor& executor, runtime::BufferPool& pool, const LowRankProblem<T>& problem,
                               LowRankResult& result) {
  const int64_t n = problem.n, m = problem.m;
  RankRule rule{problem.rank, problem.energy, Epsilon<T>(), problem.most_over_best};
  if (!rule.rank.has_value() && problem.batch != 1) {
    rule.rank = 0;
    if (auto done = RankOfBatch(executor, pool, problem, *rule.rank); !done.ok()) return done;
  }
  if (rule.rank.has_value()) Allocate(problem, *rule.rank, pool, result);
  result.reports.assign(static_cast<size_t>(problem.batch), {});
  return ForEachMatrix(executor, problem, [&](runtime::Executor& each, int64_t index) {
    const T* a = problem.a + index * n * m;
    const int exponent = NormalizingExponent(a, n * m);
    const absl::StatusOr<Triplets> triplets = FindTriplets(each, pool, a, n, m, exponent, rule);
    if (!triplets.ok()) return triplets.status();
    if (!rule.rank.has_value()) Allocate(problem, triplets->rank, pool, result);
    const Outputs<T> to = OutputsOf<T>(result, index, n, m, triplets->rank);
    if (auto done = Write(each.cancellation(), *triplets, n, m, exponent, to); !done.ok()) return done;
    LowRankReport& report = result.reports[static_cast<size_t>(index)];
    report = ReportOn<T>(*triplets, n, m, exponent);
    const FactorsView<T> factors{to.u, to.values, to.vt, triplets->rank};
    return ResidualNorm(each, pool, a, n, m, exponent, factors, report.distance);
  });
}

template <typename T>
double LowRankFlops(const LowRankProblem<T>& problem) {
  const int64_t rows = std::max(problem.n, problem.m), cols = std::min(problem.n, problem.m);
  const int64_t vectors = problem.rank.value_or(cols);
  return static_cast<double>(problem.batch) * SvdFlops(rows, cols, vectors);
}

template <typename T>
double LowRankWorkspaceBytes(const LowRankProblem<T>& problem, int workers) {
  const int64_t rows = std::max(problem.n, problem.m), cols = std::min(problem.n, problem.m);
  const int64_t rank = problem.rank.value_or(cols);
  const bool shared = SharesMatrices(problem);
  const int inner_workers = shared ? 1 : workers;
  const double copy = sizeof(double) * static_cast<double>(rows) * static_cast<double>(cols);
  const double triplets = sizeof(double) * static_cast<double>(rank) * static_cast<double>(rows + cols);
  const double exact = copy + triplets + SvdWorkspaceBytes(rows, cols, inner_workers);
  const double sketched = WorthRandomizing(problem.n, problem.m, rank)
                              ? copy + triplets + RandomizedWorkspaceBytes(problem.n, problem.m, rank, inner_workers)
                              : 0;
  const double residual = triplets + ResidualWorkspaceBytes(problem.n, problem.m, rank, inner_workers);
  return std::max({exact, sketched, residual}) * (shared ? workers : 1);
}

template absl::Status LowRankProjection(runtime::Executor&, runtime::BufferPool&, const LowRankProblem<float>&,
                                        LowRankResult&);
template absl::Status LowRankProjection(runtime::Executor&, runtime::BufferPool&, const LowRankProblem<double>&,
                                        LowRankResult&);
template double LowRankFlops(const LowRankProblem<float>&);
template double LowRankFlops(const LowRankProblem<double>&);
template double LowRankWorkspaceBytes(const LowRankProblem<float>&, int);
template double LowRankWorkspaceBytes(const LowRankProblem<double>&, int);

}  // namespace attend::compute
