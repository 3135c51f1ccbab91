#include "server/compute/project/project.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "server/runtime/cancellation.h"

namespace attend::compute {
namespace {

using runtime::BufferPool;
using runtime::Cancellation;
using runtime::InlineExecutor;
using testing::HasSubstr;

template <typename T>
std::vector<T> Random(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values(count);
  for (T& x : values) x = static_cast<T>(normal(random));
  return values;
}

// A product and, beside it, the product of absolute values, which bounds its rounding error.
struct Reference {
  std::vector<double> value;
  std::vector<double> magnitude;
};

template <typename A>
Reference Leaf(const std::vector<A>& a) {
  Reference result{{a.begin(), a.end()}, {a.begin(), a.end()}};
  for (double& x : result.magnitude) x = std::fabs(x);
  return result;
}

Reference Product(const Reference& a, const Reference& b, int64_t m, int64_t k, int64_t n) {
  Reference c{std::vector<double>(m * n), std::vector<double>(m * n)};
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t l = 0; l < k; ++l) {
      for (int64_t j = 0; j < n; ++j) {
        c.value[i * n + j] += a.value[i * k + l] * b.value[l * n + j];
        c.magnitude[i * n + j] += a.magnitude[i * k + l] * b.magnitude[l * n + j];
      }
    }
  }
  return c;
}

std::vector<double> TransposeOf(const std::vector<double>& a, int64_t rows, int64_t cols) {
  std::vector<double> t(a.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) t[j * rows + i] = a[i * cols + j];
  }
  return t;
}

Reference TransposeOf(const Reference& a, int64_t rows, int64_t cols) {
  return {TransposeOf(a.value, rows, cols), TransposeOf(a.magnitude, rows, cols)};
}

// `roundings`: how many units of roundoff of the absolute products the longest chain of sums may take.
template <typename T>
void ExpectClose(const std::vector<T>& actual, const Reference& expected, double roundings, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.value.size()) << what;
  const double unit = std::numeric_limits<T>::epsilon() / 2;
  double worst = 0;
  size_t where = 0;
  for (size_t k = 0; k < actual.size(); ++k) {
    const double error = std::fabs(actual[k] - expected.value[k]) / (expected.magnitude[k] + 1e-300);
    if (error > worst) {
      worst = error;
      where = k;
    }
  }
  EXPECT_LE(worst, roundings * unit) << what << ": entry " << where << " is " << actual[where] << ", expected "
                                     << expected.value[where];
}

template <typename T>
class ProjectTest : public testing::Test {
 protected:
  absl::Status Linear(const LinearProblem<T>& problem, std::vector<std::vector<T>>& outputs) {
    outputs.clear();
    std::vector<T*> pointers;
    for (const auto& weight : problem.weights) outputs.emplace_back(problem.rows * weight.e, T{-7});
    for (auto& output : outputs) pointers.push_back(output.data());
    return LinearProjection(executor_, pool_, problem, pointers);
  }

  absl::Status Congruence(const CongruenceProblem<T>& problem, std::vector<T>& output) {
    const int64_t size = problem.form == CongruenceForm::kSequence ? problem.n : problem.d;
    output.assign(size * size, T{-7});
    return CongruenceProjection(executor_, pool_, problem, output.data());
  }

  Cancellation cancellation_;
  InlineExecutor executor_{cancellation_};
  BufferPool pool_;
};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(ProjectTest, ElementTypes);

TYPED_TEST(ProjectTest, LinearAgreesWithPlainLoops) {
  for (int64_t rows : {1, 2, 3, 5, 17, 64, 65, 129, 300}) {
    for (int64_t d : {1, 3, 17, 64, 129}) {
      const auto x = Random<TypeParam>(rows * d, 1);
      const std::vector<int64_t> widths = {1, 5, 65, 600, 128, 127, 3, 100, 64, 33};  // narrow neighbours: one product
      std::vector<std::vector<TypeParam>> w, b;
      LinearProblem<TypeParam> problem{x.data(), rows, d, {}};
      for (size_t i = 0; i < widths.size(); ++i) {
        w.push_back(Random<TypeParam>(d * widths[i], static_cast<uint32_t>(10 + i)));
        b.push_back(Random<TypeParam>(widths[i], static_cast<uint32_t>(20 + i)));
      }
      for (size_t i = 0; i < widths.size(); ++i) {
        problem.weights.push_back({w[i].data(), i == 2 ? nullptr : b[i].data(), widths[i]});
      }
      std::vector<std::vector<TypeParam>> outputs;
      ASSERT_TRUE(this->Linear(problem, outputs).ok());
      for (size_t i = 0; i < widths.size(); ++i) {
        Reference expected = Product(Leaf(x), Leaf(w[i]), rows, d, widths[i]);
        for (int64_t k = 0; k < rows * widths[i] && i != 2; ++k) {
          expected.value[k] += b[i][k % widths[i]];
          expected.magnitude[k] += std::fabs(b[i][k % widths[i]]);
        }
        ExpectClose(outputs[i], expected, static_cast<double>(d) + 2,
                    "rows " + std::to_string(rows) + " d " + std::to_string(d) + " output " + std::to_string(i));
      }
    }
  }
}

TYPED_TEST(ProjectTest, LinearOfNothing) {
  const std::vector<TypeParam> b = {1, 2, 3};
  std::vector<std::vector<TypeParam>> outputs;
  LinearProblem<TypeParam> problem{
      nullptr, 2, 0, {{nullptr, b.data(), 3}, {nullptr, nullptr, 2}, {nullptr, nullptr, 0}}};
  ASSERT_TRUE(this->Linear(problem, outputs).ok());
  EXPECT_EQ(outputs[0], (std::vector<TypeParam>{1, 2, 3, 1, 2, 3}));  // an empty sum, and the bias
  EXPECT_EQ(outputs[1], std::vector<TypeParam>(4, TypeParam{0}));
  problem.rows = 100;
  ASSERT_TRUE(this->Linear(problem, outputs).ok());
  EXPECT_EQ(outputs[0][299], 3);
  EXPECT_EQ(outputs[1], std::vector<TypeParam>(200, TypeParam{0}));
  problem.rows = 0;
  ASSERT_TRUE(this->Linear(problem, outputs).ok());
  EXPECT_TRUE(outputs[0].empty());
}

template <typename T>
Reference ExpectedCongruence(const CongruenceProblem<T>& problem, const std::vector<T>& e, const std::vector<T>& a) {
  const bool sequence = problem.form == CongruenceForm::kSequence;
  const int64_t outer = sequence ? problem.n : problem.d;
  const int64_t inner = sequence ? problem.d : problem.n;
  const Reference rows = Leaf(e);
  const Reference left = sequence ? rows : TransposeOf(rows, problem.n, problem.d);
  const Reference right = sequence ? TransposeOf(rows, problem.n, problem.d) : rows;
  Reference whole = Leaf(a);
  if (problem.a == nullptr) {
    const std::vector<T> w_query(problem.w_query, problem.w_query + inner * problem.d_k);
    const std::vector<T> w_key(problem.w_key, problem.w_key + inner * problem.d_k);
    whole = Product(Leaf(w_query), TransposeOf(Leaf(w_key), inner, problem.d_k), inner, problem.d_k, inner);
  }
  Reference result = Product(Product(left, whole, outer, inner, inner), right, outer, inner, outer);
  for (double& x : result.value) x *= problem.scale;
  for (double& x : result.magnitude) x *= std::fabs(problem.scale);
  return result;
}

TYPED_TEST(ProjectTest, CongruenceAgreesWithPlainLoops) {
  for (CongruenceForm form : {CongruenceForm::kSequence, CongruenceForm::kEmbedding}) {
    for (int64_t n : {1, 2, 5, 17, 65, 129}) {
      for (int64_t d : {1, 3, 17, 64}) {
        const auto e = Random<TypeParam>(n * d, 3);
        const int64_t inner = form == CongruenceForm::kSequence ? d : n;
        const auto a = Random<TypeParam>(inner * inner, 4);
        CongruenceProblem<TypeParam> problem;
        problem.form = form;
        problem.n = n;
        problem.d = d;
        problem.e = e.data();
        problem.scale = 0.3;
        const std::string what = "n " + std::to_string(n) + " d " + std::to_string(d);
        problem.a = a.data();
        std::vector<TypeParam> output;
        ASSERT_TRUE(this->Congruence(problem, output).ok());
        ExpectClose(output, ExpectedCongruence(problem, e, a), 2.0 * static_cast<double>(inner) + 3, what);
        problem.a = nullptr;
        for (int64_t d_k : {1, 4, 40}) {  // on either side of `inner`: both orders of the products
          const auto w_query = Random<TypeParam>(inner * d_k, 5);
          const auto w_key = Random<TypeParam>(inner * d_k, 6);
          problem.w_query = w_query.data();
          problem.w_key = w_key.data();
          problem.d_k = d_k;
          ASSERT_TRUE(this->Congruence(problem, output).ok());
          ExpectClose(output, ExpectedCongruence(problem, e, a), 2.0 * static_cast<double>(inner + d_k) + 3,
                      what + " d_k " + std::to_string(d_k));
        }
      }
    }
  }
}

// Powers of two move the result exactly, whatever the products on the way would have done.
TYPED_TEST(ProjectTest, CongruenceAppliesItsScaleWhereNothingOverOrUnderflows) {
  constexpr int kHuge = std::numeric_limits<TypeParam>::max_exponent * 3 / 5;
  const auto times_power = [](std::vector<TypeParam> values, int exponent) {
    for (TypeParam& value : values) value = std::scalbn(value, exponent);
    return values;
  };
  for (CongruenceForm form : {CongruenceForm::kSequence, CongruenceForm::kEmbedding}) {
    for (const auto& [n, d] : {std::pair<int64_t, int64_t>{1, 1}, {5, 3}, {3, 17}, {65, 17}}) {
      const int64_t inner = form == CongruenceForm::kSequence ? d : n, d_k = 4;
      const auto e = Random<TypeParam>(n * d, 3), a = Random<TypeParam>(inner * inner, 4);
      const auto w_query = Random<TypeParam>(inner * d_k, 5), w_key = Random<TypeParam>(inner * d_k, 6);
      for (const int of_e : {-kHuge, kHuge}) {
        for (const int of_a : {-of_e / 2, 0, of_e / 2}) {
          const int of_scale = -2 * of_e - of_a;  // of the whole, 0; apart, out of any range
          if (std::abs(of_scale) >= std::numeric_limits<TypeParam>::max_exponent) continue;
          const auto far_e = times_power(e, of_e), far_a = times_power(a, of_a);
          const auto far_query = times_power(w_query, of_a);
          CongruenceProblem<TypeParam> problem, far;
          problem.form = far.form = form;
          problem.n = far.n = n;
          problem.d = far.d = d;
          problem.e = e.data();
          far.e = far_e.data();
          problem.scale = 0.3;
          far.scale = std::ldexp(0.3, of_scale);
          problem.a = a.data();
          far.a = far_a.data();
          std::vector<TypeParam> output;
          ASSERT_TRUE(this->Congruence(far, output).ok());
          ExpectClose(output, ExpectedCongruence(problem, e, a), 2.0 * static_cast<double>(inner) + 3, "matrix");
          problem.a = far.a = nullptr;
          problem.d_k = far.d_k = d_k;
          problem.w_query = w_query.data();
          far.w_query = far_query.data();
          problem.w_key = far.w_key = w_key.data();
          ASSERT_TRUE(this->Congruence(far, output).ok());
          ExpectClose(output, ExpectedCongruence(problem, e, a), 2.0 * static_cast<double>(inner + d_k) + 3, "factors");
          EXPECT_GE(CongruenceWorkspaceBytes(far), CongruenceWorkspaceBytes(problem) + sizeof(TypeParam) * n * d);
        }
      }
    }
  }
}

TYPED_TEST(ProjectTest, CongruenceKeepsRowsOfDifferentMagnitudes) {
  constexpr int kHuge = std::numeric_limits<TypeParam>::max_exponent * 3 / 5;
  const std::vector<TypeParam> e = {1, 0, 0, std::scalbn(TypeParam{3}, -kHuge)}, identity = {1, 0, 0, 1};
  CongruenceProblem<TypeParam> problem;
  problem.n = problem.d = 2;
  problem.e = e.data();
  problem.a = identity.data();
  problem.scale = std::ldexp(1.0, kHuge);
  std::vector<TypeParam> output;
  ASSERT_TRUE(this->Congruence(problem, output).ok());
  EXPECT_EQ(output,
            (std::vector<TypeParam>{std::scalbn(TypeParam{1}, kHuge), 0, 0, std::scalbn(TypeParam{9}, -kHuge)}));
}

TYPED_TEST(ProjectTest, OverflowIsRefusedNotReturned) {
  const std::vector<TypeParam> x(4, std::numeric_limits<TypeParam>::max());
  const std::vector<TypeParam> w = {1, 1, 1, -1};
  std::vector<std::vector<TypeParam>> outputs;
  const absl::Status linear = this->Linear({x.data(), 2, 2, {{w.data(), nullptr, 2}}}, outputs);
  EXPECT_EQ(linear.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(linear.message()), HasSubstr("outputs[0] overflows FLOAT"));
  CongruenceProblem<TypeParam> problem;
  problem.n = problem.d = 2;
  problem.e = w.data();
  problem.a = x.data();
  std::vector<TypeParam> output;
  EXPECT_EQ(this->Congruence(problem, output).code(), absl::StatusCode::kOutOfRange);
  problem.a = w.data();
  problem.scale = 1e308;
  const absl::Status scaled = this->Congruence(problem, output);
  EXPECT_EQ(scaled.code(), absl::StatusCode::kOutOfRange) << scaled;
}

TYPED_TEST(ProjectTest, StopsWhenCancelled) {
  this->cancellation_.Cancel();
  const std::vector<TypeParam> x(4, TypeParam{1});
  std::vector<std::vector<TypeParam>> outputs;
  EXPECT_EQ(this->Linear({x.data(), 2, 2, {{x.data(), nullptr, 2}}}, outputs).code(), absl::StatusCode::kCancelled);
}

TEST(ProjectFlops, FactorsAreNeverMultipliedOut) {
  CongruenceProblem<float> problem;
  problem.n = 1000;
  problem.d = 512;
  problem.d_k = 64;
  EXPECT_EQ(CongruenceFlops(problem), 4.0 * 1000 * 512 * 64 + 2.0 * 1000 * 1000 * 64);
  EXPECT_EQ(CongruenceWorkspaceBytes(problem), 4.0 * 2 * 1000 * 64);
}

}  // namespace
}  // namespace attend::compute
