#include "server/compute/matrix_exp/squaring_error.h"

#include <gtest/gtest.h>

#include <cmath>

namespace attend::compute {
namespace {

TEST(SquaringError, WithoutSquaringsIsTheFirst) { EXPECT_DOUBLE_EQ(SquaringError(3, 1e-16).Relative(), 1e-16); }

TEST(SquaringError, OneSquaringDoublesTheFirstError) {
  SquaringError error(0, 1e-16);
  error.Add(0, 3e-16);
  EXPECT_DOUBLE_EQ(error.Relative(), 5e-16);
}

TEST(SquaringError, DecayIsNoAmplification) {
  // |exp(t B)| = 2^-t: errors relative to the value double with each squaring, no more.
  SquaringError error(-1.0 / 16, 1e-16);
  for (int k = 3; k >= 0; --k) error.Add(-1.0 / (1 << k), 0);
  EXPECT_NEAR(error.Relative(), 16e-16, 1e-20);
}

TEST(SquaringError, AHumpCountsOnceOrTwiceButNotForEverySquaring) {
  // |exp(t B)| is 2^10 at every t measured but 1: the product of norms would be 2^100.
  SquaringError error(10, 1e-16);
  for (int k = 0; k < 9; ++k) error.Add(10, 0);
  error.Add(0, 0);
  // 2^10 terms of at most 2^10 2^10 2^10.
  EXPECT_LE(error.Relative(), 1e-16 * std::exp2(41));
  EXPECT_GE(error.Relative(), 1e-16 * std::exp2(20));
}

TEST(SquaringError, StaysFinite) {
  SquaringError error(0, 1e-16);
  for (int k = 1; k < 2000; ++k) error.Add(k % 2 == 0 ? 1000 : -1000, 1e-16);
  EXPECT_LE(error.Relative(), 1e300);
}

}  // namespace
}  // namespace attend::compute
