#include "server/compute/tridiagonal_merge.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "server/compute/lapack.h"
#include "server/compute/merge_vectors.h"
#include "server/compute/panels.h"

namespace attend::compute {
namespace {

constexpr int64_t kRotationsPerPoll = 64;
constexpr int64_t kPassesPerRoot = 16;  // over the poles: some four iterations, each of several operations

std::vector<Part> PartsOf(const Halves& halves) {
  std::vector<Part> parts(static_cast<size_t>(halves.vectors.rows), Part::kSecond);
  std::fill_n(parts.begin(), halves.first, Part::kFirst);
  return parts;
}

class Merger {
 public:
  Merger(runtime::Executor& executor, const Halves& halves, double beside, double* work)
      : executor_(executor),
        halves_(halves),
        n_(halves.vectors.rows),
        rho_(2 * std::fabs(beside)),
        rows_(PartsOf(halves)),
        z_(work),
        poles_(z_ + n_),
        kept_z_(poles_ + n_),
        improved_z_(kept_z_ + n_),
        panel_(improved_z_ + n_),
        vectors_(halves.vectors, halves.first, panel_ + std::min(kMergePanel, n_) * n_) {
    const double second = std::copysign(std::sqrt(0.5), beside);
    for (int64_t i = 0; i < n_; ++i) {
      const double* row = halves.vectors.row(i);
      z_[i] = i < halves.first ? std::sqrt(0.5) * row[halves.first - 1] : second * row[halves.first];
    }
  }

  absl::Status Run() {
    if (auto done = Deflate(); !done.ok()) return done;
    rows_.Arrange();
    if (kept() > 0) {
      if (auto done = vectors_.Pack(executor_, rows_); !done.ok()) return done;
      for (int64_t k = 0; k < kept(); ++k) {
        poles_[k] = halves_.values[rows_.row(k)];
        kept_z_[k] = z_[rows_.row(k)];
      }
      for (const auto& [from, to] : rows_.moves()) halves_.values[to] = halves_.values[from];
      if (auto done = FindRoots(); !done.ok()) return done;
      if (auto done = ImproveZ(); !done.ok()) return done;
      if (auto done = FormVectors(); !done.ok()) return done;
    }
    std::iota(halves_.order, halves_.order + n_, 0);
    std::stable_sort(halves_.order, halves_.order + n_,
                     [this](int a, int b) { return halves_.values[a] < halves_.values[b]; });
    return absl::OkStatus();
  }

 private:
  int64_t kept() const { return rows_.kept(); }

  std::vector<int> SortedRows() const {
    std::vector<int> second(halves_.order + halves_.first, halves_.order + n_);
    for (int& row : second) row += static_cast<int>(halves_.first);
    std::vector<int> rows(static_cast<size_t>(n_));
    std::merge(halves_.order, halves_.order + halves_.first, second.begin(), second.end(), rows.begin(),
               [this](int a, int b) { return halves_.values[a] < halves_.values[b]; });
    return rows;
  }

  // What the correction does not move beyond rounding stays as it is: rows without a share in it, and, of two with
  // nearly one value, one that a rotation leaves without a share.
  absl::Status Deflate() {
    double largest = 0, largest_z = 0;
    for (int64_t i = 0; i < n_; ++i) {
      largest = std::max(largest, std::fabs(halves_.values[i]));
      largest_z = std::max(largest_z, std::fabs(z_[i]));
    }
    const double tolerance = 4 * std::numeric_limits<double>::epsilon() * std::max(largest, largest_z);
    int64_t rotations = 0;
    int previous = -1;
    for (int row : SortedRows()) {
      if (rho_ * std::fabs(z_[row]) <= tolerance) {
        rows_.Deflate(row);
        continue;
      }
      if (previous >= 0 && !Rotate(previous, row, tolerance)) {
        rows_.Keep(previous);
      } else if (previous >= 0) {
        rows_.Deflate(previous);
        if (++rotations % kRotationsPerPoll == 0) {
          if (auto wanted = executor_.cancellation().Check(); !wanted.ok()) return wanted;
        }
      }
      previous = row;
    }
    if (previous >= 0) rows_.Keep(previous);
    return absl::OkStatus();
  }

  // Whether it could: row a then has no share in the correction.
  bool Rotate(int a, int b, double tolerance) {
    double* const values = halves_.values;
    const double length = std::hypot(z_[a], z_[b]);
    const double c = z_[b] / length, s = -z_[a] / length;
    if (std::fabs((values[b] - values[a]) * c * s) > tolerance) return false;
    z_[b] = length;
    z_[a] = 0;
    rows_.Mix(a, b);
    TurnRows(n_, c, s, halves_.vectors.row(a), halves_.vectors.row(b));
    const double value = values[a];
    values[a] = value * c * c + values[b] * s * s;
    values[b] = value * s * s + values[b] * c * c;
    return true;
  }

  // values[j], and the distances of the poles to it in row j.
  absl::Status FindRoots() {
    const int64_t length = PanelLength(kPassesPerRoot * kept());
    const auto flops = static_cast<double>(kPassesPerRoot * 4 * length * kept());
    return executor_.ForEachTile((kept() + length - 1) / length, flops, [&](int64_t tile, int) {
      for (int64_t j = tile * length; j < std::min(kept(), (tile + 1) * length); ++j) {
        if (!lapack::SecularRoot(kept(), j, poles_, kept_z_, rho_, halves_.vectors.row(j), &halves_.values[j])) {
          return absl::InternalError("a root of the secular equation did not converge");
        }
      }
      return absl::OkStatus();
    });
  }

  // The z for which the roots found are the exact ones: their vectors are orthogonal.
  absl::Status ImproveZ() {
    if (kept() <= 2) return absl::OkStatus();
    return ForEachPanel(executor_, kept(), kept(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) improved_z_[i] = halves_.vectors.row(i)[i];
      for (int64_t j = 0; j < kept(); ++j) {
        const double* gaps = halves_.vectors.row(j);
        const double pole = poles_[j];
        for (int64_t i = begin; i < std::min(j, end); ++i) improved_z_[i] *= gaps[i] / (poles_[i] - pole);
        for (int64_t i = std::max(begin, j + 1); i < end; ++i) improved_z_[i] *= gaps[i] / (poles_[i] - pole);
      }
      for (int64_t i = begin; i < end; ++i) {
        improved_z_[i] = std::copysign(std::sqrt(std::fabs(improved_z_[i])), kept_z_[i]);
      }
    });
  }

  absl::Status FormVectors() {
    for (int64_t begin = 0; begin < kept(); begin += kMergePanel) {
      const Matrix<double> panel(panel_, std::min(kMergePanel, kept() - begin), kept());
      auto done = ForEachPanel(executor_, panel.rows, 4 * kept(), [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) Coefficients(halves_.vectors.row(begin + i), panel.row(i));
      });
      if (!done.ok()) return done;
      if (done = vectors_.Multiply(executor_, panel, begin); !done.ok()) return done;
    }
    return absl::OkStatus();
  }

  // The vector of one root in the basis of the packed rows; destroys its gaps.
  void Coefficients(double* gaps, double* coefficients) const {
    double norm = 1;
    if (kept() > 2) {  // for fewer, LAPACK gives the vector in place of the gaps
      for (int64_t k = 0; k < kept(); ++k) gaps[k] = improved_z_[k] / gaps[k];
      norm = NormOf(kept(), gaps);
    }
    for (int64_t k = 0; k < kept(); ++k) coefficients[k] = gaps[rows_.packed(k)] / norm;
  }

  runtime::Executor& executor_;
  const Halves& halves_;
  const int64_t n_;
  const double rho_;
  MergeRows rows_;
  double *const z_, *const poles_, *const kept_z_, *const improved_z_;  // [n]
  double* const panel_;                                                 // [min(kMergePanel, n), kept]
  PackedVectors vectors_;
};

}  // namespace

int64_t MergeWork(int64_t n) { return PackedVectors::Work(n, n, n / 2) + std::min(kMergePanel, n) * n + 4 * n; }

absl::Status Merge(runtime::Executor& executor, const Halves& halves, double beside, double* work) {
  return Merger(executor, halves, beside, work).Run();
}

}  // namespace attend::compute
