#include "server/compute/lie/mixing_time.h"

#include <algorithm>
#include <cmath>
#include <utility>

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

}  // namespace

absl::Status MixingTime(StepPowers& powers, const std::vector<double>& pi, std::optional<int64_t>& steps) {
  steps.reset();
  if (powers.at(0).rows == 1) {  // where two states are apart, one of them is farther from pi than 1/4
    steps = 0;
    return absl::OkStatus();
  }
  size_t last = 0;
  while (Distance(powers.at(last), pi) > kMixed) {
    if (last == kMostSquarings) return absl::OkStatus();
    if (absl::Status done = powers.Reach(++last); !done.ok()) return done;
  }
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
