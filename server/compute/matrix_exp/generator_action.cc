#include <algorithm>
#include <type_traits>

#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/generator_columns.h"
#include "server/compute/matrix_exp/generator_plan.h"
#include "server/compute/matrix_exp/generator_rates.h"
#include "server/compute/matrix_exp/uniformization.h"

namespace attend::compute {

template <typename T>
absl::Status GeneratorAction(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                             double time, const Matrix<const T>& b, const Matrix<T>& out, int64_t* products) {
  const Rates rates = MeasureRates(g, time);
  if (time == 0 || rates.largest.hi == 0 || b.cols == 0) {
    for (int64_t i = 0; i < b.rows; ++i) std::copy_n(b.row(i), b.cols, out.row(i));
    return absl::OkStatus();
  }
  const UniformRates scaled(rates);
  const bool plain = std::is_same_v<T, float> || scaled.rate_time <= kMaxPlainRateTime;
  const GeneratorColumns<T> columns(b);
  Uniformization<T> series(pool, g, scaled, b.cols, plain ? UniformProducts::kPlain : UniformProducts::kSplit);
  columns.Load(b, series.values(), series.rests());
  if (auto done = series.Run(executor); !done.ok()) return done;
  columns.Store(series.values(), series.rests(), out);
  if (products != nullptr) *products = series.products();
  return absl::OkStatus();
}

template <typename T>
double GeneratorActionBytes(int64_t n, int64_t p) {
  const auto kind = std::is_same_v<T, float> ? UniformProducts::kPlain : UniformProducts::kSplit;
  return Uniformization<T>::Bytes(n, p, kind);
}

template double GeneratorActionBytes<float>(int64_t, int64_t);
template double GeneratorActionBytes<double>(int64_t, int64_t);
template absl::Status GeneratorAction(runtime::Executor&, runtime::BufferPool&, const Matrix<const float>&, double,
                                      const Matrix<const float>&, const Matrix<float>&, int64_t*);
template absl::Status GeneratorAction(runtime::Executor&, runtime::BufferPool&, const Matrix<const double>&, double,
                                      const Matrix<const double>&, const Matrix<double>&, int64_t*);

}  // namespace attend::compute
