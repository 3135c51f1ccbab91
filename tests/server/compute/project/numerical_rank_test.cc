#include "server/compute/project/numerical_rank.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "server/runtime/cancellation.h"
#include "tests/golden/golden.h"

namespace attend::compute {
namespace {

constexpr RankMethod kMethods[] = {RankMethod::kSingularValues, RankMethod::kPivotedQr};

template <typename T>
int64_t RankOf(RankMethod method, const T* a, int64_t rows, int64_t cols) {
  const runtime::Cancellation never;
  runtime::InlineExecutor executor(never);
  runtime::BufferPool pool;
  return *NumericalRank(executor, pool, method, a, rows, cols);
}

template <typename T>
int64_t RankOfProduct(RankMethod method, const T* left, const T* right, int64_t rows, int64_t inner) {
  const runtime::Cancellation never;
  runtime::InlineExecutor executor(never);
  runtime::BufferPool pool;
  return *NumericalRankOfProduct(executor, pool, method, left, right, rows, inner);
}

using golden::GoldenTensor;
using golden::LoadGolden;
using golden::ParseTensor;

template <typename T>
std::vector<T> Random(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) value = static_cast<T>(normal(random));
  return values;
}

// left right^T of [rows, rank] and [cols, rank]: of that rank, but for rounding.
template <typename T>
std::vector<T> OfRank(int64_t rows, int64_t cols, int64_t rank) {
  const auto left = Random<double>(rows * rank, 1), right = Random<double>(cols * rank, 2);
  std::vector<T> product(static_cast<size_t>(rows * cols));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < rank; ++k) sum += left[i * rank + k] * right[j * rank + k];
      product[i * cols + j] = static_cast<T>(sum);
    }
  }
  return product;
}

template <typename T>
void FindsTheRank() {
  for (int64_t rows : {1, 2, 3, 5, 17, 65}) {
    for (int64_t cols : {1, 2, 5, 17, 64}) {
      for (int64_t rank = 0; rank <= std::min<int64_t>({rows, cols, 9}); ++rank) {
        const auto a = OfRank<T>(rows, cols, rank);
        for (RankMethod method : kMethods) {
          EXPECT_EQ(RankOf(method, a.data(), rows, cols), rank) << rows << " x " << cols;
        }
      }
    }
  }
}

TEST(NumericalRank, FindsTheRank) {
  FindsTheRank<float>();
  FindsTheRank<double>();
}

TEST(NumericalRank, ScaleDoesNotMatter) {
  for (double scale : {1e-300, 1e-150, 1.0, 1e150, 1e300}) {
    std::vector<double> a = OfRank<double>(6, 6, 3);
    for (double& value : a) value *= scale;
    for (RankMethod method : kMethods) EXPECT_EQ(RankOf(method, a.data(), 6, 6), 3) << scale;
  }
}

TEST(NumericalRank, OfAProductNeverFormed) {
  for (int64_t rows : {1, 3, 17, 65}) {
    for (int64_t inner : {1, 2, 5, 33}) {
      const auto left = Random<double>(rows * inner, 3), right = Random<double>(rows * inner, 4);
      for (RankMethod method : kMethods) {
        EXPECT_EQ(RankOfProduct(method, left.data(), right.data(), rows, inner), std::min(rows, inner));
      }
    }
  }
  const auto left = OfRank<double>(20, 6, 2), right = Random<double>(20 * 6, 5);
  for (RankMethod method : kMethods) {
    EXPECT_EQ(RankOfProduct(method, left.data(), right.data(), 20, 6), 2);
    EXPECT_EQ(RankOfProduct(method, left.data(), right.data(), 6, 20), 6);  // the same numbers, wide: of full rank
  }
}

// Columns of left times those of right are ordinary numbers, each of which is not: the product is that of the factors
// before they were scaled.
TEST(NumericalRank, FactorsOfAnyMagnitudeHaveTheRankOfTheirProduct) {
  for (RankMethod method : kMethods) {
    for (const auto& [rows, inner] : {std::pair<int64_t, int64_t>{2, 2}, {5, 3}, {3, 5}, {65, 17}, {17, 33}}) {
      auto left = Random<double>(rows * inner, 3), right = Random<double>(rows * inner, 4);
      for (int64_t i = 0; i < rows * inner; ++i) {
        const double scale = i % inner % 3 == 0 ? 1e300 : i % inner % 3 == 1 ? 1e-300 : 1;
        left[i] *= scale;
        right[i] /= scale;
      }
      EXPECT_EQ(RankOfProduct(method, left.data(), right.data(), rows, inner), std::min(rows, inner)) << rows;
      for (int64_t i = 0; i < rows; ++i) right[i * inner] = 0;  // one column less
      EXPECT_EQ(RankOfProduct(method, left.data(), right.data(), rows, inner), std::min(rows, inner - 1)) << rows;
    }
  }
  const std::vector<double> left = {1e300, 0, 0, 1e-300}, right = {1e-300, 0, 0, 1e300};
  EXPECT_EQ(RankOfProduct(RankMethod::kSingularValues, left.data(), right.data(), 2, 2), 2);
}

TEST(NumericalRank, EmptyMatricesHaveNone) {
  for (RankMethod method : kMethods) {
    EXPECT_EQ(RankOf<float>(method, nullptr, 0, 0), 0);
    EXPECT_EQ(RankOfProduct<double>(method, nullptr, nullptr, 0, 3), 0);
    const std::vector<double> zero(12, 0.0);
    EXPECT_EQ(RankOf(method, zero.data(), 3, 4), 0);
    EXPECT_EQ(RankOfProduct(method, zero.data(), zero.data(), 4, 3), 0);
  }
}

// Values that fall evenly through the threshold: the methods may differ by what stands near it, not by more.
TEST(NumericalRank, MethodsAgreeWhereThereIsNoGap) {
  constexpr int64_t kSide = 60;
  std::vector<double> a(kSide * kSide, 0.0);
  const auto noise = OfRank<double>(kSide, kSide, kSide);
  for (int64_t i = 0; i < kSide; ++i) {
    for (int64_t j = 0; j < kSide; ++j) a[i * kSide + j] = noise[i * kSide + j] * std::pow(0.3, static_cast<double>(i));
  }
  const int64_t values = RankOf(RankMethod::kSingularValues, a.data(), kSide, kSide);
  EXPECT_GT(values, 15);
  EXPECT_LT(values, 40);
  EXPECT_NEAR(RankOf(RankMethod::kPivotedQr, a.data(), kSide, kSide), values, 3);
}

TEST(NumericalRank, GoldenFactors) {
  const nlohmann::json cases = LoadGolden("expm_project.json");
  int found = 0;
  for (const auto& c : cases["project"]) {
    if (!c.contains("numerical_rank")) continue;
    ++found;
    const GoldenTensor a = ParseTensor(c["a"]), query = ParseTensor(c["w_query"]), key = ParseTensor(c["w_key"]);
    const int64_t expected = c["numerical_rank"];
    for (RankMethod method : kMethods) {
      EXPECT_EQ(RankOf(method, a.data.data(), a.shape[0], a.shape[1]), expected);
      EXPECT_EQ(RankOfProduct(method, query.data.data(), key.data.data(), query.shape[0], query.shape[1]), expected);
    }
  }
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace attend::compute
