#include "server/compute/bidiagonal_merge.h"

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

constexpr int64_t kRotationsPerPoll = 32;
constexpr int64_t kPassesPerRoot = 24;  // over the poles: some four iterations, each of several operations

// Row `middle` of either side has entries anywhere.
std::vector<Part> PartsOf(const Blocks& blocks) {
  std::vector<Part> parts(static_cast<size_t>(blocks.left.rows), Part::kSecond);
  std::fill_n(parts.begin(), blocks.middle, Part::kFirst);
  parts[static_cast<size_t>(blocks.middle)] = Part::kBoth;
  return parts;
}

// B = left^T M right with M = diag(values) but for its row `middle`, which is z: the squares of M's singular values are
// the eigenvalues of diag(values^2) + z z^T.
class Merger {
 public:
  Merger(runtime::Executor& executor, const Blocks& blocks, double* work)
      : executor_(executor),
        blocks_(blocks),
        n_(blocks.left.rows),
        m_(blocks.right.rows),
        middle_(blocks.middle),
        rows_(PartsOf(blocks)),
        z_(work),
        poles_(z_ + n_ + 1),
        kept_z_(poles_ + n_),
        improved_z_(kept_z_ + n_),
        left_panel_(improved_z_ + n_),
        right_panel_(left_panel_ + std::min(kMergePanel, n_) * n_),
        left_(blocks.left, middle_ + 1, right_panel_ + std::min(kMergePanel, n_) * n_),
        right_(blocks.right, middle_ + 1,
               right_panel_ + std::min(kMergePanel, n_) * n_ + PackedVectors::Work(n_, n_, middle_ + 1)) {}

  absl::Status Run() {
    const int exponent = ScaleToOne();
    MakeZ();
    if (auto done = Deflate(); !done.ok()) return done;
    rows_.Arrange();
    if (auto done = left_.Pack(executor_, rows_); !done.ok()) return done;
    if (auto done = right_.Pack(executor_, rows_); !done.ok()) return done;
    MakeSecularEquation();
    for (const auto& [from, to] : rows_.moves()) blocks_.values[to] = blocks_.values[from];
    if (auto done = FindRoots(); !done.ok()) return done;
    if (auto done = ImproveZ(); !done.ok()) return done;
    if (auto done = FormVectors(); !done.ok()) return done;
    for (int64_t i = 0; i < n_; ++i) blocks_.values[i] = std::ldexp(blocks_.values[i], exponent);
    std::iota(blocks_.order, blocks_.order + n_, 0);
    std::stable_sort(blocks_.order, blocks_.order + n_,
                     [this](int a, int b) { return blocks_.values[a] < blocks_.values[b]; });
    return absl::OkStatus();
  }

 private:
  int64_t kept() const { return rows_.kept(); }

  // By a power of two: squares neither overflow nor vanish then.
  int ScaleToOne() {
    blocks_.values[middle_] = 0;
    largest_ = std::max(std::fabs(blocks_.alpha), std::fabs(blocks_.beta));
    for (int64_t i = 0; i < n_; ++i) largest_ = std::max(largest_, blocks_.values[i]);
    int exponent = 0;
    largest_ = std::frexp(largest_, &exponent);
    for (int64_t i = 0; i < n_; ++i) blocks_.values[i] = std::ldexp(blocks_.values[i], -exponent);
    alpha_ = std::ldexp(blocks_.alpha, -exponent);
    beta_ = std::ldexp(blocks_.beta, -exponent);
    tolerance_ = 4 * std::numeric_limits<double>::epsilon() * largest_;
    return exponent;
  }

  void MakeZ() {
    for (int64_t i = 0; i < m_; ++i) {
      const double* row = blocks_.right.row(i);
      z_[i] = i <= middle_ ? alpha_ * row[middle_] : beta_ * row[middle_ + 1];
    }
    if (m_ > n_) JoinNullVectors();
    if (std::fabs(z_[middle_]) <= tolerance_) z_[middle_] = tolerance_;
    std::fill_n(blocks_.left.row(middle_), n_, 0.0);
    blocks_.left.row(middle_)[middle_] = 1;
  }

  // Turned in their plane so that one of them has no share in z: it is the null vector of the whole.
  void JoinNullVectors() {
    const double length = std::hypot(z_[middle_], z_[n_]);
    double c = 1, s = 0;
    if (length > tolerance_) {
      c = z_[middle_] / length;
      s = z_[n_] / length;
    }
    z_[middle_] = length;
    TurnRows(m_, c, s, blocks_.right.row(middle_), blocks_.right.row(n_));
  }

  std::vector<int> SortedRows() const {
    std::vector<int> second(blocks_.order + middle_ + 1, blocks_.order + n_);
    for (int& row : second) row += static_cast<int>(middle_) + 1;
    std::vector<int> rows(static_cast<size_t>(n_ - 1));
    std::merge(blocks_.order, blocks_.order + middle_, second.begin(), second.end(), rows.begin(),
               [this](int a, int b) { return blocks_.values[a] < blocks_.values[b]; });
    return rows;
  }

  // What z does not move beyond rounding stays as it is: rows without a share in it, and, of two with nearly one value,
  // one that a rotation leaves without a share.
  absl::Status Deflate() {
    rows_.Keep(static_cast<int>(middle_));
    int64_t rotations = 0;
    int previous = -1;
    for (int row : SortedRows()) {
      if (std::fabs(z_[row]) <= tolerance_) {
        rows_.Deflate(row);
        continue;
      }
      if (previous >= 0 && blocks_.values[row] - blocks_.values[previous] > tolerance_) {
        rows_.Keep(previous);
      } else if (previous >= 0) {
        Rotate(previous, row);
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

  // Row a then has no share in z.
  void Rotate(int a, int b) {
    const double length = std::hypot(z_[a], z_[b]);
    const double c = z_[b] / length, s = -z_[a] / length;
    z_[b] = length;
    z_[a] = 0;
    rows_.Mix(a, b);
    TurnRows(n_, c, s, blocks_.left.row(a), blocks_.left.row(b));
    TurnRows(m_, c, s, blocks_.right.row(a), blocks_.right.row(b));
  }

  void MakeSecularEquation() {
    for (int64_t k = 0; k < kept(); ++k) {
      poles_[k] = blocks_.values[rows_.row(k)];
      kept_z_[k] = z_[rows_.row(k)];
    }
    if (kept() > 1) poles_[1] = std::max(poles_[1], tolerance_ / 2);
    norm_ = NormOf(kept(), kept_z_);
    if (norm_ == 0) return;
    for (int64_t k = 0; k < kept(); ++k) kept_z_[k] /= norm_;
  }

  // values[j], and the distances of the poles to it and to its opposite in row j of left and right.
  absl::Status FindRoots() {
    if (kept() == 1) {
      blocks_.values[0] = norm_;
      return absl::OkStatus();
    }
    const double rho = norm_ * norm_;
    const int64_t length = PanelLength(kPassesPerRoot * kept());
    const auto flops = static_cast<double>(kPassesPerRoot * 4 * length * kept());
    return executor_.ForEachTile((kept() + length - 1) / length, flops, [&](int64_t tile, int) {
      for (int64_t j = tile * length; j < std::min(kept(), (tile + 1) * length); ++j) {
        if (!lapack::SingularSecularRoot(kept(), j, poles_, kept_z_, rho, blocks_.left.row(j), blocks_.right.row(j),
                                         &blocks_.values[j])) {
          return absl::InternalError("a root of the secular equation did not converge");
        }
      }
      return absl::OkStatus();
    });
  }

  // The z for which the roots found are the exact ones: their vectors are orthogonal.
  absl::Status ImproveZ() {
    if (kept() == 1) return absl::OkStatus();
    const int64_t last = kept() - 1;
    return ForEachPanel(executor_, kept(), 2 * kept(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) improved_z_[i] = blocks_.left.row(last)[i] * blocks_.right.row(last)[i];
      // Roots beside the pole with their own number below it, with the next above it.
      const auto times = [&](int64_t j, double pole, int64_t from, int64_t to) {
        const double* gaps = blocks_.left.row(j);
        const double* sums = blocks_.right.row(j);
        for (int64_t i = from; i < to; ++i) {
          improved_z_[i] *= (gaps[i] * sums[i]) / (poles_[i] - pole) / (poles_[i] + pole);
        }
      };
      for (int64_t j = 0; j < last; ++j) {
        times(j, poles_[j], std::max(begin, j + 1), end);
        times(j, poles_[j + 1], begin, std::min(end, j + 1));
      }
      for (int64_t i = begin; i < end; ++i) {
        improved_z_[i] = std::copysign(std::sqrt(std::fabs(improved_z_[i])), kept_z_[i]);
      }
    });
  }

  absl::Status FormVectors() {
    for (int64_t begin = 0; begin < kept(); begin += kMergePanel) {
      const int64_t rows = std::min(kMergePanel, kept() - begin);
      const Matrix<double> left(left_panel_, rows, kept());
      const Matrix<double> right(right_panel_, rows, kept());
      auto done = ForEachPanel(executor_, rows, 8 * kept(), [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) Coefficients(begin + i, left.row(i), right.row(i));
      });
      if (!done.ok()) return done;
      if (done = left_.Multiply(executor_, left, begin); !done.ok()) return done;
      if (done = right_.Multiply(executor_, right, begin); !done.ok()) return done;
    }
    return absl::OkStatus();
  }

  // The vectors of root j in the bases of the packed rows; destroys its distances.
  void Coefficients(int64_t j, double* left, double* right) const {
    if (kept() == 1) {
      left[0] = std::copysign(1.0, kept_z_[0]);
      right[0] = 1;
      return;
    }
    double* const gaps = blocks_.left.row(j);
    double* const sums = blocks_.right.row(j);
    for (int64_t k = 0; k < kept(); ++k) {
      sums[k] = improved_z_[k] / gaps[k] / sums[k];
      gaps[k] = poles_[k] * sums[k];
    }
    gaps[0] = -1;
    const double left_norm = NormOf(kept(), gaps), right_norm = NormOf(kept(), sums);
    for (int64_t k = 0; k < kept(); ++k) {
      left[k] = gaps[rows_.packed(k)] / left_norm;
      right[k] = sums[rows_.packed(k)] / right_norm;
    }
  }

  runtime::Executor& executor_;
  const Blocks& blocks_;
  const int64_t n_, m_, middle_;
  double largest_ = 0, alpha_ = 0, beta_ = 0, tolerance_ = 0, norm_ = 0;
  MergeRows rows_;
  double* const z_;                                          // [n + 1]
  double *const poles_, *const kept_z_, *const improved_z_;  // [n]
  double *const left_panel_, *const right_panel_;            // [min(kMergePanel, n), kept]
  PackedVectors left_, right_;
};

}  // namespace

int64_t BidiagonalMergeWork(int64_t n) {
  const int64_t first = n / 2 + 1;
  return PackedVectors::Work(n, n, first) + PackedVectors::Work(n, n + 1, first) + 2 * std::min(kMergePanel, n) * n +
         4 * n + 1;
}

absl::Status MergeBlocks(runtime::Executor& executor, const Blocks& blocks, double* work) {
  return Merger(executor, blocks, work).Run();
}

}  // namespace attend::compute
