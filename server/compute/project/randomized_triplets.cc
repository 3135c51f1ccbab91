#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/cleanup/cleanup.h"
#include "server/compute/parallel_gemm.h"
#include "server/compute/project/difference_norm.h"
#include "server/compute/project/krylov_basis.h"
#include "server/compute/project/overlooked.h"
#include "server/compute/project/svd.h"
#include "server/compute/project/triplets.h"

namespace attend::compute {
namespace {

constexpr int64_t kOversampling = 10;
// Of the smaller side: beyond, orthogonalization and the small decomposition cost about as much as a whole one.
constexpr int64_t kLargestShare = 2;
constexpr int64_t kStripRows = 64;
// Of max |Q^T Q - I|: thousands of roundings, and far below what would show in a float64 result.
constexpr double kMostDeviation = 1e-12;
// Of ||A||: what equations that hold to rounding may be off by.
constexpr double kRoundingOfProducts = 1e-12;
constexpr int kFirstLooks = 3;  // after as many blocks, each

int64_t BlockOf(int64_t n, int64_t m, int64_t rank) { return std::min({n, m, rank + kOversampling}); }
int64_t MostOf(int64_t n, int64_t m, int64_t rank) {
  return std::max(BlockOf(n, m, rank), std::min(n, m) / kLargestShare);
}

double ProductFlops(int64_t rows, int64_t inner, int64_t cols) {
  return 2 * static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(cols);
}

double SumOfSquares(const double* a, int64_t n, int64_t m) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double norm = Norm(a + i * m, m);
    sum += norm * norm;
  }
  return sum;
}

// What a basis shows of one matrix.
class Sketch {
 public:
  Sketch(runtime::Executor& executor, runtime::BufferPool& pool, const double* a, int64_t n, int64_t m, int64_t rank)
      : executor_(executor),
        pool_(pool),
        a_(a, n, m, m),
        rank_(rank),
        block_(BlockOf(n, m, rank)),
        most_(MostOf(n, m, rank)),
        total_square_(SumOfSquares(a, n, m)),
        basis_(executor, pool, a, n, m, std::sqrt(total_square_), block_, most_) {}

  absl::Status Start() { return basis_.Start(); }
  absl::Status Extend() { return basis_.Extend(); }
  int64_t size() const { return basis_.size(); }
  int64_t most() const { return most_; }
  int64_t block() const { return block_; }
  bool orthonormal() const { return basis_.deviation() <= kMostDeviation; }
  double flops() const { return flops_ + basis_.flops(); }
  bool full() const { return size() + block_ > most_; }

  // The triplets of the projected matrix, and what they leave.
  absl::Status Look() {
    const int64_t seen = size();
    svd_ = Svd();
    flops_ += SvdFlops(seen, seen, std::min(rank_ + 1, seen));
    small_ = pool_.AllocateArray<double>(static_cast<size_t>(seen * seen));
    const lapack::ColumnMajor projected = basis_.projected(), copy{small_.as<double>(), seen, seen, seen};
    for (int64_t j = 0; j < seen; ++j) std::copy_n(projected.at(0, j), seen, copy.at(0, j));
    if (auto done = svd_.Decompose(executor_, pool_, copy, Svd::Wanted::kVectors); !done.ok()) return done;
    if (auto done = MeasureResiduals(); !done.ok()) return done;
    return MeasureMissed();
  }

  const double* values() const { return svd_.values(); }
  double total_square() const { return total_square_; }
  double missed() const { return missed_; }  // ||A - A Z^T Z||: what no vector of the basis shows

  // The square of the distance of `rank` triplets from A.
  double DistanceSquare() const { return missed_ * missed_ + SquaresOfValues(rank_, size()); }
  double Overlooked() const { return OverlookedSquares(values(), residuals_, rank_, size()); }

  // Nothing where the triplets, measured on A itself, are not what the basis made of them.
  absl::StatusOr<std::optional<Triplets>> Take(double distance_over_best, bool all_values_known) {
    Triplets result;
    flops_ += ProductFlops(rank_, size(), a_.rows + a_.cols) + 2 * ProductFlops(rank_, a_.rows, a_.cols);
    result.rank = rank_;
    result.values.assign(values(), values() + size());
    result.randomized = true;
    result.total_square = total_square_;
    result.distance_over_best = distance_over_best;
    result.all_values_known = all_values_known;
    const runtime::Buffer vectors = pool_.AllocateArray<double>(static_cast<size_t>(rank_ * size()));
    if (auto done = svd_.Left(executor_, pool_, rank_, vectors.as<double>()); !done.ok()) return done;
    if (auto done = Combine(vectors, basis_.left(), a_.rows, result.left); !done.ok()) return done;
    if (auto done = svd_.Right(executor_, pool_, rank_, vectors.as<double>()); !done.ok()) return done;
    if (auto done = Combine(vectors, basis_.right(), a_.cols, result.right); !done.ok()) return done;
    const double expected = *std::max_element(residuals_.begin(), residuals_.begin() + rank_);
    const double rounding = kRoundingOfProducts * std::sqrt(total_square_);
    double of_left = 0, of_right = 0;  // max ||A v_i - s_i u_i||, max ||A^T u_i - s_i v_i||
    if (auto done = MeasureOnA(result.right, Transposed(a_), result.left, of_left); !done.ok()) return done;
    if (auto done = MeasureOnA(result.left, a_, result.right, of_right); !done.ok()) return done;
    if (!(of_left <= rounding && of_right <= expected + rounding)) return std::nullopt;
    result.residual = std::max(of_left, of_right);
    return result;
  }

 private:
  double SquaresOfValues(int64_t begin, int64_t end) const {
    double sum = 0;
    for (int64_t i = end - 1; i >= begin; --i) sum += values()[i] * values()[i];
    return sum;
  }

  // ||A^T u_i - s_i v_i|| of the leading triplets, one more than asked for where there is one.
  absl::Status MeasureResiduals() {
    const int64_t seen = size(), count = std::min(rank_ + 1, seen);
    const runtime::Buffer left = pool_.AllocateArray<double>(static_cast<size_t>(count * seen));
    const runtime::Buffer rest = pool_.AllocateArray<double>(static_cast<size_t>(count * block_));
    if (auto done = svd_.Left(executor_, pool_, count, left.as<double>()); !done.ok()) return done;
    const Operand<double> last_block(left.as<double>() + seen - block_, count, block_, seen);
    const Matrix<double> rests(rest.as<double>(), count, block_);
    if (auto done = Gemm(1.0, last_block, basis_.coupling(), 0.0, rests); !done.ok()) return done;
    residuals_.resize(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) residuals_[static_cast<size_t>(i)] = Norm(rests.row(i), block_);
    return absl::OkStatus();
  }

  absl::Status MeasureMissed() {
    // Below this share of the whole, a difference of sums of squares says nothing; the rest is measured entry by entry.
    const double cancelled = 1e-10;
    const double rest = total_square_ - SquaresOfValues(0, size());
    if (rest > cancelled * total_square_) {
      missed_ = std::sqrt(rest);
      return absl::OkStatus();
    }
    return MeasureMissedByEntries();
  }

  // The largest ||vectors_i by - s_i others_i||.
  absl::Status MeasureOnA(const runtime::Buffer& vectors, const Operand<double>& by, const runtime::Buffer& others,
                          double& largest) {
    const runtime::Buffer memory = pool_.AllocateArray<double>(static_cast<size_t>(rank_ * by.cols));
    const Matrix<double> products(memory.as<double>(), rank_, by.cols);
    const Operand<double> rows(vectors.as<double>(), rank_, by.rows, by.rows);
    if (auto done = ParallelGemm(executor_, 1.0, rows, by, 0.0, products); !done.ok()) return done;
    for (int64_t i = 0; i < rank_; ++i) {
      const double* const other = others.as<double>() + i * by.cols;
      for (int64_t j = 0; j < by.cols; ++j) products.row(i)[j] -= values()[i] * other[j];
      largest = std::max(largest, Norm(products.row(i), by.cols));
    }
    return absl::OkStatus();
  }

  // to [rank, length] = coefficients [rank, size] * vectors [size, length].
  absl::Status Combine(const runtime::Buffer& coefficients, const double* vectors, int64_t length,
                       runtime::Buffer& to) {
    to = pool_.AllocateArray<double>(static_cast<size_t>(rank_ * length));
    return ParallelGemm(executor_, 1.0, Operand<double>(coefficients.as<double>(), rank_, size(), size()),
                        Operand<double>(vectors, size(), length, length), 0.0,
                        Matrix<double>(to.as<double>(), rank_, length));
  }

  // Rows of A - (A Z^T) Z, in strips.
  absl::Status MeasureMissedByEntries() {
    const runtime::Buffer norms = pool_.AllocateArray<double>(static_cast<size_t>(a_.rows));
    const int64_t strip = kStripRows * (a_.cols + size());
    const runtime::Buffer scratch = pool_.AllocateArray<double>(static_cast<size_t>(executor_.max_workers() * strip));
    const Operand<double> z(basis_.right(), size(), a_.cols, a_.cols);
    flops_ += 2 * ProductFlops(a_.rows, a_.cols, size());
    const double flops = 4.0 * kStripRows * static_cast<double>(a_.cols) * static_cast<double>(size());
    const int64_t strips = (a_.rows + kStripRows - 1) / kStripRows;
    const auto done = executor_.ForEachTile(strips, flops, [&](int64_t index, int worker) {
      const int64_t begin = index * kStripRows, rows = std::min(kStripRows, a_.rows - begin);
      double* const memory = scratch.as<double>() + worker * strip;
      const Matrix<double> rest(memory, rows, a_.cols), seen(memory + kStripRows * a_.cols, rows, size());
      std::copy_n(a_.data + begin * a_.stride, rows * a_.cols, memory);
      if (auto ok = Gemm(1.0, Operand<double>(rest), Transposed(z), 0.0, seen); !ok.ok()) return ok;
      if (auto ok = Gemm(-1.0, Operand<double>(seen), z, 1.0, rest); !ok.ok()) return ok;
      for (int64_t i = 0; i < rows; ++i) norms.as<double>()[begin + i] = Norm(rest.row(i), a_.cols);
      return absl::OkStatus();
    });
    missed_ = Norm(norms.as<double>(), a_.rows);
    return done;
  }

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const Operand<double> a_;
  const int64_t rank_;
  const int64_t block_;
  const int64_t most_;
  const double total_square_;
  KrylovBasis basis_;
  runtime::Buffer small_;  // what svd_ works in
  Svd svd_;
  std::vector<double> residuals_;  // [rank + 1] or [size]
  double missed_ = 0;
  double flops_ = 0;  // beside those of the basis
};

// A look costs a decomposition of the basis's size: one after each of the first blocks, then whenever the basis has
// grown by a fifth.
class Schedule {
 public:
  bool LookNow(int blocks, int64_t size, bool last) {
    if (blocks > kFirstLooks && !last && 5 * size < 6 * looked_at_) return false;
    looked_at_ = size;
    return true;
  }

 private:
  int64_t looked_at_ = 0;
};

// Whether shares that fall as from the last look to this one, from block to block, end too far above `target`.
class Trend {
 public:
  bool TooSlow(double share, double target, int64_t size, int64_t most) {
    constexpr double kSlack = 10;  // they fall faster and faster
    const double steps = static_cast<double>(most - size) / static_cast<double>(size - size_);
    const bool slow = share_ > 0 && share * std::pow(std::min(1.0, share / share_), steps) > kSlack * target;
    share_ = share;
    size_ = size;
    return slow;
  }

 private:
  double share_ = 0;
  int64_t size_ = 0;
};

}  // namespace

absl::StatusOr<std::optional<Triplets>> RandomizedTriplets(runtime::Executor& executor, runtime::BufferPool& pool,
                                                           const double* a, int64_t n, int64_t m, const RankRule& rule,
                                                           double* flops) {
  constexpr double kRounding = 32 * std::numeric_limits<double>::epsilon(), kNegligible = 1e-2;
  const double target = 1 - 1 / (rule.most_over_best * rule.most_over_best);
  Sketch sketch(executor, pool, a, n, m, *rule.rank);
  const absl::Cleanup count = [&] {
    if (flops != nullptr) *flops += sketch.flops();
  };
  Schedule schedule;
  Trend trend;
  if (auto done = sketch.Start(); !done.ok()) return done;
  for (int blocks = 1;; ++blocks) {
    if (auto done = sketch.Extend(); !done.ok()) return done;
    if (!sketch.orthonormal()) return std::nullopt;
    if (!schedule.LookNow(blocks, sketch.size(), sketch.full())) continue;
    if (auto done = sketch.Look(); !done.ok()) return done;
    const double counted = static_cast<double>(std::max(n, m)) * rule.epsilon * sketch.values()[0];
    const bool all_known = sketch.missed() <= counted;
    const double distance_square = sketch.DistanceSquare();
    if (distance_square <= kRounding * kRounding * sketch.total_square()) return sketch.Take(1, all_known);
    const double share = sketch.Overlooked() / distance_square;
    // The first blocks may not show all that stands apart.
    const bool settled = blocks >= kFirstLooks || sketch.missed() <= kNegligible * sketch.values()[*rule.rank - 1];
    if (settled && share <= target) return sketch.Take(1 / std::sqrt(1 - share), all_known);
    const bool slow = trend.TooSlow(share, target, sketch.size(), sketch.most());
    if (sketch.full() || (slow && blocks > kFirstLooks)) return std::nullopt;
  }
}

bool WorthRandomizing(int64_t n, int64_t m, int64_t rank) {
  const int64_t side = std::min(n, m);
  return side >= 512 && 32 * rank <= side;
}

double RandomizedWorkspaceBytes(int64_t n, int64_t m, int64_t rank, int workers) {
  const int64_t block = BlockOf(n, m, rank), most = MostOf(n, m, rank);
  const auto d = static_cast<double>(most), vectors = static_cast<double>(rank + 1);
  const double look = d * d + vectors * (d + static_cast<double>(block) + static_cast<double>(std::max(n, m)));
  const double strips = static_cast<double>(n) + static_cast<double>(workers * kStripRows * (m + most));
  return KrylovWorkspaceBytes(n, m, block, most) + SvdWorkspaceBytes(most, most, workers) +
         sizeof(double) * (look + strips);
}

}  // namespace attend::compute
