// Products of packed matrices with panels of columns, against a plain double loop, with every instruction set that they
// were compiled for and that this machine has.
#include "server/compute/matrix_exp/packed_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "hwy/targets.h"
#include "hwy/tests/hwy_gtest.h"
#include "server/runtime/cancellation.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

using runtime::BufferPool;
using runtime::Cancellation;
using runtime::InlineExecutor;

class PackedMatrixTest : public hwy::TestWithParamTarget {};
INSTANTIATE_TEST_SUITE_P(Target, PackedMatrixTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         hwy::TestParamTargetName);

std::vector<double> Normal(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> numbers(static_cast<size_t>(count));
  for (double& x : numbers) x = normal(random);
  return numbers;
}

struct Shape {
  int64_t m, k, p;
};

// a [m, k] b [k, p], or a^T b with a [k, m].
std::vector<double> Product(runtime::Executor& executor, BufferPool& pool, const Shape& s, const std::vector<double>& a,
                            bool transposed, const std::vector<double>& b, PackedMatrix::To to) {
  const Operand<double> left =
      transposed ? Transposed(Operand<double>(a.data(), s.k, s.m, s.m)) : Operand<double>(a.data(), s.m, s.k, s.k);
  PackedMatrix packed(s.m, s.k, pool);
  EXPECT_TRUE(packed.Pack(executor, left).ok());
  ColumnPanels right(s.k, s.p, pool);
  right.LoadFrom(Matrix<const double>(b.data(), s.k, s.p));
  ColumnPanels sums(s.m, s.p, pool);
  std::fill_n(sums.data(), sums.size(), to == PackedMatrix::To::kSet ? std::numeric_limits<double>::quiet_NaN() : 1.0);
  EXPECT_TRUE(
      packed.ForEachTile(executor, s.p, 1, [&](const PackedTile& tile) { packed.MultiplyTile(right, tile, to, sums); })
          .ok());
  std::vector<double> result(static_cast<size_t>(s.m * s.p));
  sums.StoreTo(Matrix<double>(result.data(), s.m, s.p));
  return result;
}

void ExpectPlainProduct(const Shape& s, bool transposed, PackedMatrix::To to) {
  SCOPED_TRACE(testing::Message() << s.m << " x " << s.k << " x " << s.p << (transposed ? " transposed" : ""));
  const std::vector<double> a = Normal(s.m * s.k, 1);
  const std::vector<double> b = Normal(s.k * s.p, 2);
  Cancellation cancellation;
  InlineExecutor executor(cancellation);
  BufferPool pool;
  const std::vector<double> actual = Product(executor, pool, s, a, transposed, b, to);
  const double added = to == PackedMatrix::To::kAdd ? 1 : 0;
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.p; ++j) {
      long double expected = added;
      double size = added;
      for (int64_t k = 0; k < s.k; ++k) {
        const double term = a[static_cast<size_t>(transposed ? k * s.m + i : i * s.k + k)];
        expected += static_cast<long double>(term) * b[static_cast<size_t>(k * s.p + j)];
        size += std::fabs(term * b[static_cast<size_t>(k * s.p + j)]);
      }
      // Each of k additions and multiplications rounds what is at most the sum of the moduli.
      const double tolerance = static_cast<double>(s.k + 1) * std::numeric_limits<double>::epsilon() * size;
      ASSERT_NEAR(actual[static_cast<size_t>(i * s.p + j)], static_cast<double>(expected), tolerance) << i << " " << j;
    }
  }
}

TEST_P(PackedMatrixTest, AgreesWithAPlainLoop) {
  for (int64_t m : {1, 2, 3, 5, 17, 24, 25, 64, 65, 129}) {
    for (int64_t p : {1, 2, 3, 4, 5, 8, 9, 16, 17, 20, 33})
      ExpectPlainProduct({m, m, p}, false, PackedMatrix::To::kSet);
  }
  for (int64_t p : {1, 3, 5, 17}) {
    ExpectPlainProduct({97, 300, p}, false, PackedMatrix::To::kSet);  // more terms than are taken at once
    ExpectPlainProduct({97, 300, p}, false, PackedMatrix::To::kAdd);
    ExpectPlainProduct({65, 129, p}, true, PackedMatrix::To::kSet);
    ExpectPlainProduct({24, 24, p}, true, PackedMatrix::To::kAdd);
  }
  ExpectPlainProduct({48, 5, 145}, false, PackedMatrix::To::kSet);  // more panels than a tile has
}

TEST_P(PackedMatrixTest, ProductsWithIntegersAreExact) {
  const Shape s{65, 129, 21};
  std::vector<double> a(static_cast<size_t>(s.m * s.k)), b(static_cast<size_t>(s.k * s.p));
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i * 7 % 31) - 15;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<double>(i * 11 % 29) - 14;
  Cancellation cancellation;
  InlineExecutor executor(cancellation);
  BufferPool pool;
  const std::vector<double> actual = Product(executor, pool, s, a, false, b, PackedMatrix::To::kSet);
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.p; ++j) {
      double expected = 0;
      for (int64_t k = 0; k < s.k; ++k) {
        expected += a[static_cast<size_t>(i * s.k + k)] * b[static_cast<size_t>(k * s.p + j)];
      }
      ASSERT_EQ(actual[static_cast<size_t>(i * s.p + j)], expected) << i << " " << j;
    }
  }
}

TEST(PackedMatrixTiles, BitsDoNotDependOnThreads) {
  BufferPool pool;
  for (const Shape& s : {Shape{300, 300, 1}, Shape{300, 300, 65}, Shape{129, 300, 150}}) {
    const std::vector<double> a = Normal(s.m * s.k, 3);
    const std::vector<double> b = Normal(s.k * s.p, 4);
    Cancellation cancellation;
    InlineExecutor alone(cancellation);
    const std::vector<double> expected = Product(alone, pool, s, a, false, b, PackedMatrix::To::kSet);
    for (int threads : {1, 2, 3}) {
      ThreadExecutor executor(threads);
      EXPECT_EQ(Product(executor, pool, s, a, false, b, PackedMatrix::To::kSet), expected) << threads;
    }
  }
}

TEST(PackedMatrixTiles, StopWhenCancelled) {
  Cancellation cancellation;
  BufferPool pool;
  InlineExecutor executor(cancellation);
  const PackedMatrix packed(300, 10, pool);
  int64_t tiles = 0;
  const absl::Status status = packed.ForEachTile(executor, 2, 1, [&](const PackedTile&) {
    if (++tiles == 2) cancellation.Cancel();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(tiles, 2);
  EXPECT_GT(packed.Tiles(2), 2);
}

TEST(PackedMatrixTiles, CoverEveryEntryOnce) {
  Cancellation cancellation;
  BufferPool pool;
  InlineExecutor executor(cancellation);
  for (int64_t n : {1, 24, 25, 1000}) {
    for (int64_t p : {1, 16, 17, 300}) {
      const PackedMatrix packed(n, 2, pool);
      std::vector<int> rows(static_cast<size_t>(ColumnPanels::PaddedRows(n) * ((p + 15) / 16)), 0);
      int64_t tiles = 0;
      ASSERT_TRUE(packed
                      .ForEachTile(executor, p, 1,
                                   [&](const PackedTile& tile) {
                                     EXPECT_EQ(tile.index, tiles++);
                                     for (int64_t panel = tile.first_panel; panel < tile.last_panel; ++panel) {
                                       for (int64_t i = tile.begin; i < tile.end; ++i) {
                                         ++rows[static_cast<size_t>(panel * ColumnPanels::PaddedRows(n) + i)];
                                       }
                                     }
                                   })
                      .ok());
      EXPECT_EQ(tiles, packed.Tiles(p));
      for (int count : rows) EXPECT_EQ(count, 1);
    }
  }
}

}  // namespace
}  // namespace attend::compute
