// Whether a row-stochastic matrix is exp of a generator. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_EMBEDDING_H_
#define ATTEND_SERVER_COMPUTE_LIE_EMBEDDING_H_

#include <complex>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/compute/gemm.h"
#include "server/compute/lie/singular_distance.h"

namespace attend::compute {

enum class Embeddability {
  kNotStochastic,  // the question does not arise
  kEmbeddable,     // the principal logarithm is a generator, to within `tolerance`
  kNotEmbeddable,  // a condition that every exp of a generator meets is violated, beyond what rounding of the matrix
                   // does
  kUndecided,      // another branch of the logarithm may be a generator, or rounding hides the answer
};

struct Embedding {
  Embeddability verdict = Embeddability::kUndecided;
  std::string reason;    // a sentence
  double tolerance = 0;  // how much of an off-diagonal entry of the logarithm may be rounding
};

// A row-stochastic s [n, n], n >= 1, with its eigenvalues. `unit` is the roundoff of its entries.
struct StochasticMatrix {
  Matrix<const double> s;
  const std::vector<std::complex<double>>& eigenvalues;
  double unit = 0;
  const SingularDistance& distance;
};

// Conditions that every exp of a generator meets. NotEmbeddable where one is violated by every matrix within 4 n units
// of roundoff of s; Undecided where one is violated by s alone, and, with an empty reason, where all are met:
//   no diagonal entry is 0 (Levy), as s_ii >= det s;
//   i to j and j to k imply i to k (Levy 1951): with Q = -log det s at least the rate at which any state is left,
//   s_ik >= sum over m of Pois(Q; m) K^m_ik, of which (s s)_ik >= s_ij s_jk leaves something to be seen;
//   det s > 0 (Kingman 1962): no two rows are equal;  det s <= prod s_ii (Goodman 1970);
//   negative eigenvalues have even multiplicity (Elfving 1937): det(s - x I) < 0 for no x <= 0;
//   |lambda| <= exp(-|arg lambda| tan(pi / n)) (Runnenberg 1962), to within 2 unit^(1/3): of eigenvalues that are not
//   more than threefold.
// Errors: those of SingularDistance.
absl::StatusOr<Embedding> NecessaryConditions(const StochasticMatrix& matrix);

// What the principal logarithm [n, n] says where it exists and the conditions above are met. `residual` is
// ||exp(log) - s||_1 / ||s||_1. Tolerance: rounding of s times the integral of 1 / distance(x)^2 over x < 0, which
// bounds what the logarithm moves by (Higham 2008, 11.1). Where the logarithm is no generator: not embeddable if no
// other real logarithm could be one: with det s > exp(-pi), with min s_ii > 1/2 (Cuthbert 1972 and 1973), or where all
// eigenvalues are real, positive and distinct (Culver 1966), each beyond rounding.
absl::StatusOr<Embedding> JudgeLogarithm(const StochasticMatrix& matrix, const Matrix<const double>& log,
                                         double residual);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_EMBEDDING_H_
