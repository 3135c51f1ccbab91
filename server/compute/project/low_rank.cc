#include "server/compute/project/low_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"
#include "server/compute/project/difference_norm.h"
#include "server/compute/project/normalized.h"
#include "server/compute/project/residual.h"
#include "server/compute/project/svd.h"
#include "server/compute/project/triplets.h"
#include "server/compute/project/write_triplets.h"

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

// Triplets in double, and how near to A any matrix of their rank can come: at least so far, over 2^exponent.
struct Found {
  Triplets triplets;
  double best = 0;
};

// The square root of the sum of the squares of values that are left out.
double NormOfRest(const Triplets& triplets) {
  return Norm(triplets.values.data() + triplets.rank, static_cast<int64_t>(triplets.values.size()) - triplets.rank);
}

template <typename T>
absl::StatusOr<Found> FindExact(runtime::Executor& executor, runtime::BufferPool& pool, const T* a, int64_t n,
                                int64_t m, int exponent, const RankRule& rule, double& flops) {
  const runtime::Buffer copy = CopyForSvd(pool, a, n, m, exponent);
  absl::StatusOr<Triplets> triplets = ExactTriplets(executor, pool, copy.as<double>(), n, m, rule);
  if (!triplets.ok()) return triplets.status();
  flops += SvdFlops(std::max(n, m), std::min(n, m), triplets->rank);
  const double best = NormOfRest(*triplets);
  return Found{*std::move(triplets), best};
}

template <typename T>
absl::StatusOr<Found> FindTriplets(runtime::Executor& executor, runtime::BufferPool& pool, const T* a, int64_t n,
                                   int64_t m, int exponent, const RankRule& rule, double& flops) {
  if (!MayRandomize(n, m, rule)) return FindExact(executor, pool, a, n, m, exponent, rule, flops);
  runtime::Buffer copy = pool.AllocateArray<double>(static_cast<size_t>(n * m));
  Normalize(a, n * m, exponent, copy.as<double>());
  auto sketched = RandomizedTriplets(executor, pool, copy.as<double>(), n, m, rule, &flops);
  if (!sketched.ok()) return sketched.status();
  if (!sketched->has_value()) {
    copy = {};
    return FindExact(executor, pool, a, n, m, exponent, rule, flops);
  }
  Found found{**std::move(sketched), 0};
  const Triplets& triplets = found.triplets;
  const FactorsView<double> factors{triplets.left.as<double>(), triplets.values.data(), triplets.right.as<double>(),
                                    triplets.rank, true};
  double distance = 0;
  const auto measured = ResidualNorm(executor, pool, copy.as<double>(), n, m, 0, factors, distance);
  if (!measured.ok()) return measured;
  found.best = distance / triplets.distance_over_best;
  return found;
}

// See LowRankReport. `distance` and `found.best` over the same power of two.
double OverBest(double distance, const Found& found) {
  const double rounding = 64 * std::numeric_limits<double>::epsilon() * std::sqrt(found.triplets.total_square);
  if (distance <= found.best + rounding) return 1;
  return distance / std::max(found.best - rounding, rounding);
}

// Whether the exact triplets would be near enough where these are not: rounding's part of the distance is the same.
bool ExactWouldDo(double distance, const Found& found, double most_over_best) {
  if (!found.triplets.randomized || !std::isfinite(distance)) return false;
  const double unrounded = found.best * found.triplets.distance_over_best;
  const double added = std::max(0.0, distance * distance - unrounded * unrounded);
  return std::sqrt(found.best * found.best + added) <= most_over_best * found.best;
}

// One matrix's place in the results.
template <typename T>
WrittenTriplets<T> OutputsOf(const LowRankResult& result, int64_t index, int64_t n, int64_t m, int64_t rank) {
  return {result.u.data<T>() + index * n * rank, result.singular_values.data<T>() + index * rank,
          result.vt.data<T>() + index * rank * m};
}

template <typename T>
LowRankReport ReportOn(const Triplets& triplets, int64_t n, int64_t m, int exponent) {
  LowRankReport report;
  report.numerical_rank = CountAboveRounding(triplets.values, n, m, Epsilon<T>());
  report.rank_is_least = !triplets.all_values_known;
  report.randomized = triplets.randomized;
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

// Writes what was found and measures what was written: the distance over 2^exponent, infinity where a value overflows
// the type that is answered.
template <typename T>
absl::StatusOr<double> Answer(runtime::Executor& executor, runtime::BufferPool& pool, const LowRankProblem<T>& problem,
                              int64_t index, int exponent, const Triplets& triplets, LowRankResult& result) {
  const int64_t n = problem.n, m = problem.m, rank = triplets.rank;
  const WrittenTriplets<T> to = OutputsOf<T>(result, index, n, m, rank);
  auto done = WriteTriplets(executor.cancellation(), triplets, n, m, exponent, problem.answered, to);
  if (!done.ok()) return done;
  if (!AllFinite(to.values, static_cast<size_t>(rank))) return std::numeric_limits<double>::infinity();
  double distance = 0;
  const FactorsView<T> factors{to.u, to.values, to.vt, rank};
  done = ResidualNorm(executor, pool, problem.a + index * n * m, n, m, exponent, factors, distance);
  if (!done.ok()) return done;
  return distance;
}

template <typename T>
absl::Status ProjectOne(runtime::Executor& executor, runtime::BufferPool& pool, const LowRankProblem<T>& problem,
                        const RankRule& rule, int64_t index, LowRankResult& result, double& flops) {
  const int64_t n = problem.n, m = problem.m;
  const T* a = problem.a + index * n * m;
  const int exponent = NormalizingExponent(a, n * m);
  for (RankRule tried = rule;; tried.most_over_best = 1) {
    const absl::StatusOr<Found> found = FindTriplets(executor, pool, a, n, m, exponent, tried, flops);
    if (!found.ok()) return found.status();
    if (!rule.rank.has_value()) Allocate(problem, found->triplets.rank, pool, result);
    const absl::StatusOr<double> distance = Answer(executor, pool, problem, index, exponent, found->triplets, result);
    if (!distance.ok()) return distance.status();
    LowRankReport& report = result.reports[static_cast<size_t>(index)];
    report = ReportOn<T>(found->triplets, n, m, exponent);
    report.distance = std::ldexp(*distance, exponent);
    report.distance_over_best = OverBest(*distance, *found);
    const bool near_enough = report.distance_over_best <= rule.most_over_best;
    if (near_enough || !ExactWouldDo(*distance, *found, rule.most_over_best)) return absl::OkStatus();
  }
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
  RankRule rule{problem.rank, problem.energy, Epsilon<T>(), problem.most_over_best};
  double ranking_flops = 0;
  if (!rule.rank.has_value() && problem.batch != 1) {
    rule.rank = 0;
    ranking_flops = static_cast<double>(problem.batch) *
                    SvdFlops(std::max(problem.n, problem.m), std::min(problem.n, problem.m), 0);
    if (auto done = RankOfBatch(executor, pool, problem, *rule.rank); !done.ok()) return done;
  }
  if (rule.rank.has_value()) Allocate(problem, *rule.rank, pool, result);
  result.reports.assign(static_cast<size_t>(problem.batch), {});
  std::vector<double> flops(result.reports.size(), 0);
  const auto done = ForEachMatrix(executor, problem, [&](runtime::Executor& each, int64_t index) {
    return ProjectOne(each, pool, problem, rule, index, result, flops[static_cast<size_t>(index)]);
  });
  result.flops = std::accumulate(flops.begin(), flops.end(), ranking_flops);
  return done;
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
                              ? copy + triplets +
                                    std::max(RandomizedWorkspaceBytes(problem.n, problem.m, rank, inner_workers),
                                             ResidualWorkspaceBytes(problem.n, problem.m, rank, inner_workers))
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
