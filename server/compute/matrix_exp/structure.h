// Which structure a matrix has. Pure functions; thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_STRUCTURE_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_STRUCTURE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/matrix_exp.h"

namespace attend::compute {

// The largest |row sum| of a [n, n] where it is a generator, nullopt where it is none. A generator has off-diagonal
// entries >= 0, and each row sums to zero within 8 + 2 sqrt(n) ulps of the sum of its absolute values, which is what a
// diagonal summed in T leaves, in whatever order.
template <typename T>
std::optional<double> GeneratorRowSum(const Matrix<const T>& a);

// INVALID_ARGUMENT where `a` is none, with what was found: "matrix 1 of a with entry (0, 2) = -0.5", `index` being the
// matrix in the order of the batch. Entries with all their digits.
template <typename T>
absl::Status CheckGenerator(const Matrix<const T>& a, int64_t index);

// The first entry, row by row, that keeps `a` from being what the name says: exactly zero where it must be, exactly
// equal to (minus) its mirror image. nullopt where nothing does.
struct Entry {
  int64_t row = 0;
  int64_t col = 0;
};
template <typename T>
std::optional<Entry> NotDiagonal(const Matrix<const T>& a);
template <typename T>
std::optional<Entry> NotUpper(const Matrix<const T>& a);
template <typename T>
std::optional<Entry> NotLower(const Matrix<const T>& a);
template <typename T>
std::optional<Entry> NotSymmetric(const Matrix<const T>& a);
template <typename T>
std::optional<Entry> NotSkewSymmetric(const Matrix<const T>& a);

// The first that holds of diagonal, (where `may_be_generator`) generator, triangular, symmetric, skew-symmetric,
// general. Reads few entries of a matrix that has no structure.
template <typename T>
MatrixStructure DetectStructure(const Matrix<const T>& a, bool may_be_generator);

// As CheckGenerator, for any structure.
template <typename T>
absl::Status CheckStructure(const Matrix<const T>& a, MatrixStructure structure, int64_t index);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_STRUCTURE_H_
