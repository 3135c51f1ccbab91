#include "server/compute/matrix_exp/taylor_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace attend::compute {
namespace {

// Norms of the powers of a normal matrix.
std::vector<PowerNorm> Normal(double norm, std::vector<int> powers) {
  std::vector<PowerNorm> norms;
  for (int k : powers) norms.push_back({k, k * std::log2(norm)});
  return norms;
}

TEST(TaylorPlan, TakesTheLeastDegreeThatIsEnough) {
  // Just below the theta of each degree.
  EXPECT_EQ(PlanTaylor<double>(Normal(2.58e-8, {1, 2}))->degree, 2);
  EXPECT_EQ(PlanTaylor<double>(Normal(3.39e-4, {1, 2}))->degree, 4);
  EXPECT_EQ(PlanTaylor<double>(Normal(4.99e-2, {1, 2}))->degree, 8);
  EXPECT_EQ(PlanTaylor<float>(Normal(0.58, {1, 2}))->degree, 8);
  EXPECT_FALSE(PlanTaylor<double>(Normal(1.0, {1, 2})).has_value());
  const auto plan = PlanTaylor<double>(Normal(1.09, {1, 2, 3, 6}));
  EXPECT_EQ(plan->degree, 18);
  EXPECT_EQ(plan->squarings, 0);
}

TEST(TaylorPlan, SquaresUntilTheStepIsSmallEnough) {
  for (double norm : {1.2, 5.0, 100.0, 1e10}) {
    const auto plan = PlanTaylor<double>(Normal(norm, {1, 2, 3, 6}));
    const double step = std::ldexp(norm, -static_cast<int>(plan->squarings));
    EXPECT_LE(step, 1.0908638) << norm;
    EXPECT_GT(step, 1.0908638 / 2) << norm;
    EXPECT_LE(plan->truncation, 1);
  }
}

TEST(TaylorPlan, PowersThatVanishNeedNoSquarings) {
  constexpr double kZero = -std::numeric_limits<double>::infinity();
  const auto plan = PlanTaylor<double>(std::vector<PowerNorm>{{1, 40.0}, {2, kZero}});
  EXPECT_EQ(plan->degree, 2);
  EXPECT_EQ(plan->squarings, 0);
  EXPECT_EQ(plan->truncation, 0);
}

TEST(TaylorPlan, PowersThatGrowSlowlyNeedFewerSquaringsThanTheNorm) {
  // |B| = |B^2| = |B^3| = |B^6| = 2^4.9. Of all exponents above 18, 22 = 6 + 6 + 6 + 3 + 1 takes most norms for its
  // size: alpha is 2^(5 * 4.9 / 22), below 2 theta, where |B| itself would take 5 squarings.
  const auto plan = PlanTaylor<double>(std::vector<PowerNorm>{{1, 4.9}, {2, 4.9}, {3, 4.9}, {6, 4.9}});
  EXPECT_EQ(plan->degree, 18);
  EXPECT_EQ(plan->squarings, 1);
}

TEST(TaylorPlan, TwoPowersTakeDegree15WhereEightIsTooFew) {
  EXPECT_EQ(PlanTaylorOfTwoPowers<double>(Normal(2.58e-8, {1, 2})).degree, 2);
  EXPECT_EQ(PlanTaylorOfTwoPowers<double>(Normal(4.99e-2, {1, 2})).degree, 8);
  for (double norm : {0.666, 1.3, 5.0, 100.0, 1e10}) {
    const TaylorPlan plan = PlanTaylorOfTwoPowers<double>(Normal(norm, {1, 2}));
    const double step = std::ldexp(norm, -static_cast<int>(plan.squarings));
    EXPECT_EQ(plan.degree, 15);
    EXPECT_LE(step, 0.6661028) << norm;
    EXPECT_TRUE(plan.squarings == 0 || step > 0.6661027 / 2) << norm;
    EXPECT_LE(plan.truncation, 1);
  }
}

TEST(TaylorPlan, FurtherPowersSaveSquarings) {
  // |B| = |B^2| = |B^4| = |B^8| = |B^9| = 8. The remainder of degree 15 begins with |B^16| <= 64; of all exponents
  // above 15, 17 = 9 + 8 and 23 = 9 + 8 + 4 + 2 take most norms: (3 + 3 - 3 - 0.5) / 16 and (12 - 3 - 3.5) / 22, which
  // is 1 / 4. The limit is 3 / 9 - 1 / 2. So the step is 2^0.25 beside theta = 2^-0.586. Without them 17 takes nine:
  // (27 - 3 - 0.5) / 16.
  const std::vector<PowerNorm> two = {{1, 3}, {2, 3}};
  const std::vector<PowerNorm> all = {{1, 3}, {2, 3}, {4, 3}, {8, 3}, {9, 3}};
  EXPECT_EQ(PlanTaylorOfTwoPowers<double>(all).squarings, 1);
  EXPECT_EQ(PlanTaylorOfTwoPowers<double>(two).squarings, 3);
}

TEST(TaylorPlan, KeepsTheRangeWherePowersCancel) {
  const auto plan = PlanTaylor<float>(std::vector<PowerNorm>{{1, 100.0}, {2, -1000.0}, {3, -1000.0}, {6, -1000.0}});
  ASSERT_TRUE(plan.has_value());
  EXPECT_GE(plan->squarings, 80);
}

}  // namespace
}  // namespace attend::compute
