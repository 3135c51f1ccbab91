#include "server/compute/lie/embedding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attend::compute {
namespace {

using Complex = std::complex<double>;

// How far matrices are that s may be the rounding of, in the 2-norm, and that its eigenvalues may be those of.
double RoundingOf(const StochasticMatrix& m) { return 4 * m.unit * static_cast<double>(m.s.rows); }

// By how much an eigenvalue may move that is no more than threefold.
double EigenvalueRounding(const StochasticMatrix& m) { return 2 * std::cbrt(m.unit) + RoundingOf(m); }

// log |det s|, and by how much rounding of s moves it at most: infinite where it may make s singular.
struct Determinant {
  double log = 0;
  double error = 0;
};

Determinant DeterminantOf(const StochasticMatrix& m, double distance) {
  Determinant result;
  for (const Complex& value : m.eigenvalues) result.log += std::log(std::abs(value));
  const double rounding = RoundingOf(m);
  result.error = distance > 2 * rounding ? 2 * static_cast<double>(m.s.rows) * rounding / distance
                                         : std::numeric_limits<double>::infinity();
  return result;
}

// A condition that s violates, and whether all that round to s do.
struct Violation {
  std::string reason;
  bool proven = false;
};
using MaybeViolation = std::optional<Violation>;

MaybeViolation ZeroOnDiagonal(const StochasticMatrix& m, const Determinant& det) {
  for (int64_t i = 0; i < m.s.rows; ++i) {
    if (m.s.row(i)[i] != 0) continue;
    return Violation{absl::StrCat("entry (", i, ", ", i, ") is 0, and exp(tG) has no zero on its diagonal"),
                     det.log - det.error > std::log(RoundingOf(m))};
  }
  return std::nullopt;
}

// A lower bound of log p_ik(1) where p_ik(2) is at least `twice`: uniformization at the rate Q >= -trace G has the
// terms Pois(Q; m) of the one and Pois(2 Q; m) of the other, in the ratio of e^Q 2^-m; at most half of `twice` lies
// beyond the m where the rest of Pois(2 Q) falls below that.
double LogOfOneStep(double rate, double twice) {
  constexpr int kMostTerms = 4000;
  double log_term = -2 * rate, seen = std::exp(log_term);
  int m = 0;
  while (1 - seen > twice / 2 && m < kMostTerms) {
    ++m;
    log_term += std::log(2 * rate / m);
    seen += std::exp(log_term);
  }
  return m < kMostTerms ? rate - m * std::numbers::ln2 + std::log(twice / 2) : -std::numeric_limits<double>::infinity();
}

// Looks only from rows that have zeros: a dense matrix costs O(n^2). The first proven one, or the first.
MaybeViolation BrokenPath(const StochasticMatrix& m, const Determinant& det) {
  const double rounding = RoundingOf(m);
  const Matrix<const double>& s = m.s;
  MaybeViolation found;
  for (int64_t i = 0; i < s.rows; ++i) {
    std::vector<int64_t> unreached;
    for (int64_t k = 0; k < s.cols; ++k) {
      if (s.row(i)[k] == 0) unreached.push_back(k);
    }
    for (int64_t j = 0; j < s.cols && !unreached.empty(); ++j) {
      if (i == j || s.row(i)[j] == 0) continue;
      for (const int64_t k : unreached) {
        if (s.row(j)[k] == 0) continue;
        const double twice = s.row(i)[j] * s.row(j)[k] - 4 * rounding;
        const bool proven = std::isfinite(det.error) && twice > 0 &&
                            LogOfOneStep(std::max(det.error - det.log, 1e-300), twice) > std::log(rounding);
        if (found && !proven) continue;
        found = Violation{absl::StrCat("entry (", i, ", ", k, ") is 0 though ", i, " reaches ", k, " through ", j,
                                       ", which exp(tG) never has"),
                          proven};
        if (proven) return found;
      }
    }
  }
  return found;
}

// Never proven: s is singular, but for rounding.
MaybeViolation EqualRows(const StochasticMatrix& m) {
  for (int64_t i = 0; i < m.s.rows; ++i) {
    for (int64_t j = i + 1; j < m.s.rows; ++j) {
      if (!std::equal(m.s.row(i), m.s.row(i) + m.s.cols, m.s.row(j))) continue;
      return Violation{
          absl::StrCat("rows ", i, " and ", j, " are equal to working precision: the determinant, which is ",
                       "not 0 for any exp, is lost in rounding"),
          false};
    }
  }
  return std::nullopt;
}

// Kingman and Elfving. Of an odd number of eigenvalues below x <= 0, which only singular s - x I change, one has odd
// multiplicity.
absl::StatusOr<MaybeViolation> OddNegatives(const StochasticMatrix& m, double distance) {
  std::vector<double> negatives;
  for (const Complex& value : m.eigenvalues) {
    if (value.imag() == 0 && value.real() < 0) negatives.push_back(value.real());
  }
  if (negatives.empty()) return MaybeViolation();
  std::sort(negatives.begin(), negatives.end());
  const double rounding = RoundingOf(m);
  const bool odd = negatives.size() % 2 == 1;
  Violation kingman{absl::StrCat("the determinant is negative (", negatives.size(), " negative eigenvalues, the first ",
                                 negatives.front(), "), not positive (Kingman)"),
                    true};
  if (odd && distance > rounding) return kingman;
  // The widest gaps first; each costs a decomposition.
  constexpr size_t kMostLooks = 3;
  std::vector<std::pair<double, size_t>> gaps;
  for (size_t i = 0; i < negatives.size(); i += 2) {
    gaps.emplace_back((i + 1 < negatives.size() ? negatives[i + 1] : 0) - negatives[i], i);
  }
  std::sort(gaps.rbegin(), gaps.rend());
  for (size_t look = 0; look < std::min(gaps.size(), kMostLooks); ++look) {
    const auto& [gap, i] = gaps[look];
    if (gap <= 2 * rounding) break;  // distance(x) is at most gap / 2
    const absl::StatusOr<double> there = m.distance.At(negatives[i] + gap / 2);
    if (!there.ok()) return there.status();
    if (*there <= rounding) continue;
    return Violation{absl::StrCat("the negative eigenvalue ", negatives[i], " has odd multiplicity (Elfving)"), true};
  }
  if (odd)
    return Violation{"an eigenvalue is 0 to working precision: the determinant's sign is lost in rounding", false};
  return Violation{absl::StrCat("the negative eigenvalue ", negatives.front(),
                                " comes in pairs: only a branch other than the principal one is a real logarithm"),
                   false};
}

// det s <= prod s_ii.
MaybeViolation LargeDeterminant(const StochasticMatrix& m, const Determinant& det) {
  double diagonal = 0;
  for (int64_t i = 0; i < m.s.rows; ++i) diagonal += std::log(m.s.row(i)[i] + RoundingOf(m));
  const double excess = det.log - diagonal;
  if (!(excess > det.error + 1e-10)) return std::nullopt;
  return Violation{absl::StrCat("the determinant is ", std::exp(excess),
                                " times the product of the diagonal, and at most 1 times it for exp of a generator "
                                "(Goodman)"),
                   true};
}

MaybeViolation OutsideRegion(const StochasticMatrix& m) {
  const auto n = static_cast<double>(m.eigenvalues.size());
  if (n < 3) return std::nullopt;
  for (const Complex& value : m.eigenvalues) {
    if (value.imag() == 0) continue;  // at most 1, or negative
    const double bound = std::exp(-std::fabs(std::arg(value)) * std::tan(std::numbers::pi / n));
    // Around an eigenvalue near 0 the bound turns with its argument.
    const double rounding = EigenvalueRounding(m);
    if (std::abs(value) <= bound + 8 * rounding) continue;
    return Violation{absl::StrCat("the eigenvalue ", value.real(), value.imag() < 0 ? " - " : " + ",
                                  std::fabs(value.imag()), "i has modulus ", std::abs(value), ", at most ", bound,
                                  " for exp of a generator of this size (Runnenberg)"),
                     true};
  }
  return std::nullopt;
}

Embedding NotEmbeddable(std::string reason) { return {Embeddability::kNotEmbeddable, std::move(reason), 0}; }
Embedding Undecided(std::string reason) { return {Embeddability::kUndecided, std::move(reason), 0}; }

// Why no other real logarithm could be a generator, whatever rounds to s; empty where one could.
std::string OnlyPrincipal(const StochasticMatrix& m, const Determinant& det) {
  if (det.log - det.error > -std::numbers::pi) return "the determinant exceeds exp(-pi)";
  double smallest = 1;
  for (int64_t i = 0; i < m.s.rows; ++i) smallest = std::min(smallest, m.s.row(i)[i]);
  if (smallest > 0.5 + RoundingOf(m)) return "all diagonal entries exceed 1/2";
  const double rounding = EigenvalueRounding(m);
  std::vector<double> real{0};
  for (const Complex& value : m.eigenvalues) {
    if (value.imag() != 0) return "";
    real.push_back(value.real());
  }
  std::sort(real.begin(), real.end());
  for (size_t i = 0; i + 1 < real.size(); ++i) {
    if (real[i] < 0 || real[i + 1] - real[i] <= 2 * rounding) return "";
  }
  return "all eigenvalues are real, positive and distinct";
}

// The integral of 1 / distance(x)^2 over x < 0, roughly from above: between points in the ratio of 4 the lesser
// distance counts, and beside each eigenvalue that is near the negative axis a peak of its width.
absl::StatusOr<double> Sensitivity(const StochasticMatrix& m, double distance) {
  constexpr double kRatio = 4;
  constexpr int kMostLooks = 8;
  constexpr double kFar = 4;  // ||s||_2 is at most sqrt(n), mostly near 1
  double sum = 0, at = 0, here = distance;
  double next = std::max(distance, 1e-6);
  for (int look = 0; look < kMostLooks && at < kFar; ++look) {
    const absl::StatusOr<double> there = m.distance.At(-next);
    if (!there.ok()) return there.status();
    const double least = std::min(here, *there);
    sum += (next - at) / (least * least);
    at = next;
    here = *there;
    next *= kRatio;
  }
  sum += 1 / std::max(here, 1e-300);
  double nearest = std::numeric_limits<double>::infinity();
  const Complex* peak = nullptr;
  for (const Complex& value : m.eigenvalues) {
    if (value.real() >= 0 || std::fabs(value.imag()) >= nearest) continue;
    nearest = std::fabs(value.imag());
    peak = &value;
  }
  if (peak == nullptr) return sum;
  const absl::StatusOr<double> there = m.distance.At(peak->real());
  if (!there.ok()) return there.status();
  return sum + std::numbers::pi / std::max(*there, 1e-300);
}

}  // namespace

absl::StatusOr<Embedding> NecessaryConditions(const StochasticMatrix& matrix) {
  const absl::StatusOr<double> distance = matrix.distance.At(0);
  if (!distance.ok()) return distance.status();
  const Determinant det = DeterminantOf(matrix, *distance);
  std::vector<MaybeViolation> violations = {ZeroOnDiagonal(matrix, det), EqualRows(matrix), BrokenPath(matrix, det)};
  absl::StatusOr<MaybeViolation> odd = OddNegatives(matrix, *distance);
  if (!odd.ok()) return odd.status();
  violations.push_back(*std::move(odd));
  violations.push_back(OutsideRegion(matrix));
  violations.push_back(LargeDeterminant(matrix, det));
  for (const MaybeViolation& each : violations) {
    if (each && each->proven) return NotEmbeddable(each->reason);
  }
  for (const MaybeViolation& each : violations) {
    if (each) return Undecided(each->reason);
  }
  if (!std::isfinite(det.error)) {
    return Undecided("an eigenvalue is 0 to working precision: the sign of the determinant is lost in rounding");
  }
  return Undecided("");
}

absl::StatusOr<Embedding> JudgeLogarithm(const StochasticMatrix& matrix, const Matrix<const double>& log,
                                         double residual) {
  const absl::StatusOr<double> distance = matrix.distance.At(0);
  if (!distance.ok()) return distance.status();
  const absl::StatusOr<double> sensitivity = Sensitivity(matrix, *distance);
  if (!sensitivity.ok()) return sensitivity.status();
  Embedding embedding;
  double smallest = 0;
  for (int64_t i = 0; i < log.rows; ++i) {
    for (int64_t j = 0; j < log.cols; ++j) {
      if (i != j) smallest = std::min(smallest, log.row(i)[j]);
    }
  }
  embedding.tolerance = *sensitivity * (RoundingOf(matrix) + residual);
  if (smallest >= -embedding.tolerance) {
    embedding.verdict = embedding.tolerance <= 1e-2 ? Embeddability::kEmbeddable : Embeddability::kUndecided;
    embedding.reason = embedding.verdict == Embeddability::kEmbeddable
                           ? "the principal logarithm is a generator"
                           : "the principal logarithm is a generator, but rounding could be all of its rates";
    return embedding;
  }
  const std::string only = OnlyPrincipal(matrix, DeterminantOf(matrix, *distance));
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
