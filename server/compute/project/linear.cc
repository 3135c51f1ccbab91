#include <algorithm>

#include "server/compute/gemm.h"
#include "server/compute/project/finite.h"
#include "server/compute/project/project.h"

namespace attend::compute {
namespace {

constexpr int64_t kTileRows = 256;
constexpr int64_t kTileCols = 512;
constexpr int64_t kNarrow = 64;  // columns up to which one product for several is faster: by 5% at 64, slower at 128
constexpr int64_t kFewestRows = 128;  // from which copying narrow weights side by side pays

// Weights [begin, end), side by side as one matrix where there are several.
struct Group {
  size_t begin = 0;
  size_t end = 0;
  int64_t columns = 0;

  bool packed() const { return end - begin > 1; }
};

// Weights in their order; narrow neighbours together, up to one tile's width.
template <typename T>
std::vector<Group> GroupWeights(const LinearProblem<T>& problem) {
  std::vector<Group> groups;
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const int64_t e = problem.weights[i].e;
    const bool joins = !groups.empty() && problem.d > 0 && problem.rows >= kFewestRows && e <= kNarrow &&
                       problem.weights[i - 1].e <= kNarrow && groups.back().columns + e <= kTileCols;
    if (!joins) groups.push_back({i, i, 0});
    groups.back().end = i + 1;
    groups.back().columns += e;
  }
  return groups;
}

// Rows [row, row + kTileRows) of a group's product, columns [col, col + kTileCols).
struct Tile {
  size_t group = 0;
  int64_t row = 0;
  int64_t col = 0;
};

// Tiles with the same rows of x stand together, so that x is read once for all weights.
template <typename T>
std::vector<Tile> SplitIntoTiles(const LinearProblem<T>& problem, const std::vector<Group>& groups) {
  std::vector<Tile> tiles;
  for (int64_t row = 0; row < problem.rows; row += kTileRows) {
    for (size_t i = 0; i < groups.size(); ++i) {
      for (int64_t col = 0; col < groups[i].columns; col += kTileCols) tiles.push_back({i, row, col});
    }
  }
  return tiles;
}

template <typename T>
int64_t PackedElements(const LinearProblem<T>& problem, const std::vector<Group>& groups) {
  int64_t columns = 0;
  for (const Group& group : groups) columns += group.packed() ? group.columns : 0;
  return columns * problem.d;
}

template <typename T>
class LinearRun {
 public:
  LinearRun(const LinearProblem<T>& problem, const std::vector<T*>& outputs, runtime::BufferPool& pool, int workers)
      : problem_(problem), outputs_(outputs), groups_(GroupWeights(problem)), packed_(groups_.size()) {
    const int64_t elements = PackedElements(problem, groups_);
    if (elements == 0) return;
    packed_memory_ = pool.AllocateArray<T>(static_cast<size_t>(elements));
    scratch_ = pool.AllocateArray<T>(static_cast<size_t>(workers * kTileRows * kTileCols));
    T* to = packed_memory_.as<T>();
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (!groups_[i].packed()) continue;
      packed_[i] = to;
      Pack(groups_[i], to);
      to += problem.d * groups_[i].columns;
    }
  }

  const std::vector<Group>& groups() const { return groups_; }

  absl::Status RunTile(const Tile& tile, int worker) const {
    return packed_[tile.group] != nullptr ? ProjectPacked(tile, worker) : ProjectOne(tile);
  }

 private:
  // A copy, so that one wide product takes the place of several narrow ones.
  void Pack(const Group& group, T* to) const {
    int64_t col = 0;
    for (size_t i = group.begin; i < group.end; ++i) {
      const LinearWeight<T>& weight = problem_.weights[i];
      for (int64_t k = 0; k < problem_.d; ++k) {
        std::copy_n(weight.w + k * weight.e, weight.e, to + k * group.columns + col);
      }
      col += weight.e;
    }
  }

  Operand<T> RowsOfX(const Tile& tile) const {
    return Operand<T>(problem_.x + tile.row * problem_.d, RowsOf(tile), problem_.d, problem_.d);
  }
  int64_t RowsOf(const Tile& tile) const { return std::min(kTileRows, problem_.rows - tile.row); }

  absl::Status ProjectOne(const Tile& tile) const {
    const size_t index = groups_[tile.group].begin;
    const LinearWeight<T>& weight = problem_.weights[index];
    const int64_t rows = RowsOf(tile);
    const int64_t cols = std::min(kTileCols, weight.e - tile.col);
    const Matrix<T> out(outputs_[index] + tile.row * weight.e + tile.col, rows, cols, weight.e);
    if (weight.b != nullptr) {
      for (int64_t i = 0; i < rows; ++i) std::copy_n(weight.b + tile.col, cols, out.row(i));
    }
    const Operand<T> w(weight.w + tile.col, problem_.d, cols, weight.e);
    if (auto done = Gemm(T{1}, RowsOfX(tile), w, weight.b != nullptr ? T{1} : T{0}, out); !done.ok()) return done;
    return CheckFinite(out, static_cast<int64_t>(index), tile.row, tile.col);
  }

  absl::Status ProjectPacked(const Tile& tile, int worker) const {
    const Group& group = groups_[tile.group];
    const Matrix<T> product(scratch_.template as<T>() + worker * kTileRows * kTileCols, RowsOf(tile), group.columns);
    const Operand<T> w(packed_[tile.group], problem_.d, group.columns, group.columns);
    if (auto done = Gemm(T{1}, RowsOfX(tile), w, T{0}, product); !done.ok()) return done;
    int64_t col = 0;
    for (size_t index = group.begin; index < group.end; ++index) {
      const LinearWeight<T>& weight = problem_.weights[index];
      const Matrix<T> out(outputs_[index] + tile.row * weight.e, product.rows, weight.e);
      for (int64_t i = 0; i < out.rows; ++i) {
        const T* from = product.row(i) + col;
        for (int64_t j = 0; j < weight.e; ++j) out.row(i)[j] = from[j] + (weight.b != nullptr ? weight.b[j] : T{0});
      }
      if (auto finite = CheckFinite(out, static_cast<int64_t>(index), tile.row, 0); !finite.ok()) return finite;
      col += weight.e;
    }
    return absl::OkStatus();
  }

  const LinearProblem<T>& problem_;
  const std::vector<T*>& outputs_;
  const std::vector<Group> groups_;
  std::vector<const T*> packed_;  // of each group: [d, columns], or null
  runtime::Buffer packed_memory_;
  runtime::Buffer scratch_;  // a tile per worker
};

}  // namespace

template <typename T>
absl::Status LinearProjection(runtime::Executor& executor, runtime::BufferPool& pool, const LinearProblem<T>& problem,
                              const std::vector<T*>& outputs) {
  const LinearRun<T> run(problem, outputs, pool, executor.max_workers());
  const std::vector<Tile> tiles = SplitIntoTiles(problem, run.groups());
  int64_t widest = 0;
  for (const Group& group : run.groups()) widest = std::max(widest, group.columns);
  const double tile_flops = 2.0 * static_cast<double>(std::min(problem.rows, kTileRows)) *
                            static_cast<double>(std::min(widest, kTileCols)) * static_cast<double>(problem.d);
  return executor.ForEachTile(static_cast<int64_t>(tiles.size()), tile_flops, [&](int64_t index, int worker) {
    return run.RunTile(tiles[static_cast<size_t>(index)], worker);
  });
}

template <typename T>
double LinearWorkspaceBytes(const LinearProblem<T>& problem, int workers) {
  const auto packed = static_cast<double>(PackedElements(problem, GroupWeights(problem)));
  return packed == 0 ? 0 : sizeof(T) * (packed + static_cast<double>(workers) * kTileRows * kTileCols);
}

template <typename T>
double LinearFlops(const LinearProblem<T>& problem) {
  double columns = 0;
  for (const LinearWeight<T>& weight : problem.weights) columns += static_cast<double>(weight.e);
  return 2 * static_cast<double>(problem.rows) * static_cast<double>(problem.d) * columns;
}

template absl::Status LinearProjection(runtime::Executor&, runtime::BufferPool&, const LinearProblem<float>&,
                                       const std::vector<float*>&);
template absl::Status LinearProjection(runtime::Executor&, runtime::BufferPool&, const LinearProblem<double>&,
                                       const std::vector<double*>&);
template double LinearFlops(const LinearProblem<float>&);
template double LinearFlops(const LinearProblem<double>&);
template double LinearWorkspaceBytes(const LinearProblem<float>&, int);
template double LinearWorkspaceBytes(const LinearProblem<double>&, int);

}  // namespace attend::compute
