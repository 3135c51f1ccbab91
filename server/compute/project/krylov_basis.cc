#include "server/compute/project/krylov_basis.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

uint64_t SplitMix(uint64_t& state) {
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Standard normal numbers (Box and Muller).
void FillNormal(uint64_t seed, int64_t count, double* to) {
  const auto uniform = [&seed] { return (static_cast<double>(SplitMix(seed) >> 11) + 0.5) * 0x1p-53; };
  for (int64_t i = 0; i < count; i += 2) {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    const double angle = 2 * std::numbers::pi * uniform();
    to[i] = radius * std::cos(angle);
    if (i + 1 < count) to[i + 1] = radius * std::sin(angle);
  }
}

// How many leading diagonal entries exceed `bound`.
int64_t LeadingAbove(double bound, const lapack::ColumnMajor& a) {
  int64_t count = 0;
  while (count < a.cols && std::abs(*a.at(count, count)) > bound) ++count;
  return count;
}

runtime::Buffer Doubles(runtime::BufferPool& pool, int64_t count) {
  return pool.AllocateArray<double>(static_cast<size_t>(count));
}

double ProductFlops(int64_t rows, int64_t inner, int64_t cols) {
  return 2 * static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(cols);
}

// Of a QR factorization and its Q, of as many columns as `block` has rows.
double QrFlops(const Matrix<double>& block) { return 2 * ProductFlops(block.rows, block.rows, block.cols); }

int64_t Work(int64_t block) { return std::max(lapack::QrWork(block), lapack::PivotedQrWork(block)); }

}  // namespace

KrylovBasis::KrylovBasis(runtime::Executor& executor, runtime::BufferPool& pool, const double* a, int64_t n, int64_t m,
                         double norm, int64_t block, int64_t most)
    : executor_(executor),
      a_(a, n, m, m),
      spent_(4 * std::numeric_limits<double>::epsilon() * norm),
      block_(block),
      most_(most),
      left_(Doubles(pool, most * n)),
      right_(Doubles(pool, (most + block) * m)),
      projected_(Doubles(pool, most * most)),
      coupling_(Doubles(pool, block * block)),
      product_(Doubles(pool, block * std::max(n, m))),
      shares_(Doubles(pool, block * (most + block))),
      work_(Doubles(pool, Work(block) + block)),
      pivots_(pool.AllocateArray<int>(static_cast<size_t>(block))) {}

absl::Status KrylovBasis::Start() {
  FillNormal(Seed(), block_ * a_.rows, product_.as<double>());
  if (auto done = Multiply(product_.as<double>(), a_, right_.as<double>()); !done.ok()) return done;
  return Orthonormalize({right_.as<double>(), block_, a_.cols}, right_.as<double>(), 0);
}

absl::Status KrylovBasis::Extend() {
  const int64_t n = a_.rows, m = a_.cols;
  const Matrix<double> left(left_.as<double>() + size_ * n, block_, n);
  const Matrix<double> right(right_.as<double>() + size_ * m, block_, m), next(right.row(block_), block_, m);
  double* const product = product_.as<double>();

  if (auto done = Multiply(right.data, Transposed(a_), product); !done.ok()) return done;
  std::copy_n(product, block_ * n, left.data);
  if (auto done = Orthonormalize(left, left_.as<double>(), size_); !done.ok()) return done;
  const int64_t before = size_;
  size_ += block_;
  const Matrix<double> columns(projected_.as<double>() + before * most_, block_, size_, most_);
  std::fill_n(columns.data, block_ * most_, 0.0);
  flops_ += ProductFlops(block_, n, size_) + ProductFlops(block_, m, block_);
  if (auto done = ParallelGemm(executor_, 1.0, Operand<double>(product, block_, n, n),
                               Transposed(Operand<double>(left_.as<double>(), size_, n, n)), 0.0, columns);
      !done.ok()) {
    return done;
  }

  if (auto done = Multiply(left.data, a_, product); !done.ok()) return done;
  std::copy_n(product, block_ * m, next.data);
  if (auto done = Orthonormalize(next, right_.as<double>(), size_); !done.ok()) return done;
  return ParallelGemm(executor_, 1.0, Operand<double>(product, block_, m, m), Transposed(Operand<double>(next)), 0.0,
                      Matrix<double>(coupling_.as<double>(), block_, block_));
}

// products [block, by.cols] = vectors [block, by.rows] by.
absl::Status KrylovBasis::Multiply(const double* vectors, const Operand<double>& by, double* products) {
  flops_ += ProductFlops(block_, by.rows, by.cols);
  return ParallelGemm(executor_, 1.0, Operand<double>(vectors, block_, by.rows, by.rows), by, 0.0,
                      Matrix<double>(products, block_, by.cols));
}

uint64_t KrylovBasis::Seed() const {
  return static_cast<uint64_t>(a_.rows) * 0x100000001B3u + static_cast<uint64_t>(a_.cols) * 0x10001u +
         static_cast<uint64_t>(block_) + static_cast<uint64_t>(size_) * 0x9E3779B1u;
}

// Makes `block`, which follows the first `count` vectors of `basis`, orthonormal and orthogonal to these. What it has
// of its own may be rounding: the range of A is spent, or what is left of it has fewer dimensions than the block.
// Pivots put such directions last; they show in the first pass by their size, or in the second, where they turn out to
// lie in the basis after all (whatever has a part of its own is orthogonal after one pass and stays after two: Giraud
// et al. 2005). Random directions take their place.
absl::Status KrylovBasis::Orthonormalize(const Matrix<double>& block, const double* basis, int64_t count) {
  constexpr int kMostPasses = 6;
  constexpr double kOwnShare = 0.5;
  const lapack::ColumnMajor columns{block.data, block.cols, block.rows, block.cols};
  double* const factors = work_.as<double>() + Work(block_);
  if (auto done = RemoveShares(block, basis, count); !done.ok()) return done;
  lapack::PivotedQr(columns, pivots_.as<int>(), factors, work_.as<double>());
  flops_ += QrFlops(block);
  int64_t own = LeadingAbove(spent_, columns);
  lapack::FormQ(columns, factors, work_.as<double>());
  Replace(block, own);
  for (int pass = 1; pass < kMostPasses; ++pass) {
    if (auto done = RemoveShares(block, basis, count); !done.ok()) return done;
    lapack::Qr(columns, factors, work_.as<double>());
    flops_ += QrFlops(block);
    const int64_t kept = LeadingAbove(kOwnShare, columns);
    lapack::FormQ(columns, factors, work_.as<double>());
    if (kept == block_) break;
    if (kept < own) Replace(block, kept);
    own = std::min(own, kept);
  }
  return MeasureDeviation(block, basis, count);
}

// block -= block basis^T basis.
absl::Status KrylovBasis::RemoveShares(const Matrix<double>& block, const double* basis, int64_t count) {
  if (auto wanted = executor_.cancellation().Check(); !wanted.ok()) return wanted;
  if (count == 0) return absl::OkStatus();
  flops_ += 2 * ProductFlops(block.rows, block.cols, count);
  const Operand<double> others(basis, count, block.cols, block.cols);
  const Matrix<double> shares(shares_.as<double>(), block.rows, count);
  auto done = ParallelGemm(executor_, 1.0, Operand<double>(block), Transposed(others), 0.0, shares);
  if (done.ok()) done = ParallelGemm(executor_, -1.0, Operand<double>(shares), others, 1.0, block);
  return done;
}

// Rows from `begin` on become random, of length about 1.
void KrylovBasis::Replace(const Matrix<double>& block, int64_t begin) {
  if (begin == block.rows) return;
  const int64_t count = (block.rows - begin) * block.cols;
  FillNormal(Seed() + ++replaced_, count, block.row(begin));
  const double scale = 1 / std::sqrt(static_cast<double>(block.cols));
  std::for_each_n(block.row(begin), count, [scale](double& x) { x *= scale; });
}

absl::Status KrylovBasis::MeasureDeviation(const Matrix<double>& block, const double* basis, int64_t count) {
  const int64_t all = count + block.rows;
  flops_ += ProductFlops(block.rows, block.cols, all);
  const Matrix<double> products(shares_.as<double>(), block.rows, all);
  if (auto done = ParallelGemm(executor_, 1.0, Operand<double>(block),
                               Transposed(Operand<double>(basis, all, block.cols, block.cols)), 0.0, products);
      !done.ok()) {
    return done;
  }
  for (int64_t i = 0; i < block.rows; ++i) {
    products.row(i)[count + i] -= 1;
    for (int64_t j = 0; j < all; ++j) {
      const double off = std::abs(products.row(i)[j]);
      if (!(off <= deviation_)) deviation_ = off;
    }
  }
  return absl::OkStatus();
}

double KrylovWorkspaceBytes(int64_t n, int64_t m, int64_t block, int64_t most) {
  const auto rows = static_cast<double>(n), cols = static_cast<double>(m);
  const auto b = static_cast<double>(block), d = static_cast<double>(most);
  const double bases = d * rows + (d + b) * cols + d * d;
  const double scratch = b * (b + std::max(rows, cols) + d + b + 2) + static_cast<double>(Work(block));
  return sizeof(double) * (bases + scratch);
}

}  // namespace attend::compute
