#include "server/compute/project/krylov_basis.h"

#include <algorithm>
#include <cmath>
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

double LeastOnDiagonal(const lapack::ColumnMajor& a) {
  double least = std::abs(*a.at(0, 0));
  for (int64_t k = 1; k < a.cols; ++k) least = std::min(least, std::abs(*a.at(k, k)));
  return least;
}

runtime::Buffer Doubles(runtime::BufferPool& pool, int64_t count) {
  return pool.AllocateArray<double>(static_cast<size_t>(count));
}

}  // namespace

KrylovBasis::KrylovBasis(runtime::Executor& executor, runtime::BufferPool& pool, const double* a, int64_t n, int64_t m,
                         int64_t block, int64_t most)
    : executor_(executor),
      a_(a, n, m, m),
      block_(block),
      most_(most),
      left_(Doubles(pool, most * n)),
      right_(Doubles(pool, (most + block) * m)),
      projected_(Doubles(pool, most * most)),
      coupling_(Doubles(pool, block * block)),
      product_(Doubles(pool, block * std::max(n, m))),
      shares_(Doubles(pool, block * (most + block))),
      work_(Doubles(pool, lapack::QrWork(block) + block)) {}

absl::Status KrylovBasis::Start() {
  const auto seed = static_cast<uint64_t>(a_.rows) * 0x100000001B3u + static_cast<uint64_t>(a_.cols) * 0x10001u;
  FillNormal(seed + static_cast<uint64_t>(block_), block_ * a_.rows, product_.as<double>());
  if (auto done = Multiply(product_.as<double>(), a_, right_.as<double>()); !done.ok()) return done;
  return Orthonormalize({right_.as<double>(), block_, a_.cols}, nullptr, 0);
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
  return ParallelGemm(executor_, 1.0, Operand<double>(vectors, block_, by.rows, by.rows), by, 0.0,
                      Matrix<double>(products, block_, by.cols));
}

// Makes `block` orthonormal, and orthogonal to the first `count` vectors of `basis`. Twice is enough (Giraud et al.
// 2005) but where the block had next to nothing of its own: then other directions take its place.
absl::Status KrylovBasis::Orthonormalize(const Matrix<double>& block, const double* basis, int64_t count) {
  constexpr int kMostPasses = 4;
  constexpr double kOwnShare = 0.5;
  const Operand<double> others(basis, count, block.cols, block.cols);
  const Matrix<double> shares(shares_.as<double>(), block.rows, count);
  const lapack::ColumnMajor columns{block.data, block.cols, block.rows, block.cols};
  double* const factors = work_.as<double>() + lapack::QrWork(block_);
  for (int pass = 0; pass < kMostPasses; ++pass) {
    if (auto wanted = executor_.cancellation().Check(); !wanted.ok()) return wanted;
    if (count > 0) {
      auto done = ParallelGemm(executor_, 1.0, Operand<double>(block), Transposed(others), 0.0, shares);
      if (done.ok()) done = ParallelGemm(executor_, -1.0, Operand<double>(shares), others, 1.0, block);
      if (!done.ok()) return done;
    }
    lapack::Qr(columns, factors, work_.as<double>());
    const double least = LeastOnDiagonal(columns);
    lapack::FormQ(columns, factors, work_.as<double>());
    if (count == 0 || (pass > 0 && least > kOwnShare)) break;
  }
  return absl::OkStatus();
}

double KrylovWorkspaceBytes(int64_t n, int64_t m, int64_t block, int64_t most) {
  const auto rows = static_cast<double>(n), cols = static_cast<double>(m);
  const auto b = static_cast<double>(block), d = static_cast<double>(most);
  const double bases = d * rows + (d + b) * cols + d * d;
  const double scratch = b * (b + std::max(rows, cols) + d + b + 1) + static_cast<double>(lapack::QrWork(block));
  return sizeof(double) * (bases + scratch);
}

}  // namespace attend::compute
