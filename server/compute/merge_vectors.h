// What the merges of divide and conquer do with vectors, which are rows: those that take part are packed without their
// zeros, the others move behind where the new ones will be, and products of the packed ones with coefficients are the
// new ones. Not thread-safe; distinct objects are independent. Errors are the executor's.
#ifndef ATTEND_SERVER_COMPUTE_MERGE_VECTORS_H_
#define ATTEND_SERVER_COMPUTE_MERGE_VECTORS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

enum class Part { kFirst, kBoth, kSecond };  // the columns before some `first`, all, those from there on

class MergeRows {
 public:
  explicit MergeRows(std::vector<Part> parts) : parts_(std::move(parts)) {}

  // Every row is either kept, in the order of its pole, or deflated.
  void Keep(int row) { kept_.push_back(row); }
  void Deflate(int row) { deflated_.push_back(row); }
  // Two rows turned in their plane.
  void Mix(int a, int b);
  // To be called once all are there.
  void Arrange();

  int64_t kept() const { return static_cast<int64_t>(kept_.size()); }
  int row(int64_t k) const { return kept_[static_cast<size_t>(k)]; }
  // The kept one, by pole, that is packed at i: those of the first part, of both [bottom_begin, top_end), the second.
  int packed(int64_t i) const { return packed_[static_cast<size_t>(i)]; }
  int64_t bottom_begin() const { return bottom_begin_; }
  int64_t top_end() const { return top_end_; }
  // From where to where deflated rows go so that they stand behind as many as are kept.
  const std::vector<std::pair<int, int>>& moves() const { return moves_; }

 private:
  int64_t Pack(Part part);

  std::vector<Part> parts_;  // of each row
  std::vector<int> kept_, deflated_, packed_;
  std::vector<std::pair<int, int>> moves_;
  int64_t bottom_begin_ = 0, top_end_ = 0;
};

class PackedVectors {
 public:
  // Doubles that the packed ones take: [rows, cols], at most max(first, rows - first) + 1 of them in either part.
  static int64_t Work(int64_t rows, int64_t cols, int64_t first);

  PackedVectors(const Matrix<double>& vectors, int64_t first, double* work)
      : vectors_(vectors), first_(first), top_(work) {}

  absl::Status Pack(runtime::Executor& executor, const MergeRows& rows);
  // Row begin + i of the vectors = row i of coefficients [., kept], in packed order, times the packed ones.
  absl::Status Multiply(runtime::Executor& executor, const Matrix<double>& coefficients, int64_t begin) const;

 private:
  const Matrix<double> vectors_;
  const int64_t first_;
  double* const top_;         // [top_end, first]
  double* bottom_ = nullptr;  // [kept - bottom_begin, cols - first]
  int64_t bottom_begin_ = 0, top_end_ = 0;
};

// Rows of new vectors that are made at a time, from coefficients [kMergePanel, kept].
inline constexpr int64_t kMergePanel = 512;

// Row i becomes what row order[i] was, along the cycles of the permutation.
absl::Status PermuteRows(runtime::Executor& executor, const std::vector<int>& order, const Matrix<double>& rows);

// x and y become c x + s y and c y - s x, both [n].
void TurnRows(int64_t n, double c, double s, double* x, double* y);

// sqrt of the sum of squares, of any size.
double NormOf(int64_t n, const double* x);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MERGE_VECTORS_H_
