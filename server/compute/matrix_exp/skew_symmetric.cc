#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <utility>

#include "server/compute/matrix_exp/decompositions.h"
#include "server/compute/matrix_exp/spectral.h"
#include "server/compute/panels.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

using Complex = std::complex<double>;

constexpr int64_t kStridedPasses = 4;  // what an entry beside its mirror image costs, in entries along a row
constexpr int64_t kBlockPasses = 16;   // and what a block with its complex divisions does

// Rows 0 .. pairs - 1 of the basis are x_i, the rows from n - pairs on are y_i, with A x_i = -w_i y_i and
// A y_i = w_i x_i; where n is odd there is one more row between them, with A x = 0.
class SkewSymmetric final : public Spectral {
 public:
  SkewSymmetric(Dense basis, std::vector<double> values, int exponent) : Spectral(std::move(basis), exponent) {
    values_ = std::move(values);
  }

  // F = exp(t D) - I turns each pair: cos - 1 = -2 sin^2 (half the angle).
  Rest Apply(double time, const Matrix<double>& rows) const override {
    const long double scaled = Scaled(time);
    for (int64_t i = 0; i < pairs(); ++i) {
      const long double half = scaled * values_[static_cast<size_t>(i)] / 2;
      const long double half_sine = std::sin(half);
      const auto cosine_less_one = static_cast<double>(-2 * half_sine * half_sine);
      const auto sine = static_cast<double>(2 * half_sine * std::cos(half));
      double* x = rows.row(i);
      double* y = rows.row(first_y() + i);
      for (int64_t j = 0; j < rows.cols; ++j) {
        const double before = x[j];
        x[j] = cosine_less_one * before + sine * y[j];
        y[j] = cosine_less_one * y[j] - sine * before;
      }
    }
    if (2 * pairs() < n()) std::fill_n(rows.row(pairs()), rows.cols, 0.0);
    return {1, 0};
  }

  long double LogGrowth(double time, const std::vector<bool>& support) const override { return 0; }

  void AddDerivative(double time, const Matrix<double>& gradient, const Matrix<double>& sum) const override {
    const std::vector<Turn> turns = Turns(time);
    ForEachBlock([&](int64_t i, int64_t j) {
      const Turn& a = turns[static_cast<size_t>(i)];
      const Turn& b = turns[static_cast<size_t>(j)];
      Block block = Load(gradient, i, j);
      block.same *= time * a.half * b.half * Sinc(a, b, 1);
      block.opposite *= time * a.half * std::conj(b.half) * Sinc(a, b, -1);
      Add(block, i, j, sum);
    });
  }

  double TransposedTime(double time) const override { return -time; }

  // R (3 I - R^T R) / 2: Newton's iteration for the nearest orthogonal matrix (Higham 1986), from very near.
  absl::Status Polish(runtime::Executor& executor, runtime::BufferPool& pool,
                      const Matrix<double>& exponential) const override {
    constexpr int kMostRounds = 4;
    const double good_enough = std::max(4.0, static_cast<double>(n()) / 4) * std::numeric_limits<double>::epsilon();
    const Dense rest(n(), n(), pool);
    const Dense before(n(), n(), pool);
    for (int round = 0; round < kMostRounds; ++round) {
      const absl::StatusOr<double> error = OrthogonalityError(executor, Operand<double>(exponential), rest.view());
      if (!error.ok()) return error.status();
      if (*error <= good_enough) break;
      const auto copied = ForEachPanel(executor, n(), n(), [&](int64_t begin, int64_t end) {
        std::copy_n(exponential.row(begin), (end - begin) * n(), before.view().row(begin));
      });
      if (!copied.ok()) return copied;
      if (auto done = ParallelGemm(executor, 0.5, before.view(), rest.view(), 1.0, exponential); !done.ok()) {
        return done;
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status SubtractExpected(runtime::Executor& executor, const Matrix<double>& images) const override {
    return ForEachPanel(executor, pairs(), 2 * n(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t yi = first_y() + i;
        const double value = values_[static_cast<size_t>(i)];
        for (int64_t j = 0; j < n(); ++j) {
          images.row(i)[j] += value * basis_.view().row(yi)[j];
          images.row(yi)[j] -= value * basis_.view().row(i)[j];
        }
      }
    });
  }

  // As that of symmetric matrices, but by blocks.
  absl::Status Correct(runtime::Executor& executor, const Matrix<double>& rest, const Matrix<double>& change) override {
    if (auto done = Antisymmetrize(executor, change); !done.ok()) return done;
    if (auto done = DivideByGaps(executor, change); !done.ok()) return done;
    return ForEachPanel(executor, n(), n(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = 0; j < n(); ++j) change.row(i)[j] += ((i == j ? 1 : 0) - rest.row(i)[j]) / 2;
      }
    });
  }

  int64_t pairs() const { return n() / 2; }
  int64_t first_y() const { return n() - pairs(); }

  // The 2 x 2 block of the rows x_i, y_i and columns x_j, y_j in the basis (x + i y) / sqrt 2 and its conjugate, where
  // D is diagonal: the entries of the first row; the others are their conjugates. The row that has no y gets zeros for
  // it.
  struct Block {
    Complex same;
    Complex opposite;
  };

  int64_t YOf(int64_t i) const { return i < pairs() ? first_y() + i : -1; }

  Block Load(const Matrix<double>& m, int64_t i, int64_t j) const {
    const int64_t yi = YOf(i);
    const int64_t yj = YOf(j);
    const double xx = m.row(i)[j];
    const double xy = yj < 0 ? 0 : m.row(i)[yj];
    const double yx = yi < 0 ? 0 : m.row(yi)[j];
    const double yy = yi < 0 || yj < 0 ? 0 : m.row(yi)[yj];
    return {0.5 * Complex(xx + yy, xy - yx), 0.5 * Complex(xx - yy, -(xy + yx))};
  }

  void Add(const Block& block, int64_t i, int64_t j, const Matrix<double>& to) const {
    const int64_t yi = YOf(i);
    const int64_t yj = YOf(j);
    to.row(i)[j] += block.same.real() + block.opposite.real();
    if (yj >= 0) to.row(i)[yj] += block.same.imag() - block.opposite.imag();
    if (yi >= 0) to.row(yi)[j] -= block.same.imag() + block.opposite.imag();
    if (yi >= 0 && yj >= 0) to.row(yi)[yj] += block.same.real() - block.opposite.real();
  }

  // Blocks of different rows at the same time.
  template <typename Function>
  absl::Status ForEachBlock(runtime::Executor& executor, const Function& function) const {
    return ForEachPanel(executor, n() - pairs(), kBlockPasses * n(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = 0; j < n() - pairs(); ++j) function(i, j);
      }
    });
  }

  template <typename Function>
  void ForEachBlock(const Function& function) const {
    for (int64_t i = 0; i < n() - pairs(); ++i) {
      for (int64_t j = 0; j < n() - pairs(); ++j) function(i, j);
    }
  }

  static absl::Status Antisymmetrize(runtime::Executor& executor, const Matrix<double>& m) {
    return ForEachPanel(executor, m.rows, kStridedPasses * m.cols, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        m.row(i)[i] = 0;
        for (int64_t j = 0; j < i; ++j) {
          m.row(i)[j] = (m.row(i)[j] - m.row(j)[i]) / 2;
          m.row(j)[i] = -m.row(i)[j];
        }
      }
    });
  }

  // Divides residuals by the gaps between eigenvalues i w: what the vectors turn by. Adds its part to each w.
  absl::Status DivideByGaps(runtime::Executor& executor, const Matrix<double>& change) {
    const double close = 1e-6 * (values_.empty() ? 0 : values_.front());
    std::vector<double> w = values_;
    w.resize(static_cast<size_t>(n() - pairs()), 0);
    std::vector<double> refined = w;
    const auto done = ForEachBlock(executor, [&](int64_t j, int64_t i) {  // row j of change is of vector j
      Block block = Load(change, j, i);
      // The rows are transposed here: what belongs to eigenvalue i w_j stands at the conjugate's place.
      const double gap = w[static_cast<size_t>(j)] - w[static_cast<size_t>(i)];
      const double sum = w[static_cast<size_t>(j)] + w[static_cast<size_t>(i)];
      Block added = {-block.same, -block.opposite};
      if (i == j) refined[static_cast<size_t>(j)] -= block.same.imag();
      if (std::fabs(gap) > close) added.same += block.same / Complex(0, -gap);
      if (sum > close && i != j) added.opposite += block.opposite / Complex(0, -sum);
      Add(added, j, i, change);
    });
    refined.resize(values_.size());
    values_ = std::move(refined);
    return done;
  }

  // An eigenvalue i w of A^T = -A, times t: its angle t w, and exp(-i t w / 2).
  struct Turn {
    long double angle = 0;
    Complex half;
  };

  std::vector<Turn> Turns(double time) const {
    std::vector<Turn> turns;
    for (int64_t i = 0; i < n() - pairs(); ++i) {
      const long double angle = i < pairs() ? Scaled(time) * values_[static_cast<size_t>(i)] : 0;
      turns.push_back(
          {angle, Complex(static_cast<double>(std::cos(angle / 2)), static_cast<double>(-std::sin(angle / 2)))});
    }
    return turns;
  }

  // sin(h) / h at half the difference (sign 1) or sum (sign -1) of two angles.
  static double Sinc(const Turn& a, const Turn& b, int sign) {
    const auto h = static_cast<double>((a.angle - sign * b.angle) / 2);
    if (std::fabs(h) < 1e-8) return 1;
    if (std::fabs(h) < 1) return std::sin(h) / h;
    // Half angles' sines are -imag.
    const double sine = -a.half.imag() * b.half.real() + sign * a.half.real() * b.half.imag();
    return sine / h;
  }
};

// The lower bidiagonal matrix that maps the odd rows of the tridiagonal form to the even ones, square: where n is odd a
// column of zeros is added. Its singular values are the w.
struct Bidiagonal {
  std::vector<double> diagonal;
  std::vector<double> beside;
};

Bidiagonal SplitTridiagonal(int64_t n, const std::vector<double>& subdiagonal) {
  Bidiagonal half;
  for (int64_t i = 0; i < n; i += 2) half.diagonal.push_back(i + 1 < n ? -subdiagonal[static_cast<size_t>(i)] : 0);
  for (int64_t i = 1; i + 1 < n; i += 2) half.beside.push_back(subdiagonal[static_cast<size_t>(i)]);
  half.beside.push_back(0);
  return half;
}

}  // namespace

template <typename T>
absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSkewSymmetric(runtime::Executor& executor, runtime::BufferPool& pool,
                                                                 const Matrix<const T>& a) {
  const int64_t n = a.rows;
  const int64_t even = (n + 1) / 2;
  const int64_t odd = n / 2;
  const Dense q(n, n, pool);
  std::vector<double> subdiagonal(static_cast<size_t>(n));
  const int exponent = LoadScaled(a, q.view());
  absl::Status done = SkewTridiagonal(executor, pool, n, q.data(), subdiagonal.data());
  if (!done.ok()) return done;
  Bidiagonal half = SplitTridiagonal(n, subdiagonal);
  const Dense ut(even, even, pool);
  const Dense vt(even, even, pool);
  done = LowerBidiagonalSvd(executor, pool, even, half.diagonal.data(), half.beside.data(), ut.data(), vt.data());
  if (!done.ok()) return done;
  // The row of zeros has the last singular value, and it is no vector of ours.
  half.diagonal.resize(static_cast<size_t>(odd));
  Dense basis(n, n, pool);
  const Operand<double> even_rows(q.data(), even, n, 2 * n);
  const Operand<double> odd_rows(q.data() + n, odd, n, 2 * n);
  const Matrix<double> x(basis.data(), even, n);
  const Matrix<double> y(basis.data() + even * n, odd, n);
  if (done = ParallelGemm(executor, 1.0, ut.view(), even_rows, 0.0, x); !done.ok()) return done;
  const Operand<double> odd_vt(vt.data(), odd, odd, even);
  if (done = ParallelGemm(executor, 1.0, odd_vt, odd_rows, 0.0, y); !done.ok()) return done;
  auto skew = std::make_unique<SkewSymmetric>(std::move(basis), std::move(half.diagonal), exponent);
  LoadScaled(a, q.view());
  if (done = skew->Refine(executor, pool, q.view()); !done.ok()) return done;
  return skew;
}

template absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSkewSymmetric(runtime::Executor&, runtime::BufferPool&,
                                                                          const Matrix<const float>&);
template absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSkewSymmetric(runtime::Executor&, runtime::BufferPool&,
                                                                          const Matrix<const double>&);

}  // namespace attend::compute
