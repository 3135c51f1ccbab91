#include "server/compute/merge_vectors.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/panels.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

// Row cycle[i] is to become what row cycle[i + 1] is.
std::vector<std::vector<int>> Cycles(const std::vector<int>& order) {
  std::vector<std::vector<int>> cycles;
  std::vector<bool> seen(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    std::vector<int> cycle;
    for (size_t at = i; !seen[at]; at = static_cast<size_t>(order[at])) {
      seen[at] = true;
      cycle.push_back(static_cast<int>(at));
    }
    if (cycle.size() > 1) cycles.push_back(std::move(cycle));
  }
  return cycles;
}

}  // namespace

void MergeRows::Mix(int a, int b) {
  Part& left = parts_[static_cast<size_t>(a)];
  Part& right = parts_[static_cast<size_t>(b)];
  if (left != right) left = right = Part::kBoth;
}

void MergeRows::Arrange() {
  bottom_begin_ = Pack(Part::kFirst);
  top_end_ = Pack(Part::kBoth);
  Pack(Part::kSecond);
  // As many deflated rows stand before the end of the new ones as kept ones behind it.
  auto free = kept_.begin();
  for (int row : deflated_) {
    if (row >= kept()) continue;
    while (*free < kept()) ++free;
    moves_.emplace_back(row, *free++);
  }
}

// How many there are then.
int64_t MergeRows::Pack(Part part) {
  for (int64_t k = 0; k < kept(); ++k) {
    if (parts_[static_cast<size_t>(row(k))] == part) packed_.push_back(static_cast<int>(k));
  }
  return static_cast<int64_t>(packed_.size());
}

int64_t PackedVectors::Work(int64_t rows, int64_t cols, int64_t first) {
  return (first + 1) * first + (rows - first + 1) * (cols - first);
}

absl::Status PackedVectors::Pack(runtime::Executor& executor, const MergeRows& rows) {
  top_end_ = rows.top_end();
  bottom_begin_ = rows.bottom_begin();
  bottom_ = top_ + top_end_ * first_;
  const int64_t rest = vectors_.cols - first_;
  const auto copied = ForEachPanel(executor, rows.kept(), vectors_.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double* row = vectors_.row(rows.row(rows.packed(i)));
      if (i < top_end_) std::copy_n(row, first_, top_ + i * first_);
      if (i >= bottom_begin_) std::copy_n(row + first_, rest, bottom_ + (i - bottom_begin_) * rest);
    }
  });
  if (!copied.ok()) return copied;
  const auto moves = static_cast<int64_t>(rows.moves().size());
  return ForEachPanel(executor, moves, vectors_.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto [from, to] = rows.moves()[static_cast<size_t>(i)];
      std::copy_n(vectors_.row(from), vectors_.cols, vectors_.row(to));
    }
  });
}

absl::Status PackedVectors::Multiply(runtime::Executor& executor, const Matrix<double>& coefficients,
                                     int64_t begin) const {
  const int64_t rest = vectors_.cols - first_;
  const int64_t bottom_rows = coefficients.cols - bottom_begin_;
  const Operand<double> left(coefficients.data, coefficients.rows, top_end_, coefficients.stride);
  const Operand<double> right(coefficients.data + bottom_begin_, coefficients.rows, bottom_rows, coefficients.stride);
  double* const to = vectors_.row(begin);
  auto done = ParallelGemm(executor, 1.0, left, Operand<double>(top_, top_end_, first_, first_), 0.0,
                           Matrix<double>(to, coefficients.rows, first_, vectors_.stride));
  if (!done.ok()) return done;
  return ParallelGemm(executor, 1.0, right, Operand<double>(bottom_, bottom_rows, rest, rest), 0.0,
                      Matrix<double>(to + first_, coefficients.rows, rest, vectors_.stride));
}

absl::Status PermuteRows(runtime::Executor& executor, const std::vector<int>& order, const Matrix<double>& rows) {
  const std::vector<std::vector<int>> cycles = Cycles(order);
  if (cycles.empty()) return absl::OkStatus();
  return ForEachBand(executor, rows.rows, rows.cols, [&](int64_t begin, int64_t end) {
    std::vector<double> kept(static_cast<size_t>(end - begin));
    for (const std::vector<int>& cycle : cycles) {
      std::copy_n(rows.row(cycle[0]) + begin, end - begin, kept.begin());
      for (size_t i = 0; i + 1 < cycle.size(); ++i) {
        std::copy_n(rows.row(cycle[i + 1]) + begin, end - begin, rows.row(cycle[i]) + begin);
      }
      std::copy_n(kept.begin(), end - begin, rows.row(cycle.back()) + begin);
    }
  });
}

void TurnRows(int64_t n, double c, double s, double* x, double* y) {
  for (int64_t j = 0; j < n; ++j) {
    const double left = x[j], right = y[j];
    x[j] = c * left + s * right;
    y[j] = c * right - s * left;
  }
}

double NormOf(int64_t n, const double* x) {
  double sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += x[k] * x[k];
  constexpr double kLosesDigits = 1e-280;
  if (sum >= kLosesDigits && sum <= std::numeric_limits<double>::max()) return std::sqrt(sum);
  double largest = 0;
  for (int64_t k = 0; k < n; ++k) largest = std::max(largest, std::fabs(x[k]));
  if (largest == 0) return 0;
  sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += (x[k] / largest) * (x[k] / largest);
  return largest * std::sqrt(sum);
}

}  // namespace attend::compute
