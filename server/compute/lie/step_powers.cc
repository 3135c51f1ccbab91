#include "server/compute/lie/step_powers.h"

#include <utility>

#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

void NormalizeRows(const Matrix<double>& power) {
  for (int64_t i = 0; i < power.rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < power.cols; ++j) sum += power.row(i)[j];
    for (int64_t j = 0; j < power.cols; ++j) power.row(i)[j] /= sum;
  }
}

}  // namespace

absl::Status StepPowers::Reach(size_t k) {
  while (views_.size() <= k) {
    runtime::Buffer square;
    if (absl::Status done = Product(views_.back(), views_.back(), square); !done.ok()) return done;
    views_.push_back(View(square));
    buffers_.push_back(std::move(square));
  }
  return absl::OkStatus();
}

absl::Status StepPowers::Product(const Matrix<const double>& a, const Matrix<const double>& b, runtime::Buffer& to) {
  to = pool_.AllocateArray<double>(static_cast<size_t>(a.rows * a.rows));
  const Matrix<double> out(to.as<double>(), a.rows, a.rows);
  absl::Status done = ParallelGemm(executor_, 1.0, Operand<double>(a), Operand<double>(b), 0.0, out);
  NormalizeRows(out);
  return done;
}

Matrix<const double> StepPowers::View(const runtime::Buffer& buffer) const {
  return {buffer.as<double>(), views_[0].rows, views_[0].rows};
}

}  // namespace attend::compute
