// A matrix that many products begin with, packed once: its entries lie in the order in which products read them.
// Thread-safe once packed.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PACKED_MATRIX_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_PACKED_MATRIX_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/column_panels.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Rows [begin, end) of panels [first_panel, last_panel). `index` counts the tiles of a product.
struct PackedTile {
  int64_t index = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t first_panel = 0;
  int64_t last_panel = 0;
};

class PackedMatrix {
 public:
  PackedMatrix(int64_t rows, int64_t cols, runtime::BufferPool& pool);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  // REQUIRES: a is [rows, cols]. Errors: the executor's.
  absl::Status Pack(runtime::Executor& executor, const Operand<double>& a);

  // For who fills the rows himself: row i's entry j, of kPackedRows rows that end within the padding.
  double& at(int64_t i, int64_t j) const {
    return buffer_.as<double>()[i / kPackedRows * kPackedRows * cols_ + j * kPackedRows + i % kPackedRows];
  }
  void ZeroPadding() const;
  // += other, of the same shape. Errors: the executor's.
  absl::Status Add(runtime::Executor& executor, const PackedMatrix& other) const;

  // c's tile = this b, or is added to it. Sums go through b's rows in order. REQUIRES: shapes agree; c is not b.
  enum class To { kSet, kAdd };
  void MultiplyTile(const ColumnPanels& b, const PackedTile& tile, To to, const ColumnPanels& c) const;

  // work(tile) for all tiles of a product with p columns, on the executor's threads; tiles depend on the shapes alone.
  // `products`: how many times a tile is multiplied. Errors: the executor's.
  absl::Status ForEachTile(runtime::Executor& executor, int64_t p, int products,
                           absl::FunctionRef<void(const PackedTile&)> work) const;
  int64_t Tiles(int64_t p) const;

  static double Bytes(int64_t rows, int64_t cols) {
    return 8 * static_cast<double>(ColumnPanels::PaddedRows(rows)) * static_cast<double>(cols);
  }

 private:
  int64_t TileRows(int64_t p) const;

  int64_t rows_;
  int64_t cols_;
  runtime::Buffer buffer_;  // for each kPackedRows rows [cols, kPackedRows]
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_PACKED_MATRIX_H_
