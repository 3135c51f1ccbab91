#include "server/compute/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "server/compute/parallel_gemm.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

constexpr double kUntouched = -77;
constexpr int64_t kGap = 3;  // elements between the rows

template <typename T>
struct Storage {
  Storage(int64_t rows, int64_t cols, uint64_t seed)
      : memory(static_cast<size_t>(rows * (cols + kGap)), static_cast<T>(kUntouched)),
        matrix(memory.data(), rows, cols, cols + kGap) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) matrix.row(i)[j] = static_cast<T>(uniform(random));
    }
  }
  Storage(const Storage& other) = delete;

  std::vector<T> memory;
  Matrix<T> matrix;
};

template <typename T>
double At(const Operand<T>& a, int64_t i, int64_t j) {
  return a.transposed ? a.data[j * a.stride + i] : a.data[i * a.stride + j];
}

// One product with every element of its result checked against a plain loop.
struct Product {
  int64_t m = 1;
  int64_t n = 1;
  int64_t k = 1;
  bool a_transposed = false;
  bool b_transposed = false;
  double alpha = 1;
  double beta = 0;
};

template <typename T, typename Run>
void CheckProduct(const Product& p, const Run& run) {
  const Storage<T> a_memory(p.a_transposed ? p.k : p.m, p.a_transposed ? p.m : p.k, 1);
  const Storage<T> b_memory(p.b_transposed ? p.n : p.k, p.b_transposed ? p.k : p.n, 2);
  const Storage<T> before(p.m, p.n, 3);
  const Storage<T> c(p.m, p.n, 3);
  const Operand<T> a = p.a_transposed ? Transposed(Operand<T>(a_memory.matrix)) : Operand<T>(a_memory.matrix);
  const Operand<T> b = p.b_transposed ? Transposed(Operand<T>(b_memory.matrix)) : Operand<T>(b_memory.matrix);
  if (p.beta == 0 && p.m * p.n > 0) c.matrix.data[0] = std::numeric_limits<T>::quiet_NaN();
  ASSERT_TRUE(run(static_cast<T>(p.alpha), a, b, static_cast<T>(p.beta), c.matrix).ok());
  // Entries are at most 1: k products and k sums of at most k, and the two last operations.
  const double tolerance = std::numeric_limits<T>::epsilon() * (static_cast<double>(p.k) + 4) *
                           (std::fabs(p.alpha) * std::sqrt(p.k + 1.0) + 1);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double want = p.beta == 0 ? 0 : p.beta * before.matrix.row(i)[j];
      for (int64_t l = 0; l < p.k; ++l) want += p.alpha * At(a, i, l) * At(b, l, j);
      ASSERT_NEAR(c.matrix.row(i)[j], want, tolerance)
          << "(" << i << ", " << j << ") of " << p.m << " x " << p.n << ", k = " << p.k;
    }
    for (int64_t j = p.n; j < p.n + kGap; ++j) ASSERT_EQ(c.matrix.row(i)[j], kUntouched) << "past row " << i;
  }
}

template <typename T>
class GemmTest : public testing::Test {};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(GemmTest, FloatTypes);

TYPED_TEST(GemmTest, AgreesWithAPlainLoop) {
  const auto gemm = [](auto... arguments) { return Gemm(arguments...); };
  const int64_t sizes[] = {1, 2, 3, 5, 17, 64, 65, 129};
  for (const int64_t m : sizes) {
    for (const int64_t n : sizes) {
      const int64_t k = sizes[(m + n) % 8];
      const Product product{m, n, k, m % 2 == 0, n % 3 == 0, 0.75, n % 2 == 0 ? 0.0 : -0.5};
      CheckProduct<TypeParam>(product, gemm);
    }
  }
}

TYPED_TEST(GemmTest, TakesEveryTranspositionAndBeta) {
  const auto gemm = [](auto... arguments) { return Gemm(arguments...); };
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      for (const double beta : {0.0, 1.0, 0.5}) {
        CheckProduct<TypeParam>({17, 33, 65, a_transposed, b_transposed, -2, beta}, gemm);
      }
    }
  }
}

TYPED_TEST(GemmTest, EmptyProducts) {
  const auto gemm = [](auto... arguments) { return Gemm(arguments...); };
  CheckProduct<TypeParam>({0, 5, 3}, gemm);
  CheckProduct<TypeParam>({5, 0, 3}, gemm);
  CheckProduct<TypeParam>({3, 5, 0, false, false, 1, 0}, gemm);
  CheckProduct<TypeParam>({3, 5, 0, false, false, 1, 0.5}, gemm);
}

TYPED_TEST(GemmTest, SplitProductsAgreeWithAPlainLoop) {
  ThreadExecutor executor(3);
  const auto gemm = [&](auto... arguments) { return ParallelGemm(executor, arguments...); };
  for (const bool transposed : {false, true}) {
    CheckProduct<TypeParam>({1, 1, 1, transposed, transposed, 1, 0}, gemm);
    CheckProduct<TypeParam>({300, 530, 5, transposed, !transposed, 0.5, 1}, gemm);
    CheckProduct<TypeParam>({257, 129, 17, !transposed, transposed, 1, 0}, gemm);
    CheckProduct<TypeParam>({2, 1025, 3, transposed, transposed, 1, -1}, gemm);
  }
  CheckProduct<TypeParam>({0, 7, 3}, gemm);
  CheckProduct<TypeParam>({7, 3, 0, false, false, 1, 0}, gemm);
}

TYPED_TEST(GemmTest, SplitProductsHaveTheSameBitsWithAnyNumberOfWorkers) {
  using T = TypeParam;
  const Storage<T> a(400, 65, 1);
  const Storage<T> b(65, 700, 2);
  std::vector<T> first;
  for (const int workers : {1, 2, 7}) {
    ThreadExecutor executor(workers);
    std::vector<T> c(400 * 700);
    ASSERT_TRUE(ParallelGemm(executor, T{1}, a.matrix, b.matrix, T{0}, Matrix<T>(c.data(), 400, 700)).ok());
    if (workers == 1) first = c;
    EXPECT_EQ(c, first) << workers << " workers";
  }
}

TEST(ParallelGemm, StopsWhenTheCallIsCancelled) {
  runtime::Cancellation cancellation;
  cancellation.Cancel();
  runtime::InlineExecutor executor(cancellation);
  const Storage<float> a(3, 3, 1);
  const Storage<float> c(3, 3, 1);
  const absl::Status done = ParallelGemm(executor, 1.0f, a.matrix, a.matrix, 0.0f, c.matrix);
  EXPECT_EQ(done.code(), absl::StatusCode::kCancelled);
}

TEST(OneDnn, NamesItselfAndTheInstructionSet) {
  const std::string version = OneDnnVersion();
  EXPECT_EQ(std::count(version.begin(), version.end(), '.'), 2) << version;
  EXPECT_FALSE(OneDnnIsa().empty());
}

// Uninitialized results hold anything, NaN included: alpha = 0 must not let it through.
template <typename T>
void CheckZeroAlpha() {
  for (int64_t size : {1, 5, 64, 65, 200}) {
    const Storage<T> a(size, size, 1);
    Storage<T> c(size, size, 2);
    std::fill(c.memory.begin(), c.memory.end(), std::numeric_limits<T>::quiet_NaN());
    ASSERT_TRUE(Gemm(T{0}, Operand<T>(a.matrix), Operand<T>(a.matrix), T{0}, c.matrix).ok());
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t j = 0; j < size; ++j) ASSERT_EQ(c.matrix.row(i)[j], 0) << size << ": " << i << ", " << j;
    }
  }
}

TEST(Gemm, ZeroAlphaAndBetaGiveZeros) {
  CheckZeroAlpha<float>();
  CheckZeroAlpha<double>();
}

// Several threads multiply at once, each its own matrices: the bits are those of one thread alone.
template <typename T>
void CheckConcurrentProducts() {
  constexpr int kThreads = 8;
  constexpr int kProducts = 2000;
  constexpr int64_t kRows = 64, kInner = 48, kCols = 200;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t, &wrong] {
      const Storage<T> a(kRows, kInner, static_cast<uint64_t>(2 * t));
      const Storage<T> b(kInner, kCols, static_cast<uint64_t>(2 * t + 1));
      Storage<T> first(kRows, kCols, 3);
      if (!Gemm(T{1}, Operand<T>(a.matrix), Operand<T>(b.matrix), T{0}, first.matrix).ok()) ++wrong;
      for (int product = 0; product < kProducts; ++product) {
        Storage<T> again(kRows, kCols, 3);
        const absl::Status done = Gemm(T{1}, Operand<T>(a.matrix), Operand<T>(b.matrix), T{0}, again.matrix);
        if (!done.ok() || again.memory != first.memory) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0) << "of " << kThreads * kProducts;
}

TEST(Gemm, ProductsOnManyThreadsAreThoseOfOne) {
  CheckConcurrentProducts<float>();
  CheckConcurrentProducts<double>();
}

}  // namespace
}  // namespace attend::compute
