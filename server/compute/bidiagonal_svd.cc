#include "server/compute/bidiagonal_svd.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "server/compute/bidiagonal_merge.h"
#include "server/compute/lapack.h"
#include "server/compute/merge_vectors.h"
#include "server/compute/panels.h"

namespace attend::compute {
namespace {

constexpr int64_t kLeaf = 24;
constexpr int64_t kSubtree = 256;  // solved by one thread: some milliseconds

// Rows [begin, begin + size) and as many columns, or one more.
struct Span {
  int64_t begin;
  int64_t size;
  int64_t more_columns;  // 0 or 1

  int64_t middle() const { return begin + size / 2; }
  Span First() const { return {begin, size / 2, 1}; }
  Span Second() const { return {middle() + 1, begin + size - middle() - 1, more_columns}; }
};

absl::Status NotConverged() { return absl::InternalError("a singular value of a bidiagonal matrix did not converge"); }

class DivideAndConquer {
 public:
  DivideAndConquer(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* diagonal,
                   double* superdiagonal, double* left, double* right)
      : executor_(executor),
        pool_(pool),
        n_(n),
        diagonal_(diagonal),
        superdiagonal_(superdiagonal),
        left_(left, n, n),
        right_(right, n, n),
        order_(static_cast<size_t>(n)) {}

  absl::Status Run() {
    auto done = ForEachPanel(executor_, n_, 2 * n_, [&](int64_t begin, int64_t end) {
      std::fill(left_.row(begin), left_.row(begin) + (end - begin) * n_, 0.0);
      std::fill(right_.row(begin), right_.row(begin) + (end - begin) * n_, 0.0);
    });
    if (!done.ok()) return done;
    const int exponent = ScaleToOne();
    Divide();
    if (done = SolveSubtrees(); !done.ok()) return done;
    if (done = JoinSubtrees(); !done.ok()) return done;
    for (int64_t i = 0; i < n_; ++i) diagonal_[i] = std::ldexp(diagonal_[i], exponent);
    return Sort();
  }

 private:
  // By a power of two, which rounds nothing that counts: the largest entry is in [0.5, 1) then, or 0.
  int ScaleToOne() {
    double largest = 0;
    for (int64_t i = 0; i < n_; ++i) {
      largest = std::max(largest, std::fabs(diagonal_[i]));
      if (i + 1 < n_) largest = std::max(largest, std::fabs(superdiagonal_[i]));
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    for (int64_t i = 0; i < n_; ++i) {
      diagonal_[i] = std::ldexp(diagonal_[i], -exponent);
      if (i + 1 < n_) superdiagonal_[i] = std::ldexp(superdiagonal_[i], -exponent);
    }
    return exponent;
  }

  // Blocks that nothing beyond rounding joins are apart from the start.
  void Divide() {
    constexpr double kNegligible = 0.25 * std::numeric_limits<double>::epsilon();
    int64_t begin = 0;
    for (int64_t i = 0; i < n_; ++i) {
      if (i + 1 < n_ && std::fabs(superdiagonal_[i]) > kNegligible) continue;
      DivideBlock({begin, i + 1 - begin, 0});
      begin = i + 1;
    }
  }

  void DivideBlock(const Span& span) {
    if (span.size <= kSubtree) {
      subtrees_.push_back(span);
      return;
    }
    DivideBlock(span.First());
    DivideBlock(span.Second());
    joins_.push_back(span);
  }

  absl::Status SolveSubtrees() {
    const auto size = static_cast<double>(std::min(n_, kSubtree));
    return executor_.ForEachTile(
        static_cast<int64_t>(subtrees_.size()), 8 * size * size * size, [&](int64_t index, int) {
          const Span& span = subtrees_[static_cast<size_t>(index)];
          const auto doubles = std::max(BidiagonalMergeWork(span.size), LeafWork(std::min(span.size, kLeaf)));
          const runtime::Buffer work = pool_.AllocateArray<double>(static_cast<size_t>(doubles));
          return SolveSubtree(span, work.as<double>());
        });
  }

  absl::Status SolveSubtree(const Span& span, double* work) {
    if (span.size <= kLeaf) return SolveLeaf(span, work);
    if (auto done = SolveSubtree(span.First(), work); !done.ok()) return done;
    if (auto done = SolveSubtree(span.Second(), work); !done.ok()) return done;
    runtime::InlineExecutor alone(executor_.cancellation());
    return MergeBlocks(alone, BlocksOf(span), work);
  }

  static int64_t LeafWork(int64_t size) { return 2 * (size + 1) * (size + 1) + 6 * (size + 1); }

  absl::Status SolveLeaf(const Span& span, double* work) {
    const int64_t n = span.size, m = n + span.more_columns;
    double* const u = work;
    double* const vt = u + n * n;  // [m, m] column by column
    double* const beside = vt + m * m;
    std::fill(u, beside, 0.0);
    for (int64_t i = 0; i < n; ++i) u[i * n + i] = 1;
    for (int64_t i = 0; i < m; ++i) vt[i * m + i] = 1;
    std::copy_n(superdiagonal_ + span.begin, m - 1, beside);
    double* const values = diagonal_ + span.begin;
    if (!lapack::BidiagonalQr(n, span.more_columns, values, beside, u, vt, beside + m)) {
      return NotConverged();
    }
    for (int64_t i = 0; i < n; ++i) std::copy_n(u + i * n, n, left_.row(span.begin + i) + span.begin);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < m; ++j) right_.row(span.begin + i)[span.begin + j] = vt[j * m + i];
    }
    const auto order = order_.begin() + span.begin;
    std::iota(order, order + n, 0);
    std::stable_sort(order, order + n, [values](int a, int b) { return values[a] < values[b]; });
    return absl::OkStatus();
  }

  absl::Status JoinSubtrees() {
    if (joins_.empty()) return absl::OkStatus();
    int64_t largest = 0;
    for (const Span& join : joins_) largest = std::max(largest, join.size);
    const runtime::Buffer work = pool_.AllocateArray<double>(static_cast<size_t>(BidiagonalMergeWork(largest)));
    for (const Span& join : joins_) {
      if (auto done = MergeBlocks(executor_, BlocksOf(join), work.as<double>()); !done.ok()) return done;
    }
    return absl::OkStatus();
  }

  Blocks BlocksOf(const Span& span) {
    const int64_t columns = span.size + span.more_columns;
    Blocks blocks;
    blocks.left = Matrix<double>(left_.row(span.begin) + span.begin, span.size, span.size, n_);
    blocks.right = Matrix<double>(right_.row(span.begin) + span.begin, columns, columns, n_);
    blocks.values = diagonal_ + span.begin;
    blocks.order = order_.data() + span.begin;
    blocks.middle = span.size / 2;
    blocks.alpha = diagonal_[span.middle()];
    blocks.beta = superdiagonal_[span.middle()];
    return blocks;
  }

  // Values descending, vectors with them.
  absl::Status Sort() {
    std::vector<int> rows(static_cast<size_t>(n_));
    std::iota(rows.begin(), rows.end(), 0);
    std::stable_sort(rows.begin(), rows.end(), [this](int a, int b) { return diagonal_[a] > diagonal_[b]; });
    std::vector<double> values(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) values[i] = diagonal_[rows[i]];
    std::copy(values.begin(), values.end(), diagonal_);
    if (auto done = PermuteRows(executor_, rows, left_); !done.ok()) return done;
    return PermuteRows(executor_, rows, right_);
  }

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const int64_t n_;
  double* const diagonal_;
  double* const superdiagonal_;
  const Matrix<double> left_, right_;
  std::vector<int> order_;              // [n], of each span: its rows by ascending value
  std::vector<Span> subtrees_, joins_;  // joins: parts before wholes
};

}  // namespace

absl::Status BidiagonalSvd(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* diagonal,
                           double* superdiagonal, double* left, double* right) {
  return DivideAndConquer(executor, pool, n, diagonal, superdiagonal, left, right).Run();
}

absl::Status BidiagonalValues(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* diagonal,
                              double* superdiagonal) {
  const runtime::Buffer work = pool.AllocateArray<double>(static_cast<size_t>(4 * n));
  if (!lapack::BidiagonalValues(n, diagonal, superdiagonal, work.as<double>())) return NotConverged();
  std::sort(diagonal, diagonal + n, std::greater<>());
  return executor.cancellation().Check();
}

// Subtrees at once take less than one merge of all, where there are several of them.
double BidiagonalSvdBytes(int64_t n) {
  return 8 * static_cast<double>(BidiagonalMergeWork(n)) + 128 * static_cast<double>(n) + 16384;
}

}  // namespace attend::compute
