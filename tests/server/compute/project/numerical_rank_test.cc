#include "server/compute/project/numerical_rank.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/golden/golden.h"

namespace attend::compute {
namespace {

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
        EXPECT_EQ(NumericalRank(a.data(), rows, cols), rank) << rows << " x " << cols;
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
    EXPECT_EQ(NumericalRank(a.data(), 6, 6), 3) << scale;
  }
}

TEST(NumericalRank, OfAProductNeverFormed) {
  for (int64_t rows : {1, 3, 17, 65}) {
    for (int64_t inner : {1, 2, 5, 33}) {
      const auto left = Random<double>(rows * inner, 3), right = Random<double>(rows * inner, 4);
      EXPECT_EQ(NumericalRankOfProduct(left.data(), right.data(), rows, inner), std::min(rows, inner));
    }
  }
  const auto left = OfRank<double>(20, 6, 2), right = Random<double>(20 * 6, 5);
  EXPECT_EQ(NumericalRankOfProduct(left.data(), right.data(), 20, 6), 2);
}

TEST(NumericalRank, EmptyMatricesHaveNone) {
  EXPECT_EQ(NumericalRank<float>(nullptr, 0, 0), 0);
  EXPECT_EQ(NumericalRankOfProduct<double>(nullptr, nullptr, 0, 3), 0);
}

TEST(NumericalRank, GoldenFactors) {
  const nlohmann::json cases = LoadGolden("expm_project.json");
  int found = 0;
  for (const auto& c : cases["project"]) {
    if (!c.contains("numerical_rank")) continue;
    ++found;
    const GoldenTensor a = ParseTensor(c["a"]), query = ParseTensor(c["w_query"]), key = ParseTensor(c["w_key"]);
    const int64_t expected = c["numerical_rank"];
    EXPECT_EQ(NumericalRank(a.data.data(), a.shape[0], a.shape[1]), expected);
    EXPECT_EQ(NumericalRankOfProduct(query.data.data(), key.data.data(), query.shape[0], query.shape[1]), expected);
  }
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace attend::compute
