// Whether a row-stochastic matrix is exp of a generator. Pure functions, thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_EMBEDDING_H_
#define ATTEND_SERVER_COMPUTE_LIE_EMBEDDING_H_

#include <complex>
#include <cstdint>
#include <string>
#include <vector>

#include "server/compute/gemm.h"

namespace attend::compute {

enum class Embeddability {
  kNotStochastic,  // the question does not arise
  kEmbeddable,     // the principal logarithm is a generator, to within `tolerance`
  kNotEmbeddable,  // a condition that every exp of a generator meets is violated
  kUndecided,      // another branch of the logarithm may be a generator, or rounding hides the answer
};

struct Embedding {
  Embeddability verdict = Embeddability::kUndecided;
  std::string reason;    // a sentence
  double tolerance = 0;  // how much of an off-diagonal entry of the logarithm may be rounding
};

// Conditions that every exp of a generator meets, on s [n, n] row-stochastic (to within `row_sum_error`) with these
// eigenvalues. NotEmbeddable or Undecided; the latter with an empty reason where all are met:
//   no diagonal entry is 0 (Levy);  i to j and j to k imply i to k, as no entry of exp(tG) changes from 0 (Levy 1951);
//   det s > 0 (Kingman 1962);  det s <= prod s_ii (Goodman 1970);
//   negative eigenvalues have even multiplicity (Elfving 1937; two within sqrt(roundoff) count as equal: undecided);
//   |lambda| <= exp(-|arg lambda| tan(pi / n)) (Runnenberg 1962).
// `unit` is the roundoff of the entries of s: eigenvalues that 4 n of it could move to 0 have no sign, and the last two
// conditions hold to within what it may do (to first order, of a matrix not far from normal).
Embedding NecessaryConditions(const Matrix<const double>& s, const std::vector<std::complex<double>>& eigenvalues,
                              double unit);

// What the principal logarithm [n, n] says where it exists and the conditions above are met. `unit` is the roundoff of
// the entries of s, `residual` ||exp(log) - s||_1 / ||s||_1. Where the logarithm is no generator: not embeddable if no
// other real logarithm could be one: with det s > exp(-pi), with min s_ii > 1/2 (Cuthbert 1972 and 1973), or where all
// eigenvalues are real, positive and distinct (Culver 1966).
Embedding JudgeLogarithm(const Matrix<const double>& s, const std::vector<std::complex<double>>& eigenvalues,
                         const Matrix<const double>& log, double unit, double residual);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_EMBEDDING_H_
