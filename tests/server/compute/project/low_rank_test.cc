#include "server/compute/project/low_rank.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/runtime/cancellation.h"
#include "tests/server/compute/project/jacobi_values.h"
#include "tests/server/compute/project/project_test_util.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

template <typename T>
class LowRank : public testing::Test {
 protected:
  static constexpr double kEpsilon = static_cast<double>(std::numeric_limits<T>::epsilon());

  absl::Status Project(const LowRankProblem<T>& problem) {
    return LowRankProjection(executor_, pool_, problem, result_);
  }
  absl::Status ByRank(const std::vector<T>& a, int64_t n, int64_t m, int64_t rank) {
    return Project({1, n, m, a.data(), rank, 1});
  }
  absl::Status ByEnergy(const std::vector<T>& a, int64_t n, int64_t m, double energy) {
    return Project({1, n, m, a.data(), std::nullopt, energy});
  }

  int64_t rank() const { return result_.singular_values.dim(1); }
  const T* u() const { return result_.u.data<T>(); }
  const T* s() const { return result_.singular_values.data<T>(); }
  const T* vt() const { return result_.vt.data<T>(); }

  // ||a - u s v^T|| of the first matrix.
  double Distance(const std::vector<T>& a, int64_t n, int64_t m) const {
    long double square = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < m; ++j) {
        long double x = a[i * m + j];
        for (int64_t k = 0; k < rank(); ++k) {
          x -= static_cast<long double>(u()[i * rank() + k]) * s()[k] * vt()[k * m + j];
        }
        square += x * x;
      }
    }
    return static_cast<double>(std::sqrt(square));
  }

  // Columns of u and rows of v^T orthonormal to `tolerance`, signs as promised.
  void CheckVectors(int64_t n, int64_t m, double tolerance) const {
    const int64_t r = rank();
    for (int64_t p = 0; p < r; ++p) {
      for (int64_t q = 0; q <= p; ++q) {
        double left = p == q ? -1 : 0, right = left;
        for (int64_t i = 0; i < n; ++i) left += static_cast<double>(u()[i * r + p]) * u()[i * r + q];
        for (int64_t j = 0; j < m; ++j) right += static_cast<double>(vt()[p * m + j]) * vt()[q * m + j];
        ASSERT_LE(std::abs(left), tolerance) << p << ", " << q;
        ASSERT_LE(std::abs(right), tolerance) << p << ", " << q;
      }
      T largest = 0;
      for (int64_t i = 0; i < n; ++i) {
        if (std::abs(u()[i * r + p]) > std::abs(largest)) largest = u()[i * r + p];
      }
      EXPECT_GT(largest, 0) << "the sign of vector " << p;
    }
  }

  // What the report promises of the first matrix, whose norm is `norm`.
  void CheckOverBest(double distance, double best, double norm) const {
    const LowRankReport& report = result_.reports[0];
    const double rounding = 0x1p-46 * norm;
    EXPECT_LE(distance, report.distance_over_best * std::max(best, rounding) + rounding);
    // And no more than that, but for the rounding in `best`.
    EXPECT_LE(report.distance_over_best,
              std::max(1.0, distance / std::max(best - 2 * rounding, rounding / 2)) * (1 + 1e-9));
  }

  runtime::Cancellation cancellation_;
  runtime::InlineExecutor executor_{cancellation_};
  runtime::BufferPool pool_;
  LowRankResult result_;
};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(LowRank, ElementTypes);

// Backward stability: values, orthogonality and product are off by a modest multiple of epsilon times the norm.
TYPED_TEST(LowRank, IsTheBestApproximation) {
  for (int64_t n : {1, 2, 3, 5, 17, 64, 65, 129, 200}) {
    for (int64_t m : {1, 2, 5, 17, 65, 100, 129}) {
      const auto a = NormalValues<TypeParam>(n * m, static_cast<uint32_t>(n * 1000 + m));
      const int64_t most = std::min(n, m);
      const auto expected = n >= m ? JacobiValues({a.begin(), a.end()}, n, m) : std::vector<double>();
      for (int64_t rank : {int64_t{1}, (most + 1) / 2, most}) {
        SCOPED_TRACE(std::to_string(n) + " x " + std::to_string(m) + ", rank " + std::to_string(rank));
        ASSERT_TRUE(this->ByRank(a, n, m, rank).ok());
        ASSERT_EQ(this->rank(), rank);
        const double unit = this->kEpsilon * 8 * std::sqrt(static_cast<double>(n + m));
        this->CheckVectors(n, m, unit);
        const LowRankReport& report = this->result_.reports[0];
        const double distance = this->Distance(a, n, m);
        const double norm = std::sqrt(static_cast<double>(n * m));
        EXPECT_NEAR(report.distance, distance, unit * norm);
        EXPECT_EQ(report.numerical_rank, most);
        EXPECT_FALSE(report.rank_is_least || report.randomized);
        EXPECT_GE(report.distance_over_best, 1);
        EXPECT_TRUE(report.distance_over_best == 1 || sizeof(TypeParam) == sizeof(float)) << report.distance_over_best;
        if (n < m) continue;
        double rest = 0, total = 0;
        for (int64_t k = 0; k < most; ++k) {
          if (k < rank) {
            EXPECT_NEAR(this->s()[k], expected[k], unit * expected[0]);
          }
          (k < rank ? total : rest) += expected[k] * expected[k];
        }
        EXPECT_NEAR(distance, std::sqrt(rest), unit * norm);
        this->CheckOverBest(distance, std::sqrt(rest), std::sqrt(total + rest));
        EXPECT_NEAR(report.energy, total / (total + rest), unit);
      }
    }
  }
}

// A product of `rank` columns and rows, and noise: next to nothing is left, and rounding the factors adds to it.
TYPED_TEST(LowRank, DistanceOverBestCountsTheRoundingOfTheResult) {
  constexpr int64_t n = 65, m = 40, kRank = 4;
  const auto left = NormalValues<double>(n * kRank, 1), right = NormalValues<double>(kRank * m, 2);
  const auto noise = NormalValues<double>(n * m, 3);
  double largest = 1;
  for (const double level : {0.0, 1e-9, 1e-7, 1e-6, 1e-4, 1e-2}) {
    std::vector<TypeParam> a(n * m);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < m; ++j) {
        double entry = level * noise[i * m + j];
        for (int64_t k = 0; k < kRank; ++k) entry += left[i * kRank + k] * right[k * m + j];
        a[i * m + j] = static_cast<TypeParam>(entry);
      }
    }
    const auto values = JacobiValues({a.begin(), a.end()}, n, m);
    double norm = 0;
    for (const double value : values) norm = std::hypot(norm, value);
    for (const int64_t rank : {kRank, kRank + 2}) {
      SCOPED_TRACE(std::to_string(level) + ", rank " + std::to_string(rank));
      double best = 0;
      for (size_t k = static_cast<size_t>(rank); k < values.size(); ++k) best = std::hypot(best, values[k]);
      ASSERT_TRUE(this->ByRank(a, n, m, rank).ok());
      const double distance = this->Distance(a, n, m);
      // Each term of each entry is rounded once, in double.
      EXPECT_NEAR(this->result_.reports[0].distance, distance, 0x1p-46 * norm);
      this->CheckOverBest(distance, best, norm);
      largest = std::max(largest, this->result_.reports[0].distance_over_best);
    }
  }
  EXPECT_GT(largest, sizeof(TypeParam) == sizeof(float) ? 1.5 : 0);  // or the cases do not show it
}

TYPED_TEST(LowRank, SignsHoldForTheRoundedResult) {
  for (const auto& [n, m] : {std::pair<int64_t, int64_t>{3, 5}, {5, 3}, {2, 2}, {7, 7}, {17, 5}, {64, 65}}) {
    SCOPED_TRACE(std::to_string(n) + " x " + std::to_string(m));
    const std::vector<TypeParam> ones(n * m, TypeParam{1});
    ASSERT_TRUE(this->ByRank(ones, n, m, std::min(n, m)).ok());
    this->CheckVectors(n, m, this->kEpsilon * 8 * std::sqrt(static_cast<double>(n + m)));
  }
}

TYPED_TEST(LowRank, DistancesThatOverflowAreInfinite) {
  if (sizeof(TypeParam) == sizeof(float)) return;  // double holds any distance of floats
  constexpr int64_t n = 5;
  const auto large = static_cast<TypeParam>(1.7e308);
  std::vector<TypeParam> a(n * n, TypeParam{0});
  for (int64_t i = 0; i < n; ++i) a[i * n + i] = large;
  ASSERT_TRUE(this->ByRank(a, n, n, 1).ok());
  EXPECT_EQ(this->result_.reports[0].distance, HUGE_VAL);
  EXPECT_EQ(this->result_.reports[0].distance_over_best, 1);
  ASSERT_TRUE(this->ByRank(a, n, n, n - 1).ok());
  EXPECT_NEAR(this->result_.reports[0].distance / 1.7e308, 1, 1e-14);
}

TYPED_TEST(LowRank, TransposeHasTheSameValues) {
  const auto a = NormalValues<TypeParam>(70 * 40, 5);
  std::vector<TypeParam> t(a.size());
  for (int64_t i = 0; i < 70; ++i) {
    for (int64_t j = 0; j < 40; ++j) t[j * 70 + i] = a[i * 40 + j];
  }
  ASSERT_TRUE(this->ByRank(a, 70, 40, 40).ok());
  const std::vector<TypeParam> values(this->s(), this->s() + 40);
  ASSERT_TRUE(this->ByRank(t, 40, 70, 40).ok());
  for (int k = 0; k < 40; ++k) EXPECT_EQ(values[k], this->s()[k]);
}

TYPED_TEST(LowRank, EnergyKeepsTheFewestValues) {
  const int64_t n = 9;
  std::vector<TypeParam> a(n * n, TypeParam{0});
  const std::vector<double> values = {8, 4, 2, 1, 0.5, 0.25, 0, 0, 0};
  for (int64_t i = 0; i < n; ++i) a[i * n + (i * 2) % n] = static_cast<TypeParam>(values[i]);
  double total = 0, kept = 0;
  for (double x : values) total += x * x;
  for (int64_t rank = 1; rank <= 6; ++rank) {
    kept += values[rank - 1] * values[rank - 1];
    ASSERT_TRUE(this->ByEnergy(a, n, n, kept / total - 1e-6).ok());
    EXPECT_EQ(this->rank(), rank);
    EXPECT_NEAR(this->result_.reports[0].energy, kept / total, 1e-6);
    EXPECT_EQ(this->result_.reports[0].numerical_rank, 6);
  }
  ASSERT_TRUE(this->ByEnergy(a, n, n, 1).ok());
  EXPECT_EQ(this->rank(), 6);  // values that are rounding do not count
}

TYPED_TEST(LowRank, RankDeficientProducts) {
  for (int64_t inner : {1, 3, 20}) {
    const auto left = NormalValues<double>(50 * inner, 1), right = NormalValues<double>(inner * 80, 2);
    std::vector<TypeParam> a(50 * 80);
    for (int64_t i = 0; i < 50; ++i) {
      for (int64_t j = 0; j < 80; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < inner; ++k) sum += left[i * inner + k] * right[k * 80 + j];
        a[i * 80 + j] = static_cast<TypeParam>(sum);
      }
    }
    ASSERT_TRUE(this->ByEnergy(a, 50, 80, 1).ok());
    EXPECT_EQ(this->rank(), inner);
    EXPECT_EQ(this->result_.reports[0].numerical_rank, inner);
    // The norm is about sqrt(50 * 80 * inner).
    EXPECT_LE(this->result_.reports[0].distance, 20 * this->kEpsilon * std::sqrt(4000.0 * inner));
  }
}

TYPED_TEST(LowRank, ZeroAndEmptyMatrices) {
  const std::vector<TypeParam> zero(12, TypeParam{0});
  ASSERT_TRUE(this->ByRank(zero, 3, 4, 2).ok());
  EXPECT_EQ(this->s()[0], 0);
  this->CheckVectors(3, 4, 4 * this->kEpsilon);
  EXPECT_EQ(this->result_.reports[0].numerical_rank, 0);
  EXPECT_EQ(this->result_.reports[0].distance, 0);
  EXPECT_EQ(this->result_.reports[0].energy, 1);
  ASSERT_TRUE(this->ByEnergy(zero, 3, 4, 0.5).ok());
  EXPECT_EQ(this->rank(), 0);
  ASSERT_TRUE(this->ByRank({}, 0, 4, 0).ok());
  ASSERT_TRUE(this->ByRank({}, 3, 0, 0).ok());
  ASSERT_TRUE(this->ByEnergy({}, 3, 0, 1).ok());
  ASSERT_TRUE(this->Project({0, 3, 4, nullptr, std::nullopt, 1}).ok());
  EXPECT_TRUE(this->result_.reports.empty());
}

TYPED_TEST(LowRank, ScaleDoesNotMatter) {
  constexpr bool kDouble = sizeof(TypeParam) == 8;
  const auto a = NormalValues<TypeParam>(30, 7);
  ASSERT_TRUE(this->ByRank(a, 5, 6, 2).ok());
  const std::vector<TypeParam> u(this->u(), this->u() + 10), s(this->s(), this->s() + 2);
  const double distance = this->result_.reports[0].distance;
  for (int exponent : {kDouble ? 1015 : 120, kDouble ? -1000 : -110}) {
    std::vector<TypeParam> scaled;
    for (TypeParam x : a) scaled.push_back(std::ldexp(x, exponent));
    ASSERT_TRUE(this->ByRank(scaled, 5, 6, 2).ok());
    EXPECT_TRUE(std::equal(u.begin(), u.end(), this->u()));
    for (int k = 0; k < 2; ++k) EXPECT_EQ(this->s()[k], std::ldexp(s[k], exponent));
    EXPECT_EQ(this->result_.reports[0].distance, std::ldexp(distance, exponent));
  }
}

TYPED_TEST(LowRank, OverflowIsRefusedNotReturned) {
  const std::vector<TypeParam> a(9, std::numeric_limits<TypeParam>::max());
  const absl::Status status = this->ByRank(a, 3, 3, 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("singular value 0 overflows"));
}

TYPED_TEST(LowRank, BatchesEqualTheirMatricesOnAnyNumberOfThreads) {
  constexpr int64_t kBatch = 6, kRows = 20, kCols = 33;
  auto a = NormalValues<TypeParam>(kBatch * kRows * kCols, 8);
  for (int64_t k = 0; k < kRows * kCols; ++k) a[k] = k < kCols ? a[k] : TypeParam{0};  // the first: of rank 1
  ThreadExecutor threads(4);
  LowRankProblem<TypeParam> problem{kBatch, kRows, kCols, a.data(), 5, 1};
  ASSERT_TRUE(LowRankProjection(threads, this->pool_, problem, this->result_).ok());
  const LowRankResult whole = std::move(this->result_);
  for (int64_t b = 0; b < kBatch; ++b) {
    ASSERT_TRUE(this->Project({1, kRows, kCols, a.data() + b * kRows * kCols, 5, 1}).ok());
    EXPECT_TRUE(std::equal(this->u(), this->u() + kRows * 5, whole.u.data<TypeParam>() + b * kRows * 5));
    EXPECT_TRUE(std::equal(this->vt(), this->vt() + kCols * 5, whole.vt.data<TypeParam>() + b * kCols * 5));
    EXPECT_EQ(this->result_.reports[0].distance, whole.reports[b].distance);
  }
  // By energy the neediest matrix decides, and every matrix says what it got.
  problem.rank.reset();
  problem.energy = 0.9;
  int64_t largest = 0;
  for (int64_t b = 0; b < kBatch; ++b) {
    ASSERT_TRUE(this->Project({1, kRows, kCols, a.data() + b * kRows * kCols, std::nullopt, 0.9}).ok());
    largest = std::max(largest, this->rank());
  }
  ASSERT_TRUE(LowRankProjection(threads, this->pool_, problem, this->result_).ok());
  EXPECT_EQ(this->rank(), largest);
  for (const LowRankReport& report : this->result_.reports) EXPECT_GE(report.energy, 0.9);
  EXPECT_EQ(this->result_.reports[0].numerical_rank, 1);
}

// Large enough for panels, tall enough for the triangular factor first; the bits may not depend on the threads.
TYPED_TEST(LowRank, LargeMatricesOnAnyNumberOfThreads) {
  for (const auto& [n, m] : {std::pair<int64_t, int64_t>{300, 260}, {150, 700}, {700, 150}}) {
    const auto a = NormalValues<TypeParam>(n * m, 9);
    ASSERT_TRUE(this->ByRank(a, n, m, 140).ok());
    const std::vector<TypeParam> u(this->u(), this->u() + n * 140), vt(this->vt(), this->vt() + m * 140);
    const double distance = this->result_.reports[0].distance;
    this->CheckVectors(n, m, 100 * this->kEpsilon);
    EXPECT_NEAR(distance, this->Distance(a, n, m), 1e-3 * this->kEpsilon * static_cast<double>(n * m) + 1e-12);
    ThreadExecutor threads(3);
    const LowRankProblem<TypeParam> problem{1, n, m, a.data(), 140, 1};
    ASSERT_TRUE(LowRankProjection(threads, this->pool_, problem, this->result_).ok());
    EXPECT_TRUE(std::equal(u.begin(), u.end(), this->u()));
    EXPECT_TRUE(std::equal(vt.begin(), vt.end(), this->vt()));
    EXPECT_EQ(this->result_.reports[0].distance, distance);
  }
}

// A randomized decomposition reports its own operations: those of two products with a block for each look at A, not
// those of the whole decomposition that it saves.
TYPED_TEST(LowRank, CountsTheOperationsOfTheMethodThatRan) {
  const int64_t n = 512, rank = 8;
  const auto a = NormalValues<TypeParam>(n * n, 9);
  LowRankProblem<TypeParam> problem{1, n, n, a.data(), rank, 1};
  ASSERT_TRUE(LowRankProjection(this->executor_, this->pool_, problem, this->result_).ok());
  ASSERT_TRUE(this->result_.reports[0].randomized);
  EXPECT_GT(this->result_.flops, 4.0 * n * n * rank);
  EXPECT_LT(this->result_.flops, LowRankFlops(problem));
  problem.most_over_best = 1;
  ASSERT_TRUE(LowRankProjection(this->executor_, this->pool_, problem, this->result_).ok());
  ASSERT_FALSE(this->result_.reports[0].randomized);
  EXPECT_EQ(this->result_.flops, LowRankFlops(problem));
}

TYPED_TEST(LowRank, StopsWhenCancelled) {
  this->cancellation_.Cancel();
  EXPECT_EQ(this->ByRank(NormalValues<TypeParam>(4, 1), 2, 2, 1).code(), absl::StatusCode::kCancelled);
}

TYPED_TEST(LowRank, GoldenCase) {
  const nlohmann::json c = GoldenProjection("low_rank 2");
  const golden::GoldenTensor a = golden::ParseTensor(c["m"]), expected = golden::ParseTensor(c["output"]);
  const auto values = golden::ParseTensor(c["singular_values"]).data;
  const int64_t n = a.shape[0], m = a.shape[1];
  ASSERT_TRUE(this->ByRank(As<TypeParam>(a.data), n, m, c["rank"]).ok());
  const double tolerance = 32 * this->kEpsilon * values[0];
  for (int k = 0; k < 2; ++k) EXPECT_NEAR(this->s()[k], values[k], tolerance);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < m; ++j) {
      double x = 0;
      for (int k = 0; k < 2; ++k) x += double{this->u()[i * 2 + k]} * this->s()[k] * this->vt()[k * m + j];
      EXPECT_NEAR(x, expected.data[i * m + j], tolerance);
    }
  }
  EXPECT_NEAR(this->result_.reports[0].distance, c["error"].get<double>(), tolerance);
}

// Four decompositions at once, each on its own thread, time after time: OpenBLAS and LAPACK must not share memory.
TEST(LowRankThreads, ConcurrentCallsDoNotDisturbEachOther) {
  constexpr int64_t kSide = 120;
  std::vector<std::vector<double>> inputs, expected;
  runtime::BufferPool pool;
  runtime::Cancellation never;
  const auto decompose = [&](int which) {
    runtime::InlineExecutor executor(never);
    LowRankResult result;
    const LowRankProblem<double> problem{1, kSide, kSide, inputs[which].data(), 60, 1};
    EXPECT_TRUE(LowRankProjection(executor, pool, problem, result).ok());
    const double* u = result.u.data<double>();
    return std::vector<double>(u, u + kSide * 60);
  };
  for (uint32_t which = 0; which < 4; ++which) inputs.push_back(NormalValues<double>(kSide * kSide, 20 + which));
  for (int which = 0; which < 4; ++which) expected.push_back(decompose(which));
  ThreadExecutor threads(4);
  std::atomic<int> wrong{0};
  ASSERT_TRUE(threads
                  .ForEachTile(200, 1,
                               [&](int64_t index, int) {
                                 const int which = static_cast<int>(index % 4);
                                 if (decompose(which) != expected[which]) ++wrong;
                                 return absl::OkStatus();
                               })
                  .ok());
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace attend::compute
