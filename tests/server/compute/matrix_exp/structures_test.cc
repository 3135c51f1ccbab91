// Every structure: detected, computed by its own way, and exact in what is exact.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/server/compute/matrix_exp/structured_cases.h"

namespace attend::compute {
namespace {

using testing::HasSubstr;

template <typename T>
class StructuresTest : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(StructuresTest, ElementTypes);

template <typename T>
constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

TYPED_TEST(StructuresTest, AllKindsSizesAndNormsAgreeWithQuadruplePrecision) {
  for (Kind kind : kAllKinds) {
    for (int64_t n : {2, 3, 5, 17, 65}) {
      for (double scale : {1e-9, 1e-3, 0.5, 5.0, 40.0}) {
        if (n > 17 && scale != 0.5 && scale != 5.0) continue;  // the oracle is slow
        SCOPED_TRACE(NameOf(kind, n, scale));
        const auto a = Structured<TypeParam>(kind, n, scale, static_cast<uint32_t>(n));
        const std::vector<double> times = {1.0, 0.25};
        const Outcome<TypeParam> outcome = Exponentiate(n, a, times);
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        for (size_t k = 0; k < times.size(); ++k) {
          const MatrixExpReport& report = outcome.reports[k];
          EXPECT_EQ(report.structure, StructureOf(kind));
          EXPECT_NEAR(report.norm1, NormOne(n, a) * times[k], 1e-6 * report.norm1);
          const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, times[k]), 4);
          const double error = RelativeError(n, outcome.result.data() + k * n * n, expected);
          // The condition is at most the norm for normal matrices, and some times that here for triangular ones, whose
          // departure from normality grows with the norm; sums of n terms add sqrt(n) units.
          const double condition = kind == Kind::kUpper || kind == Kind::kLower ? 10 : 1;
          EXPECT_LE(error, 4 * condition * (4 + std::sqrt(n) + report.norm1) * kUnit<TypeParam>);
          EXPECT_LE(error, report.error_bound);
        }
        EXPECT_EQ(Exponentiate(n, a, times, StructureOf(kind)).result, outcome.result);
      }
    }
  }
}

TYPED_TEST(StructuresTest, LargeMatricesOfSeveralTilesAgreeWithTheGeneralWay) {
  for (Kind kind : {Kind::kSkew, Kind::kSymmetric, Kind::kUpper, Kind::kLower}) {
    const int64_t n = 300;
    SCOPED_TRACE(NameOf(kind, n, 2));
    const auto a = Structured<TypeParam>(kind, n, 2.0, 5);
    const Outcome<TypeParam> own = Exponentiate(n, a);
    const Outcome<TypeParam> general = Exponentiate(n, a, {1.0}, MatrixStructure::kGeneral);
    ASSERT_TRUE(own.status.ok() && general.status.ok()) << own.status << general.status;
    EXPECT_EQ(own.reports[0].structure, StructureOf(kind));
    const double tolerance = 8 * (4 + std::sqrt(n) + own.reports[0].norm1) * kUnit<TypeParam>;
    EXPECT_LE(RelativeError(n, own.result.data(), general.result), tolerance);
  }
}

TYPED_TEST(StructuresTest, SymmetricResultsAreExactlySymmetric) {
  for (int64_t n : {2, 3, 17, 64, 129}) {
    const Outcome<TypeParam> outcome = Exponentiate(n, Structured<TypeParam>(Kind::kSymmetric, n, 3.0, 7));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < i; ++j) ASSERT_EQ(outcome.result[i * n + j], outcome.result[j * n + i]) << n;
    }
  }
}

double Orthogonality(int64_t n, const auto* r) {
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      long double sum = i == j ? -1 : 0;
      for (int64_t k = 0; k < n; ++k) sum += static_cast<long double>(r[k * n + i]) * r[k * n + j];
      largest = std::max(largest, static_cast<double>(std::fabs(sum)));
    }
  }
  return largest;
}

TYPED_TEST(StructuresTest, SkewSymmetricResultsAreOrthogonalAtAnyNorm) {
  for (int64_t n : {2, 3, 5, 17, 64, 65, 129}) {
    for (double scale : {1e-8, 1.0, 1e3, 1e9, 1e30}) {
      SCOPED_TRACE(NameOf(Kind::kSkew, n, scale));
      const Outcome<TypeParam> outcome = Exponentiate(n, Structured<TypeParam>(Kind::kSkew, n, scale, 3), {1.0, -7.0});
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      for (size_t k = 0; k < 2; ++k) {
        const double error = Orthogonality(n, outcome.result.data() + k * n * n);
        const double tolerance = static_cast<double>(n) * 4 * std::numeric_limits<TypeParam>::epsilon();
        EXPECT_LE(error, tolerance);
        // Measured in double, with the rounding of n products.
        EXPECT_NEAR(outcome.reports[k].orthogonality_error, error, 4 * (1 + std::sqrt(n)) * kUnit<double>);
      }
    }
  }
}

TYPED_TEST(StructuresTest, SkewSymmetricMatricesOfLowRankStayOrthogonal) {
  // Many zero singular values, one of which may be the row that odd sizes lack.
  for (int64_t n : {3, 7, 12, 33}) {
    std::vector<TypeParam> a(n * n, TypeParam{0});
    a[n - 1] = TypeParam{2};
    a[(n - 1) * n] = TypeParam{-2};
    a[1] = TypeParam{1e-6};
    a[n] = -TypeParam{1e-6};
    const Outcome<TypeParam> outcome = Exponentiate(n, a, {1.0, 1e9});
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_LE(RelativeError(n, outcome.result.data(), QuadExp(n, ToQuad(a.data(), n, 1), 0)), 40 * kUnit<TypeParam>);
    const double tolerance = static_cast<double>(n) * 4 * std::numeric_limits<TypeParam>::epsilon();
    EXPECT_LE(Orthogonality(n, outcome.result.data() + n * n), tolerance) << n;
  }
}

TYPED_TEST(StructuresTest, TriangularDiagonalsAreExact) {
  for (Kind kind : {Kind::kUpper, Kind::kLower}) {
    for (int64_t n : {2, 5, 17, 129}) {
      auto a = Structured<TypeParam>(kind, n, 1.0, 21);
      for (int64_t i = 0; i < n; ++i) a[i * n + i] = static_cast<TypeParam>(-1000.0 * i * i / (n * n) + 3);
      const Outcome<TypeParam> outcome = Exponentiate(n, a);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      EXPECT_EQ(outcome.reports[0].structure, MatrixStructure::kTriangular);
      for (int64_t i = 0; i < n; ++i) {
        const auto expected = static_cast<TypeParam>(std::exp(static_cast<long double>(a[i * n + i])));
        EXPECT_EQ(outcome.result[i * n + i], expected) << NameOf(kind, n, 1) << " entry " << i;
        for (int64_t j = 0; j < i; ++j) {
          EXPECT_EQ(outcome.result[kind == Kind::kUpper ? i * n + j : j * n + i], 0);
        }
      }
    }
  }
}

TYPED_TEST(StructuresTest, DiagonalsAreExactAtEveryScale) {
  const std::vector<double> exponents = {0, 1, -1, 80, -80, 1e-30, -1e30, 700, 709.5, -745, 88.5, -103};
  for (double x : exponents) {
    std::vector<TypeParam> a = {1, 0, 0, static_cast<TypeParam>(x)};
    const Outcome<TypeParam> outcome = Exponentiate(2, a);
    const auto expected = static_cast<TypeParam>(std::exp(static_cast<long double>(a[3])));
    if (std::isinf(expected)) {
      EXPECT_EQ(outcome.status.code(), absl::StatusCode::kOutOfRange) << x;
    } else {
      EXPECT_EQ(outcome.result[3], expected) << x;
      EXPECT_EQ(outcome.result[1], 0);
    }
  }
}

TYPED_TEST(StructuresTest, InverseTimesGiveTheIdentity) {
  for (Kind kind : {Kind::kGeneral, Kind::kSkew, Kind::kSymmetric, Kind::kUpper, Kind::kLower}) {
    for (int64_t n : {2, 5, 17}) {
      const auto a = Structured<TypeParam>(kind, n, 1.0, 12);
      const Outcome<TypeParam> outcome = Exponentiate(n, a, {1.0, -1.0});
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      const TypeParam* there = outcome.result.data();
      const TypeParam* back = there + n * n;
      const double condition = NormOne(n, std::vector<TypeParam>(there, there + n * n)) *
                               NormOne(n, std::vector<TypeParam>(back, back + n * n));
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = i == j ? -1 : 0;
          for (int64_t k = 0; k < n; ++k) sum += static_cast<double>(there[i * n + k]) * back[k * n + j];
          EXPECT_LE(std::fabs(sum), 20 * (1 + std::sqrt(n)) * condition * kUnit<TypeParam>) << NameOf(kind, n, 1);
        }
      }
    }
  }
}

TYPED_TEST(StructuresTest, NamedStructuresThatDoNotHoldAreRefusedByMatrixAndEntry) {
  const std::vector<TypeParam> a = {1, 0, 0, 1, /**/ 0, 2, TypeParam{-2.5}, 0};
  const std::pair<MatrixStructure, std::string> cases[] = {
      {MatrixStructure::kDiagonal, "matrix 1 of a with entry (0, 1) = 2"},
      {MatrixStructure::kTriangular, "matrix 1 of a with entry (1, 0) = -2.5 and entry (0, 1) = 2"},
      {MatrixStructure::kSymmetric, "matrix 1 of a with entry (1, 0) = -2.5 and entry (0, 1) = 2"},
      {MatrixStructure::kSkewSymmetric, "matrix 0 of a with entry (0, 0) = 1"}};
  for (const auto& [structure, message] : cases) {
    const Outcome<TypeParam> outcome = Exponentiate(2, a, {1.0}, structure);
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(outcome.status.message()), HasSubstr(message));
  }
}

TYPED_TEST(StructuresTest, ANamedStructureIsUsedAlsoWhereACheaperOneHolds) {
  const std::vector<TypeParam> identity = {1, 0, 0, 1};
  for (auto structure : {MatrixStructure::kGeneral, MatrixStructure::kSymmetric, MatrixStructure::kTriangular}) {
    const Outcome<TypeParam> outcome = Exponentiate(2, identity, {1.0}, structure);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.reports[0].structure, structure);
    EXPECT_NEAR(outcome.result[0], std::exp(1.0), 8 * kUnit<TypeParam>);
    EXPECT_EQ(outcome.result[1], 0);
  }
}

TYPED_TEST(StructuresTest, ExtremeNormsNeitherHangNorGiveNaN) {
  const double largest = std::numeric_limits<TypeParam>::max();
  for (Kind kind : kAllKinds) {
    for (int64_t n : {2, 3, 8, 17}) {
      for (double scale : {largest / 8, 1e30, 1e5, 1e-30, 1e-320}) {
        for (double time : {1.0, -1.0, 1e308, 1e-308, 5e-324}) {
          SCOPED_TRACE(NameOf(kind, n, scale) + " time " + std::to_string(time));
          const auto a = Structured<TypeParam>(kind, n, scale, 2);
          bool finite = true;
          for (TypeParam x : a) finite = finite && std::isfinite(x);
          if (!finite) continue;
          const Outcome<TypeParam> outcome = Exponentiate(n, a, {time});
          if (!outcome.status.ok()) {
            EXPECT_EQ(outcome.status.code(), absl::StatusCode::kOutOfRange) << outcome.status;
            EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("norm"));
            continue;
          }
          for (TypeParam x : outcome.result) ASSERT_TRUE(std::isfinite(x));
          ASSERT_TRUE(std::isfinite(outcome.reports[0].error_bound));
          ASSERT_TRUE(std::isfinite(outcome.reports[0].norm1));
          if (kind == Kind::kSkew) {
            EXPECT_LE(Orthogonality(n, outcome.result.data()), n * 4 * std::numeric_limits<TypeParam>::epsilon());
          }
        }
      }
    }
  }
}

TEST(MatrixExpStructures, SymmetricNearAMultipleOfTheIdentity) {
  for (double multiple : {30.0, -30.0, 0.3}) {
    for (int64_t n : {2, 8, 33, 65}) {
      const std::vector<double> normal = Normal<double>(n, 1e-7, 9);
      std::vector<double> a(n * n);
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) a[i * n + j] = normal[i * n + j] + normal[j * n + i] + (i == j ? multiple : 0);
      }
      const Outcome<double> outcome = Exponentiate(n, a, {1.0}, MatrixStructure::kSymmetric);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      const double error = RelativeError(n, outcome.result.data(), QuadExp(n, ToQuad(a.data(), n, 1), 0));
      EXPECT_LE(error, outcome.reports[0].error_bound) << n << " " << multiple;
      // The multiple costs roundings of exp and of the result alone.
      EXPECT_LE(error, 8 * 1.1e-16) << n << " " << multiple;
    }
  }
}

}  // namespace
}  // namespace attend::compute
