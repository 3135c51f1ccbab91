#include "server/compute/shortest_text.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace attend::compute {
namespace {

TEST(ShortestText, TellsNeighboursApart) {
  EXPECT_EQ(ShortestText(2.0), "2");
  EXPECT_EQ(ShortestText(std::nextafter(2.0, 3.0)), "2.0000000000000004");
  EXPECT_EQ(ShortestText(-1.0f), "-1");
  EXPECT_EQ(ShortestText(std::nextafter(-1.0f, 0.0f)), "-0.99999994");
  EXPECT_EQ(ShortestText(0.1f), "0.1");
}

TEST(ShortestText, TakesEveryNumber) {
  EXPECT_EQ(ShortestText(-std::numeric_limits<double>::max()), "-1.7976931348623157e+308");
  EXPECT_EQ(ShortestText(-2.2250738585072014e-308), "-2.2250738585072014e-308");
  EXPECT_EQ(ShortestText(std::numeric_limits<double>::denorm_min()), "5e-324");
  EXPECT_EQ(ShortestText(-0.0), "-0");
  EXPECT_EQ(ShortestText(std::nan("")), "nan");
  EXPECT_EQ(ShortestText(-INFINITY), "-inf");
}

}  // namespace
}  // namespace attend::compute
