#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/spectral.h"
#include "server/compute/matrix_exp/structured_methods.h"

namespace attend::compute {
namespace {

template <typename T>
class SpectralMethod final : public Method<T> {
 public:
  using Decompose = absl::StatusOr<std::unique_ptr<Spectral>> (*)(runtime::Executor&, runtime::BufferPool&,
                                                                  const Matrix<const T>&);

  SpectralMethod(runtime::BufferPool& pool, const Matrix<const T>& a, MatrixStructure structure, Decompose decompose)
      : Method<T>(pool, a), structure_(structure), decompose_(decompose) {}

  absl::Status Exp(runtime::Executor& executor, double time, const Matrix<T>& result,
                   MatrixExpReport& report) override {
    if (auto done = Prepare(executor); !done.ok()) return done;
    const int64_t n = this->a_.rows;
    const Dense exponential(n, n, this->pool_);
    Spectral::Rest rest;
    {
      const Dense rows(n, n, this->pool_);
      std::copy_n(spectral_->basis().data(), n * n, rows.data());
      rest = spectral_->Apply(time, rows.view());
      if (auto done = spectral_->FromBasis(executor, rows.view(), exponential.view()); !done.ok()) return done;
    }
    for (int64_t i = 0; i < n; ++i) exponential.view().row(i)[i] += rest.identity;
    if (auto done = spectral_->Polish(executor, this->pool_, exponential.view()); !done.ok()) return done;
    if (!Store(exponential.view(), rest.exponent, result)) return this->Overflow(time);
    StartReport(time, report);
    report.products = 1;
    report.error_bound += Vanished(result);
    if (structure_ == MatrixStructure::kSymmetric) return absl::OkStatus();
    return MeasureOrthogonality(executor, result, exponential.view(), report);
  }

  absl::Status AddExpAdjoint(runtime::Executor& executor, double time, const Matrix<const double>& gradient,
                             const Matrix<double>& sum) override {
    if (auto done = Prepare(executor); !done.ok()) return done;
    const int64_t n = this->a_.rows;
    const Dense half(n, n, this->pool_);
    const Dense inside(n, n, this->pool_);
    // Z G Z^T = (Z (Z G)^T)^T
    if (auto done = spectral_->ToBasis(executor, View(gradient), half.view()); !done.ok()) return done;
    if (auto done = spectral_->ToBasis(executor, Transposed(View(AsConst(half.view()))), inside.view()); !done.ok()) {
      return done;
    }
    Transpose(inside.view());
    SetZero(half.view());
    spectral_->AddDerivative(time, inside.view(), half.view());
    this->other_flops_ += AdjointFlops(time);
    return AddFromBasis(executor, time, half, inside, sum);
  }

 protected:
  absl::Status ApplyExp(runtime::Executor& executor, double time, bool transposed, const Matrix<const T>& b,
                        const Matrix<T>& out, MatrixExpReport& report) override {
    if (auto done = Prepare(executor); !done.ok()) return done;
    ScaledColumns f(b.rows, b.cols, this->pool_);
    f.LoadFrom(b);
    const Dense inside(b.rows, b.cols, this->pool_);
    const Dense back(b.rows, b.cols, this->pool_);
    if (auto done = spectral_->ToBasis(executor, f.values.view(), inside.view()); !done.ok()) return done;
    const Spectral::Rest rest = spectral_->Apply(transposed ? spectral_->TransposedTime(time) : time, inside.view());
    if (auto done = spectral_->FromBasis(executor, inside.view(), back.view()); !done.ok()) return done;
    double* values = f.values.data();
    for (int64_t i = 0; i < f.values.size(); ++i) values[i] = rest.identity * values[i] + back.data()[i];
    for (int64_t& exponent : f.exponents) exponent += rest.exponent;
    if (!f.StoreTo(0, out)) return this->Overflow(time);
    StartReport(time, report);
    if (!transposed) AllowForGrowth(time, b, out, report);
    return absl::OkStatus();
  }

  double ApplyExpFlops(double time, int64_t p) const override {
    const auto n = static_cast<double>(this->a_.rows);
    return (spectral_ == nullptr ? DecomposeFlops() : 0) + 4 * n * n * static_cast<double>(p);
  }
  double AdjointFlops(double time) const override {
    const auto n = static_cast<double>(this->a_.rows);
    return (spectral_ == nullptr ? DecomposeFlops() : 0) + 8 * n * n * n;
  }

 private:
  static constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

  // As many operations of products take as long, measured.
  double DecomposeFlops() const {
    constexpr double kProducts = 12;
    const auto n = static_cast<double>(this->a_.rows);
    return kProducts * 2 * n * n * n;
  }

  static Operand<double> View(const Matrix<const double>& a) { return Operand<double>(a); }

  static void Transpose(const Matrix<double>& a) {
    for (int64_t i = 0; i < a.rows; ++i) {
      for (int64_t j = 0; j < i; ++j) std::swap(a.row(i)[j], a.row(j)[i]);
    }
  }

  absl::Status Prepare(runtime::Executor& executor) {
    if (spectral_ != nullptr) return absl::OkStatus();
    auto spectral = decompose_(executor, this->pool_, this->a_);
    if (!spectral.ok()) return spectral.status();
    spectral_ = *std::move(spectral);
    const auto n = static_cast<double>(this->a_.rows);
    this->other_flops_ += 9 * n * n * n;
    return absl::OkStatus();
  }

  // Eigenvalues are those of a matrix within some units of roundoff of A in the 2-norm, and exp's condition there is
  // |t A|; the 1-norm may be sqrt(n) times the 2-norm. Among eigenvalues that all but agree the refinement gains
  // nothing, and they keep what the decomposition rounds to.
  void StartReport(double time, MatrixExpReport& report) const {
    report = MatrixExpReport{};
    report.structure = structure_;
    report.norm1 = this->ReportedNorm(time);
    const double units = std::sqrt(static_cast<double>(this->a_.rows)) * (6 + 20 * spectral_->LargestEigenvalue(time));
    report.error_bound = std::min(1e300, kUnit * units) + std::numeric_limits<T>::epsilon() / 2;
  }

  // Errors are relative to |exp| |b|, of the eigenvectors that b touches at all: what it has of them is known within
  // roundoff only.
  void AllowForGrowth(double time, const Matrix<const T>& b, const Matrix<T>& out, MatrixExpReport& report) const {
    const double before = NormOne(b);
    if (before == 0) return;
    const double after = NormOne(AsConst(out));
    std::vector<bool> support(static_cast<size_t>(b.rows), false);
    for (int64_t i = 0; i < b.rows; ++i) {
      support[static_cast<size_t>(i)] = std::any_of(b.row(i), b.row(i) + b.cols, [](T x) { return x != 0; });
    }
    const long double growth =
        after == 0 ? 0 : std::exp(spectral_->LogGrowth(time, support)) * (static_cast<long double>(before) / after);
    const auto factor = static_cast<double>(std::clamp<long double>(growth, 1, 1e300));
    report.error_bound = std::min(1e300, report.error_bound * factor) + Vanished(out);
  }

  // What is lost where the result is as small as the least numbers of T.
  static double Vanished(const Matrix<T>& result) {
    const double norm = NormOne(AsConst(result));
    if (norm == 0) return 1;
    if (norm >= static_cast<double>(std::numeric_limits<T>::min()) / kUnit) return 0;
    return static_cast<double>(std::numeric_limits<T>::denorm_min()) * static_cast<double>(result.rows) / norm;
  }

  // Of what goes back to the caller, rounding to T included.
  absl::Status MeasureOrthogonality(runtime::Executor& executor, const Matrix<T>& result, const Matrix<double>& scratch,
                                    MatrixExpReport& report) {
    const Dense wide(result.rows, result.cols, this->pool_);
    Load(AsConst(result), wide.view());
    const absl::StatusOr<double> error = OrthogonalityError(executor, Operand<double>(wide.view()), scratch);
    if (!error.ok()) return error.status();
    report.orthogonality_error = *error;
    return absl::OkStatus();
  }

  // sum += Z^T x Z; overwrites x and scratch.
  absl::Status AddFromBasis(runtime::Executor& executor, double time, const Dense& x, const Dense& scratch,
                            const Matrix<double>& sum) {
    if (auto done = spectral_->FromBasis(executor, x.view(), scratch.view()); !done.ok()) return done;
    if (auto done = spectral_->FromBasis(executor, Transposed(Operand<double>(scratch.view())), x.view()); !done.ok()) {
      return done;
    }
    bool finite = true;
    for (int64_t i = 0; i < sum.rows; ++i) {
      for (int64_t j = 0; j < sum.cols; ++j) {
        sum.row(i)[j] += x.view().row(j)[i];
        finite = finite && std::isfinite(sum.row(i)[j]);
      }
    }
    return finite ? absl::OkStatus() : this->Overflow(time);
  }

  const MatrixStructure structure_;
  const Decompose decompose_;
  std::unique_ptr<Spectral> spectral_;
};

}  // namespace

template <typename T>
std::unique_ptr<Method<T>> MakeSymmetricMethod(runtime::BufferPool& pool, const Matrix<const T>& a) {
  return std::make_unique<SpectralMethod<T>>(pool, a, MatrixStructure::kSymmetric, &DecomposeSymmetric<T>);
}

template <typename T>
std::unique_ptr<Method<T>> MakeSkewSymmetricMethod(runtime::BufferPool& pool, const Matrix<const T>& a) {
  return std::make_unique<SpectralMethod<T>>(pool, a, MatrixStructure::kSkewSymmetric, &DecomposeSkewSymmetric<T>);
}

template std::unique_ptr<Method<float>> MakeSymmetricMethod(runtime::BufferPool&, const Matrix<const float>&);
template std::unique_ptr<Method<double>> MakeSymmetricMethod(runtime::BufferPool&, const Matrix<const double>&);
template std::unique_ptr<Method<float>> MakeSkewSymmetricMethod(runtime::BufferPool&, const Matrix<const float>&);
template std::unique_ptr<Method<double>> MakeSkewSymmetricMethod(runtime::BufferPool&, const Matrix<const double>&);

}  // namespace attend::compute
