#include "server/compute/tridiagonal_eigen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "server/compute/lapack.h"
#include "server/compute/merge_vectors.h"
#include "server/compute/panels.h"
#include "server/compute/tridiagonal_merge.h"

namespace attend::compute {
namespace {

constexpr int64_t kLeaf = 24;
constexpr int64_t kSubtree = 256;  // solved by one thread: some milliseconds

struct Span {
  int64_t begin;
  int64_t size;
};

struct Join {
  Span span;
  double beside;  // what stood between the halves
};

int64_t FirstHalf(int64_t size) { return size / 2; }

absl::Status NotConverged() { return absl::InternalError("an eigenvalue of a tridiagonal matrix did not converge"); }

class DivideAndConquer {
 public:
  DivideAndConquer(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* diagonal,
                   double* subdiagonal, double* vectors)
      : executor_(executor),
        pool_(pool),
        n_(n),
        diagonal_(diagonal),
        subdiagonal_(subdiagonal),
        vectors_(vectors, n, n),
        order_(static_cast<size_t>(n)) {}

  absl::Status Run() {
    auto done = ForEachPanel(executor_, n_, n_, [&](int64_t begin, int64_t end) {
      std::fill(vectors_.row(begin), vectors_.row(begin) + (end - begin) * n_, 0.0);
    });
    if (!done.ok()) return done;
    Divide();
    if (done = SolveSubtrees(); !done.ok()) return done;
    if (done = JoinSubtrees(); !done.ok()) return done;
    for (size_t i = 0; i < blocks_.size(); ++i) {
      for (int64_t j = 0; j < blocks_[i].size; ++j) {
        double& value = diagonal_[blocks_[i].begin + j];
        value = std::ldexp(value, exponents_[i]);
      }
    }
    return Sort();
  }

 private:
  void Divide() {
    int64_t begin = 0;
    for (int64_t i = 0; i < n_; ++i) {
      if (i + 1 < n_ && !IsNegligible(i)) continue;
      const Span block{begin, i + 1 - begin};
      blocks_.push_back(block);
      exponents_.push_back(ScaleToOne(block));
      DivideBlock(block);
      begin = i + 1;
    }
  }

  bool IsNegligible(int64_t i) const {
    const double neighbours = std::sqrt(std::fabs(diagonal_[i])) * std::sqrt(std::fabs(diagonal_[i + 1]));
    return std::fabs(subdiagonal_[i]) <= 0.5 * std::numeric_limits<double>::epsilon() * neighbours;
  }

  // By a power of two, which rounds nothing that counts.
  int ScaleToOne(const Span& block) {
    double largest = 0;
    for (int64_t i = block.begin; i < block.begin + block.size; ++i) {
      largest = std::max(largest, std::fabs(diagonal_[i]));
      if (i + 1 < block.begin + block.size) largest = std::max(largest, std::fabs(subdiagonal_[i]));
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    for (int64_t i = block.begin; i < block.begin + block.size; ++i) {
      diagonal_[i] = std::ldexp(diagonal_[i], -exponent);
      if (i + 1 < block.begin + block.size) subdiagonal_[i] = std::ldexp(subdiagonal_[i], -exponent);
    }
    return exponent;
  }

  void DivideBlock(const Span& span) {
    if (span.size <= kSubtree) {
      subtrees_.push_back(span);
      return;
    }
    const double beside = Tear(span);
    const int64_t first = FirstHalf(span.size);
    DivideBlock({span.begin, first});
    DivideBlock({span.begin + first, span.size - first});
    joins_.push_back({span, beside});
  }

  // Takes the correction of rank one that joins the halves off the diagonal.
  double Tear(const Span& span) {
    const int64_t at = span.begin + FirstHalf(span.size);
    const double beside = subdiagonal_[at - 1];
    diagonal_[at - 1] -= std::fabs(beside);
    diagonal_[at] -= std::fabs(beside);
    return beside;
  }

  absl::Status SolveSubtrees() {
    const double size = static_cast<double>(std::min(n_, kSubtree));
    return executor_.ForEachTile(
        static_cast<int64_t>(subtrees_.size()), 4 * size * size * size, [&](int64_t index, int) {
          const Span& span = subtrees_[static_cast<size_t>(index)];
          const runtime::Buffer work = pool_.AllocateArray<double>(static_cast<size_t>(MergeWork(span.size)));
          return SolveSubtree(span, work.as<double>());
        });
  }

  absl::Status SolveSubtree(const Span& span, double* work) {
    if (span.size <= kLeaf) return SolveLeaf(span, work);
    const double beside = Tear(span);
    const int64_t first = FirstHalf(span.size);
    if (auto done = SolveSubtree({span.begin, first}, work); !done.ok()) return done;
    if (auto done = SolveSubtree({span.begin + first, span.size - first}, work); !done.ok()) return done;
    runtime::InlineExecutor alone(executor_.cancellation());
    return Merge(alone, HalvesOf(span), beside, work);
  }

  absl::Status SolveLeaf(const Span& span, double* work) {
    std::iota(order_.begin() + span.begin, order_.begin() + span.begin + span.size, 0);
    const bool converged = lapack::TridiagonalQr(span.size, diagonal_ + span.begin, subdiagonal_ + span.begin,
                                                 vectors_.row(span.begin) + span.begin, n_, work);
    return converged ? absl::OkStatus() : NotConverged();
  }

  absl::Status JoinSubtrees() {
    if (joins_.empty()) return absl::OkStatus();
    int64_t largest = 0;
    for (const Join& join : joins_) largest = std::max(largest, join.span.size);
    const runtime::Buffer work = pool_.AllocateArray<double>(static_cast<size_t>(MergeWork(largest)));
    for (const Join& join : joins_) {
      if (auto done = Merge(executor_, HalvesOf(join.span), join.beside, work.as<double>()); !done.ok()) return done;
    }
    return absl::OkStatus();
  }

  Halves HalvesOf(const Span& span) {
    return {Matrix<double>(vectors_.row(span.begin) + span.begin, span.size, span.size, n_), diagonal_ + span.begin,
            order_.data() + span.begin, FirstHalf(span.size)};
  }

  // Values ascending, vectors with them.
  absl::Status Sort() {
    std::vector<int> rows(static_cast<size_t>(n_));
    std::iota(rows.begin(), rows.end(), 0);
    std::stable_sort(rows.begin(), rows.end(), [this](int a, int b) { return diagonal_[a] < diagonal_[b]; });
    std::vector<double> values(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) values[i] = diagonal_[rows[i]];
    std::copy(values.begin(), values.end(), diagonal_);
    return PermuteRows(executor_, rows, vectors_);
  }

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const int64_t n_;
  double* const diagonal_;
  double* const subdiagonal_;
  const Matrix<double> vectors_;
  std::vector<int> order_;  // [n], of each part: its rows by ascending value
  std::vector<Span> blocks_;
  std::vector<int> exponents_;  // of blocks_
  std::vector<Span> subtrees_;
  std::vector<Join> joins_;  // halves before wholes
};

}  // namespace

absl::Status TridiagonalEigen(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* diagonal,
                              double* subdiagonal, double* vectors) {
  return DivideAndConquer(executor, pool, n, diagonal, subdiagonal, vectors).Run();
}

// Subtrees at once take less than one merge of all, where there are several of them.
double TridiagonalEigenBytes(int64_t n) { return 8 * static_cast<double>(MergeWork(n)) + 128 * static_cast<double>(n); }

}  // namespace attend::compute
