#include "server/compute/matrix_exp/sliced_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "server/runtime/cancellation.h"
#include "tests/server/compute/matrix_exp/oracle.h"

namespace attend::compute {
namespace {

struct Pairs {
  explicit Pairs(int64_t n) : hi(static_cast<size_t>(n * n)), lo(hi.size()) {}
  PairPlanes planes() { return {hi.data(), lo.data()}; }
  Quad at(size_t k) const { return static_cast<Quad>(hi[k]) + lo[k]; }

  std::vector<double> hi;
  std::vector<double> lo;
};

using Draw = std::function<double(std::mt19937&, int64_t row, int64_t column)>;

double Uniform(std::mt19937& random) { return std::uniform_real_distribution<double>(0, 1)(random); }

Pairs Drawn(int64_t n, const Draw& draw, uint32_t seed) {
  std::mt19937 random(seed);
  Pairs result(n);
  for (int64_t k = 0; k < n * n; ++k) {
    const auto index = static_cast<size_t>(k);
    result.hi[index] = draw(random, k / n, k % n);
    result.lo[index] = result.hi[index] * 0x1p-54 * (Uniform(random) - 0.5);
  }
  return result;
}

// Every entry within `tolerance` of the product in quadruple precision, whose own rounding is n 2^-113.
void ExpectAccurate(int64_t n, const Draw& draw, double tolerance, const std::string& what) {
  Pairs a = Drawn(n, draw, 1);
  Pairs b = Drawn(n, draw, 2);
  Pairs c(n);
  runtime::BufferPool pool;
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  PairAccuracy accuracy{.tolerance = tolerance};
  ASSERT_TRUE(SlicedGemm(executor, pool, n, a.planes(), b.planes(), c.planes(), accuracy).ok());
  QuadMatrix wide_a(a.hi.size()), wide_b(a.hi.size());
  for (size_t k = 0; k < a.hi.size(); ++k) {
    wide_a[k] = a.at(k);
    wide_b[k] = b.at(k);
  }
  const QuadMatrix expected = QuadProduct(n, wide_a, wide_b);
  double worst = 0;
  for (size_t k = 0; k < a.hi.size(); ++k) {
    if (expected[k] == 0) {
      EXPECT_EQ(c.hi[k], 0) << what << " " << k;
      continue;
    }
    worst = std::max(worst, std::fabs(static_cast<double>((c.at(k) - expected[k]) / expected[k])));
  }
  EXPECT_LE(worst, std::max(tolerance, (static_cast<double>(n) + 4) * 0x1p-104)) << what << ", n " << n;
}

TEST(SlicedGemm, EveryEntryIsWithinTheTolerance) {
  const Draw alike = [](std::mt19937& random, int64_t i, int64_t j) { return Uniform(random); };
  const Draw near_identity = [](std::mt19937& random, int64_t i, int64_t j) {
    return i == j ? 1 - 1e-3 * Uniform(random) : 1e-5 * Uniform(random);
  };
  const Draw all_magnitudes = [](std::mt19937& random, int64_t i, int64_t j) {
    return std::pow(10, -200 * Uniform(random));
  };
  const Draw some_zeros = [](std::mt19937& random, int64_t i, int64_t j) {
    const double x = Uniform(random);
    return x < 0.3 ? 0 : x;
  };
  const Draw mostly_zeros = [](std::mt19937& random, int64_t i, int64_t j) {
    return j == i + 1 ? Uniform(random) : 0.0;
  };
  const Draw denormal = [](std::mt19937& random, int64_t i, int64_t j) { return 1e-160 * Uniform(random); };
  for (int64_t n : {1, 2, 3, 5, 17, 48, 64, 65, 129}) {
    for (double tolerance : {0.0, 0x1p-73, 0x1p-66, 0x1p-59}) {
      ExpectAccurate(n, alike, tolerance, "alike");
      ExpectAccurate(n, near_identity, tolerance, "near the identity");
      ExpectAccurate(n, all_magnitudes, tolerance, "all magnitudes");
      ExpectAccurate(n, some_zeros, tolerance, "some zeros");
      ExpectAccurate(n, mostly_zeros, tolerance, "mostly zeros");
    }
  }
  // Products around 1e-320 keep what pairs keep of them: their leading half.
  Pairs a = Drawn(48, denormal, 1);
  Pairs c(48);
  runtime::BufferPool pool;
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  PairAccuracy accuracy{.tolerance = 0x1p-59};
  ASSERT_TRUE(SlicedGemm(executor, pool, 48, a.planes(), a.planes(), c.planes(), accuracy).ok());
  for (double x : c.hi) EXPECT_TRUE(x >= 0 && x < 1e-316) << x;
}

}  // namespace
}  // namespace attend::compute
