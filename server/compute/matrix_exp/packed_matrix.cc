#include "server/compute/matrix_exp/packed_matrix.h"

#include <algorithm>

#include "server/compute/panels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/packed_matrix.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/matrix_exp/packed_product-inl.h"

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(AddPackedRows);

namespace {

// Terms of a sum at once: as many rows of a panel of b stay in the nearest cache beside the packed rows.
constexpr int64_t kTerms = 96;
// A tile: large enough to reuse what it reads of b, small enough to share out and to stop soon.
constexpr int64_t kTilePanels = 8;
constexpr int64_t kMostTileRows = 4 * kPackedRows;
constexpr double kTileFlops = 2e8;

}  // namespace

PackedMatrix::PackedMatrix(int64_t rows, int64_t cols, runtime::BufferPool& pool)
    : rows_(rows),
      cols_(cols),
      buffer_(pool.AllocateArray<double>(static_cast<size_t>(ColumnPanels::PaddedRows(rows) * cols))) {}

absl::Status PackedMatrix::Pack(runtime::Executor& executor, const Operand<double>& a) {
  const int64_t groups = ColumnPanels::PaddedRows(rows_) / kPackedRows;
  ZeroPadding();
  return executor.ForEachTile(groups, static_cast<double>(kPackedRows * cols_), [&](int64_t group, int) {
    const int64_t begin = group * kPackedRows;
    const int64_t count = std::min(kPackedRows, rows_ - begin);
    double* to = &at(begin, 0);
    if (a.transposed) {
      for (int64_t j = 0; j < cols_; ++j) std::copy_n(a.data + j * a.stride + begin, count, to + j * kPackedRows);
      return absl::OkStatus();
    }
    constexpr int64_t kColumns = 8;  // a cache line of each row
    for (int64_t first = 0; first < cols_; first += kColumns) {
      const int64_t last = std::min(cols_, first + kColumns);
      for (int64_t i = 0; i < count; ++i) {
        const double* from = a.data + (begin + i) * a.stride;
        for (int64_t j = first; j < last; ++j) to[j * kPackedRows + i] = from[j];
      }
    }
    return absl::OkStatus();
  });
}

void PackedMatrix::ZeroPadding() const {
  for (int64_t i = rows_; i < ColumnPanels::PaddedRows(rows_); ++i) {
    for (int64_t j = 0; j < cols_; ++j) at(i, j) = 0;
  }
}

absl::Status PackedMatrix::Add(runtime::Executor& executor, const PackedMatrix& other) const {
  return ForEachPanel(executor, ColumnPanels::PaddedRows(rows_), cols_, [&](int64_t begin, int64_t end) {
    double* to = buffer_.as<double>();
    const double* from = other.buffer_.as<double>();
    for (int64_t i = begin * cols_; i < end * cols_; ++i) to[i] += from[i];
  });
}

void PackedMatrix::MultiplyTile(const ColumnPanels& b, const PackedTile& tile, To to, const ColumnPanels& c) const {
  const auto add = HWY_DYNAMIC_DISPATCH(AddPackedRows);
  const int64_t terms = b.width(tile.first_panel) > 4 ? kTerms : std::max<int64_t>(cols_, 1);
  for (int64_t first = 0; first < std::max<int64_t>(cols_, 1); first += terms) {
    const int64_t count = std::min(terms, cols_ - first);
    const bool sets = first == 0 && to == To::kSet;
    for (int64_t panel = tile.first_panel; panel < tile.last_panel; ++panel) {
      for (int64_t row = tile.begin; row < tile.end; row += kPackedRows) {
        const bool last_group = row + kPackedRows == tile.end;
        const double* next =
            last_group ? &at(tile.begin, std::min(first + terms, cols_ - 1)) : &at(row + kPackedRows, first);
        add(&at(row, first), next, b.at(panel, first), b.width(panel), count, sets, c.at(panel, row));
      }
    }
  }
}

int64_t PackedMatrix::TileRows(int64_t p) const {
  const auto columns = static_cast<double>(std::min(p, kTilePanels * kPackedColumns));
  const double rows = kTileFlops / (2 * std::max(1.0, columns * static_cast<double>(cols_)));
  return kPackedRows * std::clamp<int64_t>(static_cast<int64_t>(rows) / kPackedRows, 1, kMostTileRows / kPackedRows);
}

int64_t PackedMatrix::Tiles(int64_t p) const {
  const int64_t panels = (p + kPackedColumns - 1) / kPackedColumns;
  const int64_t rows = TileRows(p);
  return ((rows_ + rows - 1) / rows) * ((panels + kTilePanels - 1) / kTilePanels);
}

absl::Status PackedMatrix::ForEachTile(runtime::Executor& executor, int64_t p, int products,
                                       absl::FunctionRef<void(const PackedTile&)> work) const {
  const int64_t panels = (p + kPackedColumns - 1) / kPackedColumns;
  const int64_t across = (panels + kTilePanels - 1) / kTilePanels;
  const int64_t rows = TileRows(p);
  const double flops = 2.0 * products * static_cast<double>(std::min(rows, rows_) * cols_) *
                       static_cast<double>(std::min(p, kTilePanels * kPackedColumns));
  return executor.ForEachTile(Tiles(p), flops, [&](int64_t index, int) {
    PackedTile tile;
    tile.index = index;
    tile.begin = index / across * rows;
    tile.end = std::min(ColumnPanels::PaddedRows(rows_), tile.begin + rows);
    tile.first_panel = index % across * kTilePanels;
    tile.last_panel = std::min(panels, tile.first_panel + kTilePanels);
    work(tile);
    return absl::OkStatus();
  });
}

}  // namespace attend::compute
#endif  // HWY_ONCE
