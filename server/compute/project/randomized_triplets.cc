#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "server/compute/parallel_gemm.h"
#include "server/compute/project/difference_norm.h"
#include "server/compute/project/svd.h"
#include "server/compute/project/triplets.h"

namespace attend::compute {
namespace {

constexpr int64_t kOversampling = 10;
constexpr int kMostSweeps = 12;
constexpr double kLargestExcess = 1e-4;  // of the distance over the best
// Where what the sketch misses is this small beside the last value kept, each sweep shrinks the error by its fourth
// power: two of them leave nothing.
constexpr double kNegligible = 1e-2;
// Below this share of the whole, a difference of sums of squares says nothing; the rest is measured entry by entry.
constexpr double kCancelled = 1e-10;

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

// The sketch of one matrix: an orthonormal basis Q of (nearly) its leading left vectors, and the values seen through
// it.
class Sketch {
 public:
  Sketch(runtime::Executor& executor, runtime::BufferPool& pool, const double* a, int64_t n, int64_t m, int64_t rank)
      : executor_(executor),
        pool_(pool),
        a_(a, n, m, m),
        rank_(rank),
        size_(std::min({n, m, rank + kOversampling})),
        basis_(pool.AllocateArray<double>(static_cast<size_t>(size_ * n))),
        image_(pool.AllocateArray<double>(static_cast<size_t>(size_ * m))),
        small_(pool.AllocateArray<double>(static_cast<size_t>(size_ * size_))),
        work_(pool.AllocateArray<double>(static_cast<size_t>(lapack::QrWork(size_) + size_))) {
    const auto seed = static_cast<uint64_t>(n) * 0x100000001B3u + static_cast<uint64_t>(m) * 0x10001u;
    FillNormal(seed + static_cast<uint64_t>(rank), size_ * m, image_.as<double>());
    total_square_ = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double norm = Norm(a + i * m, m);
      total_square_ += norm * norm;
    }
  }

  // Q = orth(A Z), B = Q^T A, Z = orth(B^T), and the values of B.
  absl::Status Sweep() {
    const Matrix<double> basis(basis_.as<double>(), size_, a_.rows), image(image_.as<double>(), size_, a_.cols);
    if (auto done = ParallelGemm(executor_, 1.0, Operand<double>(image), Transposed(a_), 0.0, basis); !done.ok()) {
      return done;
    }
    const lapack::ColumnMajor q{basis.data, basis.cols, size_, basis.cols};
    lapack::Qr(q, factors(), work_.as<double>());
    lapack::FormQ(q, factors(), work_.as<double>());
    if (auto done = ParallelGemm(executor_, 1.0, Operand<double>(basis), a_, 0.0, image); !done.ok()) return done;
    const lapack::ColumnMajor z{image.data, image.cols, size_, image.cols};
    missed_ = -1;
    lapack::Qr(z, factors(), work_.as<double>());
    KeepTriangle(z);
    lapack::FormQ(z, factors(), work_.as<double>());
    svd_ = Svd();
    const lapack::ColumnMajor triangle{small_.as<double>(), size_, size_, size_};
    return svd_.Decompose(executor_, pool_, triangle, Svd::Wanted::kVectors);
  }

  const double* values() const { return svd_.values(); }
  int64_t size() const { return size_; }
  double total_square() const { return total_square_; }

  double SquaresOfValues(int64_t begin, int64_t end) const {
    double sum = 0;
    for (int64_t i = end - 1; i >= begin; --i) sum += values()[i] * values()[i];
    return sum;
  }

  // ||A - Q Q^T A||.
  absl::Status MeasureMissed() {
    const double rest = total_square_ - SquaresOfValues(0, size_);
    if (rest > kCancelled * total_square_) {
      missed_ = std::sqrt(rest);
      return absl::OkStatus();
    }
    return MeasureMissedByEntries();
  }
  double missed() const { return missed_; }

  absl::StatusOr<Triplets> Take(double distance_over_best, bool all_values_known) {
    Triplets result;
    result.rank = rank_;
    result.values.assign(values(), values() + size_);
    result.randomized = true;
    result.total_square = total_square_;
    result.distance_over_best = distance_over_best;
    result.all_values_known = all_values_known;
    // R = W s Y^T gives B = R^T Z^T = Y s (Z W)^T.
    const runtime::Buffer w = pool_.AllocateArray<double>(static_cast<size_t>(rank_ * size_));
    const runtime::Buffer y = pool_.AllocateArray<double>(static_cast<size_t>(rank_ * size_));
    if (auto done = svd_.Left(executor_, pool_, rank_, w.as<double>()); !done.ok()) return done;
    if (auto done = svd_.Right(executor_, pool_, rank_, y.as<double>()); !done.ok()) return done;
    if (auto done = Combine(y, basis_, a_.rows, result.left); !done.ok()) return done;
    if (auto done = Combine(w, image_, a_.cols, result.right); !done.ok()) return done;
    return result;
  }

 private:
  double* factors() const { return work_.as<double>() + lapack::QrWork(size_); }

  void KeepTriangle(const lapack::ColumnMajor& z) {
    for (int64_t j = 0; j < size_; ++j) {
      std::copy_n(z.at(0, j), j + 1, small_.as<double>() + j * size_);
      std::fill_n(small_.as<double>() + j * size_ + j + 1, size_ - j - 1, 0.0);
    }
  }

  // to [rank, length] = coefficients [rank, size] * vectors [size, length].
  absl::Status Combine(const runtime::Buffer& coefficients, const runtime::Buffer& vectors, int64_t length,
                       runtime::Buffer& to) {
    to = pool_.AllocateArray<double>(static_cast<size_t>(rank_ * length));
    return ParallelGemm(executor_, 1.0, Operand<double>(coefficients.as<double>(), rank_, size_, size_),
                        Operand<double>(vectors.as<double>(), size_, length, length), 0.0,
                        Matrix<double>(to.as<double>(), rank_, length));
  }

  // Rows of A - (A Z) Z^T: Z spans the same rows as B.
  absl::Status MeasureMissedByEntries() {
    constexpr int64_t kRows = 64;
    const runtime::Buffer norms = pool_.AllocateArray<double>(static_cast<size_t>(a_.rows));
    const int64_t strip = kRows * (a_.cols + size_);
    const runtime::Buffer scratch = pool_.AllocateArray<double>(static_cast<size_t>(executor_.max_workers() * strip));
    const Operand<double> z(image_.as<double>(), size_, a_.cols, a_.cols);
    const double flops = 4.0 * kRows * static_cast<double>(a_.cols) * static_cast<double>(size_);
    const auto done = executor_.ForEachTile((a_.rows + kRows - 1) / kRows, flops, [&](int64_t index, int worker) {
      const int64_t begin = index * kRows, rows = std::min(kRows, a_.rows - begin);
      double* const memory = scratch.as<double>() + worker * strip;
      const Matrix<double> rest(memory, rows, a_.cols), seen(memory + kRows * a_.cols, rows, size_);
      const Operand<double> strip_of_a(a_.data + begin * a_.stride, rows, a_.cols, a_.stride);
      std::copy_n(strip_of_a.data, rows * a_.cols, memory);
      if (auto ok = Gemm(1.0, strip_of_a, Transposed(z), 0.0, seen); !ok.ok()) return ok;
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
  const int64_t size_;           // vectors in the sketch
  const runtime::Buffer basis_;  // [size, n]
  const runtime::Buffer image_;  // [size, m]
  const runtime::Buffer small_;  // [size, size]
  const runtime::Buffer work_;
  Svd svd_;
  double total_square_ = 0;
  double missed_ = -1;
};

// How much the squares of `values` exceed those of `before`, value by value: sums would hide what the small ones gain.
// Differences within the rounding of the decomposition are none.
double Growth(const double* values, const std::vector<double>& before) {
  constexpr double kRounding = 8 * std::numeric_limits<double>::epsilon();
  double growth = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const double difference = values[i] - before[i];
    if (difference > kRounding * values[0]) growth += difference * (values[i] + before[i]);
  }
  return growth;
}

// The share that each growth of the squares has of the one before. Never below a half: a sudden drop says that the
// values which stand apart have converged, not that the others have.
double Ratio(double last, double before) {
  constexpr double kFastest = 0.5, kSlowest = 0.95;
  return before > 0 ? std::clamp(last / before, kFastest, kSlowest) : kSlowest;
}

// What the squares may still grow by: as if their growths fell in a geometric series, and four times that, since they
// may fall more slowly.
double RemainingGrowth(double last, double ratio) {
  constexpr double kSafety = 4;
  return kSafety * last * ratio / (1 - ratio);
}

}  // namespace

absl::StatusOr<std::optional<Triplets>> RandomizedTriplets(runtime::Executor& executor, runtime::BufferPool& pool,
                                                           const double* a, int64_t n, int64_t m, int64_t rank,
                                                           double epsilon) {
  Sketch sketch(executor, pool, a, n, m, rank);
  std::vector<double> before(static_cast<size_t>(rank));
  double growth = 0;
  for (int sweep = 1; sweep <= kMostSweeps; ++sweep) {
    if (auto done = sketch.Sweep(); !done.ok()) return done;
    const double growth_before = growth;
    growth = Growth(sketch.values(), before);
    before.assign(sketch.values(), sketch.values() + rank);
    if (sweep < 2) continue;
    if (auto done = sketch.MeasureMissed(); !done.ok()) return done;
    const double rounding = static_cast<double>(std::max(n, m)) * epsilon * std::sqrt(sketch.total_square());
    const bool all_known = sketch.missed() <= rounding;
    if (all_known || sketch.missed() <= kNegligible * sketch.values()[rank - 1]) return sketch.Take(1, all_known);
    if (sweep < 3) continue;
    const double square = sketch.missed() * sketch.missed() + sketch.SquaresOfValues(rank, sketch.size());
    const double ratio = Ratio(growth, growth_before);
    const double excess = RemainingGrowth(growth, ratio) / square;
    if (excess <= 2 * kLargestExcess) return sketch.Take(1 / std::sqrt(1 - excess), all_known);
    if (excess * std::pow(ratio, kMostSweeps - sweep) > 2 * kLargestExcess) return std::nullopt;  // too slow
  }
  return std::nullopt;
}

bool WorthRandomizing(int64_t n, int64_t m, int64_t rank) {
  const int64_t side = std::min(n, m);
  return side >= 1024 && 32 * rank <= side;
}

double RandomizedWorkspaceBytes(int64_t n, int64_t m, int64_t rank) {
  constexpr double kStrip = 64;
  const auto size = static_cast<double>(rank + kOversampling);
  const double vectors = 2 * size * static_cast<double>(n + m);
  return sizeof(double) * (vectors + 12 * size * size + 256 * size + kStrip * (static_cast<double>(m) + size));
}

}  // namespace attend::compute
