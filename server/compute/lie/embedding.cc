#include "server/compute/lie/embedding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

#include "absl/strings/str_cat.h"

namespace attend::compute {
namespace {

using Complex = std::complex<double>;
using Reason = std::optional<std::string>;

constexpr double kRoundoff = std::numeric_limits<double>::epsilon() / 2;

Reason ZeroOnDiagonal(const Matrix<const double>& s) {
  for (int64_t i = 0; i < s.rows; ++i) {
    if (s.row(i)[i] == 0) return absl::StrCat("entry (", i, ", ", i, ") is 0, and exp(tG) has no zero on its diagonal");
  }
  return std::nullopt;
}

// Looks only from rows that have zeros: a dense matrix costs O(n^2).
Reason BrokenPath(const Matrix<const double>& s) {
  for (int64_t i = 0; i < s.rows; ++i) {
    std::vector<int64_t> unreached;
    for (int64_t k = 0; k < s.cols; ++k) {
      if (s.row(i)[k] == 0) unreached.push_back(k);
    }
    for (int64_t j = 0; j < s.cols && !unreached.empty(); ++j) {
      if (i == j || s.row(i)[j] == 0) continue;
      for (const int64_t k : unreached) {
        if (s.row(j)[k] == 0) continue;
        return absl::StrCat("entry (", i, ", ", k, ") is 0 though ", i, " reaches ", k, " through ", j,
                            ", which exp(tG) never has");
      }
    }
  }
  return std::nullopt;
}

Reason EqualRows(const Matrix<const double>& s) {
  for (int64_t i = 0; i < s.rows; ++i) {
    for (int64_t j = i + 1; j < s.rows; ++j) {
      if (!std::equal(s.row(i), s.row(i) + s.cols, s.row(j))) continue;
      return absl::StrCat("rows ", i, " and ", j, " are equal: the determinant is 0, and exp of a matrix has none");
    }
  }
  return std::nullopt;
}

double LogModuli(const std::vector<Complex>& eigenvalues) {
  double sum = 0;
  for (const Complex& value : eigenvalues) sum += std::log(std::abs(value));
  return sum;
}

// det s <= prod s_ii, beyond what rounding leaves of the eigenvalues' logarithms.
Reason LargeDeterminant(const Matrix<const double>& s, const std::vector<Complex>& eigenvalues, double unit) {
  double diagonal = 0, rounding = 0;
  for (int64_t i = 0; i < s.rows; ++i) diagonal += std::log(s.row(i)[i]);
  for (const Complex& value : eigenvalues) rounding += 16 * unit * static_cast<double>(s.rows) / std::abs(value);
  const double excess = LogModuli(eigenvalues) - diagonal;
  if (!(excess > rounding + 1e-10)) return std::nullopt;
  return absl::StrCat("the determinant is ", std::exp(excess),
                      " times the product of the diagonal, and at most 1 times it for "
                      "exp of a generator (Goodman)");
}

Reason OutsideRegion(const std::vector<Complex>& eigenvalues, double unit) {
  const auto n = static_cast<double>(eigenvalues.size());
  if (n < 3) return std::nullopt;
  for (const Complex& value : eigenvalues) {
    if (value.imag() == 0) continue;  // at most 1, or negative
    const double bound = std::exp(-std::fabs(std::arg(value)) * std::tan(std::numbers::pi / n));
    if (std::abs(value) <= bound + 1e-8 + 16 * unit * n) continue;
    return absl::StrCat("the eigenvalue ", value.real(), value.imag() < 0 ? " - " : " + ", std::fabs(value.imag()),
                        "i has modulus ", std::abs(value), ", at most ", bound,
                        " for exp of a generator of this size (Runnenberg)");
  }
  return std::nullopt;
}

Embedding NotEmbeddable(std::string reason) { return {Embeddability::kNotEmbeddable, std::move(reason), 0}; }
Embedding Undecided(std::string reason) { return {Embeddability::kUndecided, std::move(reason), 0}; }

// Kingman and Elfving.
std::optional<Embedding> JudgeNegatives(const std::vector<Complex>& eigenvalues) {
  std::vector<double> negatives;
  for (const Complex& value : eigenvalues) {
    if (value.imag() == 0 && value.real() < 0) negatives.push_back(value.real());
  }
  if (negatives.empty()) return std::nullopt;
  std::sort(negatives.begin(), negatives.end());
  if (negatives.size() % 2 == 1) {
    return NotEmbeddable(absl::StrCat("the determinant is negative (", negatives.size(),
                                      " negative eigenvalues, the first ", negatives.front(),
                                      "), not positive (Kingman)"));
  }
  const double equal = std::sqrt(kRoundoff) * static_cast<double>(eigenvalues.size());
  for (size_t i = 0; i < negatives.size(); i += 2) {
    if (negatives[i + 1] - negatives[i] <= equal) continue;
    return NotEmbeddable(absl::StrCat("the negative eigenvalue ", negatives[i], " has odd multiplicity (Elfving)"));
  }
  return Undecided(absl::StrCat("the negative eigenvalue ", negatives.front(),
                                " comes in pairs: only a branch other than the principal one is a real logarithm"));
}

double SmallestModulus(const std::vector<Complex>& eigenvalues) {
  double smallest = std::numeric_limits<double>::infinity();
  for (const Complex& value : eigenvalues) smallest = std::min(smallest, std::abs(value));
  return smallest;
}

// Why no other real logarithm could be a generator; empty where one could.
std::string OnlyPrincipal(const Matrix<const double>& s, const std::vector<Complex>& eigenvalues) {
  if (LogModuli(eigenvalues) > -std::numbers::pi) return "the determinant exceeds exp(-pi)";
  double smallest = 1;
  for (int64_t i = 0; i < s.rows; ++i) smallest = std::min(smallest, s.row(i)[i]);
  if (smallest > 0.5) return "all diagonal entries exceed 1/2";
  std::vector<double> real;
  for (const Complex& value : eigenvalues) {
    if (value.imag() != 0 || value.real() <= 0) return "";
    real.push_back(value.real());
  }
  std::sort(real.begin(), real.end());
  for (size_t i = 0; i + 1 < real.size(); ++i) {
    if (real[i + 1] - real[i] <= std::sqrt(kRoundoff)) return "";
  }
  return "all eigenvalues are real, positive and distinct";
}

}  // namespace

Embedding NecessaryConditions(const Matrix<const double>& s, const std::vector<Complex>& eigenvalues, double unit) {
  if (Reason zero = ZeroOnDiagonal(s)) return NotEmbeddable(*zero);
  if (Reason equal = EqualRows(s)) return NotEmbeddable(*equal);
  if (Reason broken = BrokenPath(s)) return NotEmbeddable(*broken);
  if (!eigenvalues.empty() && SmallestModulus(eigenvalues) <= 4 * unit * static_cast<double>(s.rows)) {
    return Undecided("an eigenvalue is 0 to working precision: the sign of the determinant is lost in rounding");
  }
  if (std::optional<Embedding> negatives = JudgeNegatives(eigenvalues)) return *negatives;
  if (Reason outside = OutsideRegion(eigenvalues, unit)) return NotEmbeddable(*outside);
  if (Reason large = LargeDeterminant(s, eigenvalues, unit)) return NotEmbeddable(*large);
  return Undecided("");
}

Embedding JudgeLogarithm(const Matrix<const double>& s, const std::vector<Complex>& eigenvalues,
                         const Matrix<const double>& log, double unit, double residual) {
  Embedding embedding;
  double smallest = 0;
  for (int64_t i = 0; i < log.rows; ++i) {
    for (int64_t j = 0; j < log.cols; ++j) {
      if (i != j) smallest = std::min(smallest, log.row(i)[j]);
    }
  }
  // First order: the logarithm moves by about s^-1 times what s moves.
  const double amplification = 1 / SmallestModulus(eigenvalues);
  embedding.tolerance = 4 * amplification * (static_cast<double>(s.rows) * unit + residual);
  if (smallest >= -embedding.tolerance) {
    embedding.verdict = embedding.tolerance <= 1e-2 ? Embeddability::kEmbeddable : Embeddability::kUndecided;
    embedding.reason = embedding.verdict == Embeddability::kEmbeddable
                           ? "the principal logarithm is a generator"
                           : "the principal logarithm is a generator, but rounding could be all of its rates";
    return embedding;
  }
  const std::string only = OnlyPrincipal(s, eigenvalues);
  const std::string has = absl::StrCat("the principal logarithm has the off-diagonal entry ", smallest);
  if (only.empty()) {
    embedding.reason = absl::StrCat(has, "; another branch may be a generator");
    return embedding;
  }
  embedding.verdict = Embeddability::kNotEmbeddable;
  embedding.reason = absl::StrCat(has, ", and is the only candidate: ", only);
  return embedding;
}

}  // namespace attend::compute
