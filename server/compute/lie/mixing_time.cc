#include "server/compute/lie/mixing_time.h"

#include <algorithm>
#include <cmath>

#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

constexpr double kMixed = 0.25;

double Distance(const Matrix<const double>& power, const std::vector<double>& pi) {
  double largest = 0;
  for (int64_t i = 0; i < power.rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < power.cols; ++j) sum += std::fabs(power.row(i)[j] - pi[static_cast<size_t>(j)]);
    largest = std::max(largest, sum / 2);
  }
  return largest;
}

void NormalizeRows(const Matrix<double>& power) {
  for (int64_t i = 0; i < power.rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < power.cols; ++j) sum += power.row(i)[j];
    for (int64_t j = 0; j < power.cols; ++j) power.row(i)[j] /= sum;
  }
}

class Powers {
 public:
  Powers(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s)
      : executor_(executor), pool_(pool), n_(s.rows), views_{s} {}

  absl::Status Product(const Matrix<const double>& a, const Matrix<const double>& b, runtime::Buffer& to) {
    to = pool_.AllocateArray<double>(static_cast<size_t>(n_ * n_));
    const Matrix<double> out(to.as<double>(), n_, n_);
    absl::Status done = ParallelGemm(executor_, 1.0, Operand<double>(a), Operand<double>(b), 0.0, out);
    NormalizeRows(out);
    return done;
  }
  absl::Status Square() {
    absl::Status done = Product(views_.back(), views_.back(), buffers_.emplace_back());
    views_.push_back(View(buffers_.back()));
    return done;
  }
  // S^(2^k); kept for the last k that Square reached, and all before.
  const Matrix<const double>& at(size_t k) const { return views_[k]; }
  size_t last() const { return views_.size() - 1; }
  Matrix<const double> View(const runtime::Buffer& buffer) const { return {buffer.as<double>(), n_, n_}; }

 private:
  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const int64_t n_;
  std::vector<runtime::Buffer> buffers_;
  std::vector<Matrix<const double>> views_;
};

}  // namespace

absl::Status MixingTime(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                        const std::vector<double>& pi, std::optional<int64_t>& steps) {
  steps.reset();
  if (s.rows == 1) {  // where two states are apart, one of them is farther from pi than 1/4
    steps = 0;
    return absl::OkStatus();
  }
  Powers powers(executor, pool, s);
  while (Distance(powers.at(powers.last()), pi) > kMixed) {
    if (powers.last() == kMixingSquarings) return absl::OkStatus();
    if (absl::Status done = powers.Square(); !done.ok()) return done;
  }
  const size_t last = powers.last();
  if (last <= 1) {
    steps = int64_t{1} << last;
    return absl::OkStatus();
  }
  // The largest time that is still too short, from its binary digits: S^(2^(last-1)) is, S^(2^last) is not.
  int64_t too_short = int64_t{1} << (last - 1);
  Matrix<const double> reached = powers.at(last - 1);
  runtime::Buffer reached_buffer, longer_buffer;
  for (size_t k = last - 1; k-- > 0;) {
    if (absl::Status done = powers.Product(reached, powers.at(k), longer_buffer); !done.ok()) return done;
    const Matrix<const double> longer = powers.View(longer_buffer);
    if (Distance(longer, pi) <= kMixed) continue;
    too_short += int64_t{1} << k;
    std::swap(reached_buffer, longer_buffer);
    reached = longer;
  }
  steps = too_short + 1;
  return absl::OkStatus();
}

}  // namespace attend::compute
