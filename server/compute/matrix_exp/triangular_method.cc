#include <optional>

#include "server/compute/matrix_exp/general_method.h"
#include "server/compute/matrix_exp/structured_methods.h"
#include "server/compute/matrix_exp/triangular.h"

namespace attend::compute {
namespace {

template <typename T>
class TriangularMethod final : public GeneralMethod<T> {
 public:
  using GeneralMethod<T>::GeneralMethod;

  absl::Status Exp(runtime::Executor& executor, double time, const Matrix<T>& result,
                   MatrixExpReport& report) override {
    if (time != 0 && !overflowed_) {
      if (!triangular_) triangular_.emplace(this->pool_, this->a_);
      const absl::StatusOr<bool> fits = triangular_->Exp(executor, time, result, report);
      if (!fits.ok()) return fits.status();
      report.norm1 = this->ReportedNorm(time);
      if (*fits) return absl::OkStatus();
      // What overflows here need not there, where values have exponents of their own.
      overflowed_ = true;
      triangular_.reset();
      report = MatrixExpReport{};
    }
    absl::Status done = GeneralMethod<T>::Exp(executor, time, result, report);
    if (time == 0) report.structure = MatrixStructure::kTriangular;
    return done;
  }

 private:
  std::optional<Triangular<T>> triangular_;
  bool overflowed_ = false;
};

}  // namespace

template <typename T>
std::unique_ptr<Method<T>> MakeTriangularMethod(runtime::BufferPool& pool, const Matrix<const T>& a) {
  return std::make_unique<TriangularMethod<T>>(pool, a);
}

template std::unique_ptr<Method<float>> MakeTriangularMethod(runtime::BufferPool&, const Matrix<const float>&);
template std::unique_ptr<Method<double>> MakeTriangularMethod(runtime::BufferPool&, const Matrix<const double>&);

}  // namespace attend::compute
