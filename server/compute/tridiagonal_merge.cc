#include "server/compute/tridiagonal_merge.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "server/compute/lapack.h"
#include "server/compute/panels.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

constexpr int64_t kPanelRows = 512;  // of new vectors, made at a time
constexpr int64_t kRotationsPerPoll = 64;
constexpr int64_t kPassesPerRoot = 16;  // over the poles: some four iterations, each of several operations

enum Part { kFirst = 0, kBoth = 1, kSecond = 2 };  // where a vector has entries

class Merger {
 public:
  Merger(runtime::Executor& executor, const Halves& halves, double beside, double* work)
      : executor_(executor),
        halves_(halves),
        n_(halves.vectors.rows),
        rho_(2 * std::fabs(beside)),
        parts_(Count(halves.vectors.rows)) {
    top_ = work;
    bottom_ = top_ + halves.first * halves.first;
    panel_ = bottom_ + (n_ - halves.first) * (n_ - halves.first);
    z_ = panel_ + std::min(kPanelRows, n_) * n_;
    poles_ = z_ + n_;
    kept_z_ = poles_ + n_;
    improved_z_ = kept_z_ + n_;
    const double second = std::copysign(std::sqrt(0.5), beside);
    for (int64_t i = 0; i < n_; ++i) {
      const double* row = halves.vectors.row(i);
      z_[i] = i < halves.first ? std::sqrt(0.5) * row[halves.first - 1] : second * row[halves.first];
      parts_[Count(i)] = i < halves.first ? kFirst : kSecond;
    }
  }

  absl::Status Run() {
    if (auto done = Deflate(); !done.ok()) return done;
    if (!kept_.empty()) {
      if (auto done = Pack(); !done.ok()) return done;
      if (auto done = MoveDeflated(); !done.ok()) return done;
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
  static size_t Count(int64_t i) { return static_cast<size_t>(i); }
  int64_t kept() const { return static_cast<int64_t>(kept_.size()); }
  int64_t first() const { return halves_.first; }

  std::vector<int> SortedRows() const {
    std::vector<int> second(halves_.order + first(), halves_.order + n_);
    for (int& row : second) row += static_cast<int>(first());
    std::vector<int> rows(Count(n_));
    std::merge(halves_.order, halves_.order + first(), second.begin(), second.end(), rows.begin(),
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
        deflated_.push_back(row);
        continue;
      }
      if (previous >= 0) {
        const bool rotated = Rotate(previous, row, tolerance);
        (rotated ? deflated_ : kept_).push_back(previous);
        if (rotated && ++rotations % kRotationsPerPoll == 0) {
          if (auto wanted = executor_.cancellation().Check(); !wanted.ok()) return wanted;
        }
      }
      previous = row;
    }
    if (previous >= 0) kept_.push_back(previous);
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
    if (parts_[Count(a)] != parts_[Count(b)]) parts_[Count(a)] = parts_[Count(b)] = kBoth;
    double* const x = halves_.vectors.row(a);
    double* const y = halves_.vectors.row(b);
    for (int64_t j = 0; j < n_; ++j) {
      const double left = x[j], right = y[j];
      x[j] = c * left + s * right;
      y[j] = c * right - s * left;
    }
    const double value = values[a];
    values[a] = value * c * c + values[b] * s * s;
    values[b] = value * s * s + values[b] * c * c;
    return true;
  }

  // How many there are then.
  int64_t PackPart(Part part) {
    for (int64_t k = 0; k < kept(); ++k) {
      if (parts_[Count(kept_[Count(k)])] == part) packed_.push_back(static_cast<int>(k));
    }
    return static_cast<int64_t>(packed_.size());
  }

  // The kept rows, without their zeros: those with entries in the first part into top_ [., first], in the second into
  // bottom_ [., n - first], in the order of packed_.
  absl::Status Pack() {
    bottom_begin_ = PackPart(kFirst);
    top_end_ = PackPart(kBoth);
    PackPart(kSecond);
    for (int64_t k = 0; k < kept(); ++k) {
      poles_[k] = halves_.values[kept_[Count(k)]];
      kept_z_[k] = z_[kept_[Count(k)]];
    }
    return ForEachPanel(executor_, kept(), n_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const double* row = halves_.vectors.row(kept_[Count(packed_[Count(i)])]);
        if (i < top_end_) std::copy_n(row, first(), top_ + i * first());
        const int64_t rest = n_ - first();
        if (i >= bottom_begin_) std::copy_n(row + first(), rest, bottom_ + (i - bottom_begin_) * rest);
      }
    });
  }

  // Behind the first `kept` rows, which the new vectors will take: into rows that are packed.
  absl::Status MoveDeflated() {
    std::vector<int> to;
    for (int row : kept_) {
      if (row >= kept()) to.push_back(row);
    }
    std::vector<int> from;
    for (int row : deflated_) {
      if (row < kept()) from.push_back(row);
    }
    for (size_t i = 0; i < from.size(); ++i) halves_.values[to[i]] = halves_.values[from[i]];
    return ForEachPanel(executor_, static_cast<int64_t>(from.size()), n_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::copy_n(halves_.vectors.row(from[Count(i)]), n_, halves_.vectors.row(to[Count(i)]));
      }
    });
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
    for (int64_t begin = 0; begin < kept(); begin += kPanelRows) {
      const int64_t rows = std::min(kPanelRows, kept() - begin);
      auto done = ForEachPanel(executor_, rows, 4 * kept(), [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) Coefficients(halves_.vectors.row(begin + i), panel_ + i * kept());
      });
      if (!done.ok()) return done;
      const int64_t rest = n_ - first();
      const Operand<double> left(panel_, rows, top_end_, kept());
      const Operand<double> right(panel_ + bottom_begin_, rows, kept() - bottom_begin_, kept());
      done = ParallelGemm(executor_, 1.0, left, Operand<double>(top_, top_end_, first(), first()), 0.0,
                          Matrix<double>(halves_.vectors.row(begin), rows, first(), halves_.vectors.stride));
      if (!done.ok()) return done;
      done = ParallelGemm(executor_, 1.0, right, Operand<double>(bottom_, kept() - bottom_begin_, rest, rest), 0.0,
                          Matrix<double>(halves_.vectors.row(begin) + first(), rows, rest, halves_.vectors.stride));
      if (!done.ok()) return done;
    }
    return absl::OkStatus();
  }

  // The vector of one root in the basis of the packed rows; destroys its gaps.
  void Coefficients(double* gaps, double* coefficients) const {
    double norm = 1;
    if (kept() > 2) {  // for fewer, LAPACK gives the vector in place of the gaps
      for (int64_t k = 0; k < kept(); ++k) gaps[k] = improved_z_[k] / gaps[k];
      double sum = 0;
      for (int64_t k = 0; k < kept(); ++k) sum += gaps[k] * gaps[k];
      norm = std::sqrt(sum);
      if (!(norm < std::numeric_limits<double>::max()) || norm < kSmallestNorm) norm = ScaledNorm(gaps);
    }
    for (int64_t k = 0; k < kept(); ++k) coefficients[k] = gaps[packed_[Count(k)]] / norm;
  }

  double ScaledNorm(const double* x) const {
    double largest = 0;
    for (int64_t k = 0; k < kept(); ++k) largest = std::max(largest, std::fabs(x[k]));
    if (largest == 0) return 1;
    double sum = 0;
    for (int64_t k = 0; k < kept(); ++k) sum += (x[k] / largest) * (x[k] / largest);
    return largest * std::sqrt(sum);
  }

  static constexpr double kSmallestNorm = 1e-140;  // below it squares lose digits

  runtime::Executor& executor_;
  const Halves& halves_;
  const int64_t n_;
  const double rho_;
  std::vector<Part> parts_;                 // [n]
  std::vector<int> kept_, deflated_;        // rows; kept_ by ascending value
  std::vector<int> packed_;                 // of kept_: first part, both, second part
  int64_t bottom_begin_ = 0, top_end_ = 0;  // in packed_
  double *top_, *bottom_, *panel_;
  double *z_, *poles_, *kept_z_, *improved_z_;  // [n]
};

}  // namespace

int64_t MergeWork(int64_t n) {
  const int64_t first = n / 2, second = n - n / 2;
  return first * first + second * second + std::min(kPanelRows, n) * n + 4 * n;
}

absl::Status Merge(runtime::Executor& executor, const Halves& halves, double beside, double* work) {
  return Merger(executor, halves, beside, work).Run();
}

}  // namespace attend::compute
