// Matrices of every structure, for the tests of this folder. T is float or double.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_STRUCTURED_CASES_H_
#define ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_STRUCTURED_CASES_H_

#include <string>
#include <vector>

#include "tests/server/compute/matrix_exp/exponentiate.h"

namespace attend::compute {

enum class Kind { kGeneral, kGenerator, kSkew, kSymmetric, kUpper, kLower, kDiagonal };

inline constexpr Kind kAllKinds[] = {Kind::kGeneral, Kind::kGenerator, Kind::kSkew,    Kind::kSymmetric,
                                     Kind::kUpper,   Kind::kLower,     Kind::kDiagonal};

inline MatrixStructure StructureOf(Kind kind) {
  constexpr MatrixStructure kStructures[] = {MatrixStructure::kGeneral,       MatrixStructure::kGenerator,
                                             MatrixStructure::kSkewSymmetric, MatrixStructure::kSymmetric,
                                             MatrixStructure::kTriangular,    MatrixStructure::kTriangular,
                                             MatrixStructure::kDiagonal};
  return kStructures[static_cast<int>(kind)];
}

inline std::string NameOf(Kind kind, int64_t n, double scale) {
  constexpr const char* kNames[] = {"general", "generator", "skew", "symmetric", "upper", "lower", "diagonal"};
  return std::string(kNames[static_cast<int>(kind)]) + " n " + std::to_string(n) + " scale " + std::to_string(scale);
}

// Spectral radius or rates about `scale`. n >= 2 has the structure and none that is found before it.
template <typename T>
std::vector<T> Structured(Kind kind, int64_t n, double scale, uint32_t seed) {
  std::vector<T> a = Normal<T>(n, scale, seed);
  for (int64_t i = 0; i < n; ++i) {
    T sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      T& x = a[i * n + j];
      if (kind == Kind::kSkew) x = i == j ? T{0} : i > j ? -a[j * n + i] : x;
      if (kind == Kind::kSymmetric && i > j) x = a[j * n + i];
      if (kind == Kind::kUpper && i > j) x = 0;
      if (kind == Kind::kLower && i < j) x = 0;
      if (kind == Kind::kDiagonal && i != j) x = 0;
      if (kind == Kind::kGenerator && i != j) sum += x = std::fabs(x) / std::sqrt(static_cast<T>(n));
    }
    if (kind == Kind::kGenerator) a[i * n + i] = -sum;
  }
  return a;
}

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_STRUCTURED_CASES_H_
