#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/server/compute/matrix_exp/exponentiate.h"

namespace attend::compute {
namespace {

using testing::HasSubstr;

template <typename T>
class MatrixStructureTest : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(MatrixStructureTest, ElementTypes);

TYPED_TEST(MatrixStructureTest, GeneratorsAreDetectedAsUsersBuildThem) {
  for (int64_t n : {2, 3, 17, 129, 400}) {
    // Rows summed in T, one after the other.
    std::mt19937 random(static_cast<uint32_t>(n));
    std::uniform_real_distribution<double> uniform(0, 1);
    std::vector<TypeParam> g(n * n);
    for (int64_t i = 0; i < n; ++i) {
      TypeParam sum = 0;
      for (int64_t j = 0; j < n; ++j) {
        if (i != j) sum += g[i * n + j] = static_cast<TypeParam>(uniform(random));
      }
      g[i * n + i] = -sum;
    }
    const Outcome<TypeParam> outcome = Exponentiate(n, g, {1.0, -0.001});
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.reports[0].structure, MatrixStructure::kGenerator) << n;
    EXPECT_EQ(outcome.reports[1].structure, MatrixStructure::kGeneral) << n;  // minus a generator is none
    EXPECT_LE(outcome.reports[0].row_sum_error, 4 * std::numeric_limits<TypeParam>::epsilon());
    EXPECT_TRUE(Exponentiate(n, g, {1.0}, MatrixStructure::kGenerator).status.ok());
    g[n - 1] += TypeParam{0.5};
    EXPECT_EQ(Exponentiate(n, g).reports[0].structure, MatrixStructure::kGeneral) << n;
  }
}

TYPED_TEST(MatrixStructureTest, NamedGeneratorThatIsNoneIsRefusedByName) {
  std::vector<TypeParam> g = {-1, 1, 0, 0, -1, 1, 0, 0, 0, /**/ -1, 1, 0, TypeParam{-0.5}, TypeParam{0.5}, 0, 0, 0, 0};
  Outcome<TypeParam> outcome = Exponentiate(3, g, {1.0}, MatrixStructure::kGenerator);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("matrix 1 of a with entry (1, 0) = -0.5"));
  g[12] = 0.25;
  outcome = Exponentiate(3, g, {1.0}, MatrixStructure::kGenerator);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(outcome.status.message()),
              HasSubstr("matrix 1 of a with a sum of row 1 = 0.75 (rounding: at most "));
  g[13] = -0.25;
  EXPECT_TRUE(Exponentiate(3, g, {1.0}, MatrixStructure::kGenerator).status.ok());
  outcome = Exponentiate(3, g, {1.0, -2.0}, MatrixStructure::kGenerator);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("times[1] is -2"));
}

}  // namespace
}  // namespace attend::compute
