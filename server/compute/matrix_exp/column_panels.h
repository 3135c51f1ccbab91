// [rows, cols] doubles as PackedMatrix reads and writes them: in panels of columns, each contiguous by rows.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COLUMN_PANELS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COLUMN_PANELS_H_

#include <algorithm>
#include <cstdint>

#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"

namespace attend::compute {

inline constexpr int64_t kPackedRows = 24;     // rows are padded to a multiple of these: whole vectors on every machine
inline constexpr int64_t kPackedColumns = 16;  // of every panel but the last

// Owns the matrix. Panel k holds columns from k * kPackedColumns on; the last is 16, 8, 4, 3, 2 or 1 columns wide,
// whichever of them is the least that holds what is left. Entries beyond rows and cols, unspecified at first, are 0
// after SetZero, LoadFrom and products of such panels. Move-only; different panels and rows may be written by different
// threads.
class ColumnPanels {
 public:
  ColumnPanels(int64_t rows, int64_t cols, runtime::BufferPool& pool)
      : rows_(rows), cols_(cols), buffer_(pool.AllocateArray<double>(static_cast<size_t>(Entries(rows, cols)))) {}

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t padded_rows() const { return PaddedRows(rows_); }
  int64_t panels() const { return (cols_ + kPackedColumns - 1) / kPackedColumns; }
  int64_t width(int64_t panel) const { return Width(cols_ - panel * kPackedColumns); }
  // Row `row` of the panel: `width` entries; the next row follows at once.
  double* at(int64_t panel, int64_t row) const {
    return buffer_.as<double>() + panel * kPackedColumns * padded_rows() + row * width(panel);
  }
  double* data() const { return buffer_.as<double>(); }
  int64_t size() const { return Entries(rows_, cols_); }

  void SetZero() { std::fill_n(data(), size(), 0.0); }
  // REQUIRES: `from` and `to` are [rows, cols].
  void LoadFrom(const Matrix<const double>& from);
  void StoreTo(const Matrix<double>& to) const;

  static int64_t PaddedRows(int64_t rows) { return (rows + kPackedRows - 1) / kPackedRows * kPackedRows; }
  static int64_t PaddedColumns(int64_t cols) {
    const int64_t whole = cols / kPackedColumns * kPackedColumns;
    return cols == whole ? cols : whole + Width(cols - whole);
  }
  // Of the memory.
  static int64_t Entries(int64_t rows, int64_t cols) { return PaddedRows(rows) * PaddedColumns(cols); }

 private:
  // Of a panel of which `columns` or more are left.
  static int64_t Width(int64_t columns) { return columns <= 4 ? columns : columns <= 8 ? 8 : kPackedColumns; }

  int64_t rows_;
  int64_t cols_;
  runtime::Buffer buffer_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_COLUMN_PANELS_H_
