// Gradients of exp(t A) and exp(t A) B against the derivative that stands in the corner of exp of a block matrix.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/server/compute/matrix_exp/structured_cases.h"

namespace attend::compute {
namespace {

template <typename T>
class MatrixExpGradientTest : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(MatrixExpGradientTest, ElementTypes);

template <typename T>
constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

// exp([x, e; 0, x]) = [exp(x), L(x, e); 0, exp(x)]: Mathias 1996. All [n, n], in quadruple precision.
QuadMatrix QuadDerivative(int64_t n, const QuadMatrix& x, const QuadMatrix& e) {
  QuadMatrix block(4 * n * n, 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      block[i * 2 * n + j] = block[(n + i) * 2 * n + n + j] = x[i * n + j];
      block[i * 2 * n + n + j] = e[i * n + j];
    }
  }
  const QuadMatrix exponential = QuadExp(2 * n, block, 2);
  QuadMatrix derivative(n * n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) derivative[i * n + j] = exponential[i * 2 * n + n + j];
  }
  return derivative;
}

QuadMatrix Transposed(int64_t n, const QuadMatrix& x) {
  QuadMatrix result(n * n);
  for (int64_t i = 0; i < n * n; ++i) result[i] = x[i % n * n + i / n];
  return result;
}

void Add(double factor, const QuadMatrix& from, QuadMatrix& to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += factor * from[i];
}

template <typename T>
std::vector<T> SomeNumbers(int64_t count, double scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<T> numbers(count);
  for (T& x : numbers) x = static_cast<T>(normal(random));
  return numbers;
}

// Of generators the diagonal counts as minus the row's sum, and times are not negative.
std::vector<double> TimesFor(Kind kind) {
  return kind == Kind::kGenerator ? std::vector<double>{0.7, 0.0, 2.0} : std::vector<double>{0.7, 0.0, -1.3};
}

// sum over times of the largest |time| |G| |exp|^2-like growth is what rounding is relative to; the norm of the
// gradient itself is that here up to the condition of exp, a few units of |t A|.
template <typename T>
double Tolerance(int64_t n, double norm) {
  return 40 * (4 + std::sqrt(n) + norm) * kUnit<T>;
}

TYPED_TEST(MatrixExpGradientTest, OfExpAgreesWithTheBlockMatrixForEveryStructure) {
  for (Kind kind : kAllKinds) {
    for (int64_t n : {1, 2, 3, 5, 17}) {
      for (double scale : {1e-4, 1.0, 6.0}) {
        SCOPED_TRACE(NameOf(kind, n, scale));
        Question<TypeParam> question;
        question.n = n;
        question.a = Structured<TypeParam>(kind, n, scale, static_cast<uint32_t>(n) + 50);
        question.times = TimesFor(kind);
        question.grad = SomeNumbers<TypeParam>(3 * n * n, 1, 9);
        const Outcome<TypeParam> outcome = Solve(question);
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        QuadMatrix expected(n * n, 0);
        double largest = 0;
        for (size_t k = 0; k < 3; ++k) {
          const double time = question.times[k];
          const QuadMatrix x = Transposed(n, ToQuad(question.a.data(), n, time));
          const QuadMatrix part = QuadDerivative(n, x, ToQuad(question.grad.data() + k * n * n, n, 1));
          Add(time, part, expected);
          largest = std::max(largest, std::fabs(time) * NormOne(n, part));
        }
        const double error = RelativeError(n, outcome.grad_a.data(), expected) * NormOne(n, expected) / largest;
        EXPECT_LE(error, Tolerance<TypeParam>(n, NormOne(n, question.a) * 2));
        EXPECT_GT(n == 1 || kind == Kind::kDiagonal ? 1 : outcome.other_flops, 0);
      }
    }
  }
}

// grad_a and grad_b of the action at each of the question's times.
template <typename T>
void ExpectActionGradients(const Question<T>& question) {
  const int64_t n = question.n;
  const int64_t p = question.p;
  const Outcome<T> outcome = Solve(question);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  QuadMatrix expected_a(n * n, 0), expected_b(n * p, 0);
  double largest_a = 0;
  double largest_b = 0;
  for (size_t k = 0; k < question.times.size(); ++k) {
    const double time = question.times[k];
    const T* grad = question.grad.data() + k * n * p;
    QuadMatrix outer(n * n, 0);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t c = 0; c < p; ++c) outer[i * n + j] += static_cast<Quad>(grad[i * p + c]) * question.b[j * p + c];
      }
    }
    const QuadMatrix x = Transposed(n, ToQuad(question.a.data(), n, time));
    const QuadMatrix part = QuadDerivative(n, x, outer);
    Add(time, part, expected_a);
    largest_a = std::max(largest_a, std::fabs(time) * NormOne(n, part));
    const QuadMatrix back = QuadExp(n, x, 2);
    largest_b = std::max(largest_b, NormOne(n, back));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t c = 0; c < p; ++c) expected_b[i * p + c] += back[i * n + j] * grad[j * p + c];
      }
    }
  }
  // Outer products cancel where p > 1: relative to |G| |B| n, within some of |G B^T|.
  const double tolerance = Tolerance<T>(n, NormOne(n, question.a) * 2);
  if (largest_a > 0) {
    const double error_a = RelativeError(n, outcome.grad_a.data(), expected_a) * NormOne(n, expected_a) / largest_a;
    EXPECT_LE(error_a, 4 * tolerance);
  } else {
    EXPECT_THAT(outcome.grad_a, testing::Each(T{0}));
  }
  for (int64_t i = 0; i < n * p; ++i) {
    const double error = std::fabs(static_cast<double>(outcome.grad_b[i] - expected_b[i]));
    EXPECT_LE(error, 8 * std::sqrt(n) * largest_b * tolerance) << i;
  }
}

TYPED_TEST(MatrixExpGradientTest, OfTheActionAgreesWithTheBlockMatrixForEveryStructure) {
  for (Kind kind : kAllKinds) {
    for (const auto& [n, p] : {std::pair<int64_t, int64_t>{1, 1}, {2, 3}, {5, 2}, {17, 1}, {17, 3}}) {
      for (double scale : {1e-4, 1.0, 6.0}) {
        SCOPED_TRACE(NameOf(kind, n, scale) + " p " + std::to_string(p));
        Question<TypeParam> question;
        question.n = n;
        question.a = Structured<TypeParam>(kind, n, scale, static_cast<uint32_t>(n) + 70);
        question.times = TimesFor(kind);
        question.p = p;
        question.b = SomeNumbers<TypeParam>(n * p, 1, 5);
        question.grad = SomeNumbers<TypeParam>(3 * n * p, 1, 9);
        ExpectActionGradients(question);
      }
    }
  }
}

// exp(tA) B is known after a term or two where B is zero or of an invariant space; the way back is not.
TYPED_TEST(MatrixExpGradientTest, OfTheActionHoldsWhereTheColumnsSayLittle) {
  constexpr int64_t kN = 24;
  for (Kind kind : {Kind::kGeneral, Kind::kGenerator, Kind::kSymmetric}) {
    for (double scale : {1.0, 6.0}) {
      Question<TypeParam> question;
      question.n = kN;
      question.a = Structured<TypeParam>(kind, kN, scale, 3);
      for (int64_t i = 0; i < kN && kind == Kind::kGeneral; ++i) question.a[i * kN] = 0;  // e_1 is invariant
      question.times = {1.5};
      question.p = 1;
      question.grad = SomeNumbers<TypeParam>(kN, 1, 9);
      std::vector<TypeParam> first(kN, 0);
      first[0] = 1;
      for (const auto& b : {std::vector<TypeParam>(kN, 0), std::vector<TypeParam>(kN, 1), first}) {
        SCOPED_TRACE(NameOf(kind, kN, scale) + " b " + testing::PrintToString(b[0]) + " " +
                     testing::PrintToString(b[1]));
        question.b = b;
        ExpectActionGradients(question);
      }
    }
  }
}

TYPED_TEST(MatrixExpGradientTest, AgreesWithFiniteDifferences) {
  const int64_t n = 3;
  for (Kind kind : kAllKinds) {
    SCOPED_TRACE(NameOf(kind, n, 1));
    const auto a = Structured<double>(kind, n, 1.0, 4);
    Question<TypeParam> question{n, std::vector<TypeParam>(a.begin(), a.end())};
    question.grad = SomeNumbers<TypeParam>(n * n, 1, 2);
    // The rounded matrix may have lost its structure.
    if (kind == Kind::kGenerator) question.structure = MatrixStructure::kGenerator;
    const Outcome<TypeParam> outcome = Solve(question);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    const auto loss = [&](const std::vector<double>& at) {
      const QuadMatrix exponential = QuadExp(n, QuadMatrix(at.begin(), at.end()), 0);
      Quad sum = 0;
      for (int64_t k = 0; k < n * n; ++k) sum += exponential[k] * question.grad[k];
      return sum;
    };
    for (int64_t k = 0; k < n * n; ++k) {
      const double step = 0x1p-30;
      std::vector<double> up(question.a.begin(), question.a.end());
      std::vector<double> down = up;
      up[k] += step;
      down[k] -= step;
      const auto expected = static_cast<double>((loss(up) - loss(down)) / (2 * step));
      // Second differences: step^2; the rest is rounding, and a generator's diagonal, which is not read.
      EXPECT_NEAR(outcome.grad_a[k], expected, 500 * kUnit<TypeParam> + 1e-15) << k;
    }
  }
}

TYPED_TEST(MatrixExpGradientTest, OfSharedBIsTheSumOverTheBatch) {
  const int64_t n = 5;
  const int64_t p = 2;
  Question<TypeParam> shared;
  shared.n = n;
  for (Kind kind : {Kind::kGeneral, Kind::kSymmetric, Kind::kSkew}) {
    const auto a = Structured<TypeParam>(kind, n, 1.0, 8);
    shared.a.insert(shared.a.end(), a.begin(), a.end());
  }
  shared.times = {1.0, 0.5};
  shared.p = p;
  shared.b = SomeNumbers<TypeParam>(n * p, 1, 3);
  shared.b_is_shared = true;
  shared.grad = SomeNumbers<TypeParam>(2 * 3 * n * p, 1, 6);
  Question<TypeParam> own = shared;
  own.b_is_shared = false;
  own.b.insert(own.b.end(), shared.b.begin(), shared.b.end());
  own.b.insert(own.b.end(), shared.b.begin(), shared.b.end());
  const Outcome<TypeParam> together = Solve(shared);
  const Outcome<TypeParam> apart = Solve(own);
  ASSERT_TRUE(together.status.ok() && apart.status.ok()) << together.status << apart.status;
  EXPECT_EQ(together.result, apart.result);
  EXPECT_EQ(together.grad_a, apart.grad_a);
  for (int64_t k = 0; k < n * p; ++k) {
    const double sum = static_cast<double>(apart.grad_b[k]) + apart.grad_b[n * p + k] + apart.grad_b[2 * n * p + k];
    EXPECT_NEAR(together.grad_b[k], sum, 40 * kUnit<TypeParam>);
  }
}

TYPED_TEST(MatrixExpGradientTest, ExtremesEndWithoutNaN) {
  for (Kind kind : kAllKinds) {
    for (int64_t p : {-1, 1}) {
      for (double scale : {1e30, 1e3, 1e-30}) {
        for (double time : {1.0, 1e300, 1e-300}) {
          SCOPED_TRACE(NameOf(kind, 3, scale) + " time " + std::to_string(time));
          Question<TypeParam> question{3, Structured<TypeParam>(kind, 3, scale, 2), {time}};
          question.p = p;
          question.b = SomeNumbers<TypeParam>(3, 1e20, 1);
          question.grad = SomeNumbers<TypeParam>(p < 0 ? 9 : 3, 1e25, 1);
          const Outcome<TypeParam> outcome = Solve(question);
          if (!outcome.status.ok()) {
            EXPECT_EQ(outcome.status.code(), absl::StatusCode::kOutOfRange) << outcome.status;
            continue;
          }
          for (TypeParam x : outcome.grad_a) ASSERT_TRUE(std::isfinite(x));
        }
      }
    }
  }
}

}  // namespace
}  // namespace attend::compute
