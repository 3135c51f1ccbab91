#include <algorithm>

#include "server/compute/gemm.h"
#include "server/compute/project/finite.h"
#include "server/compute/project/project.h"

namespace attend::compute {
namespace {

constexpr int64_t kTileRows = 256;
constexpr int64_t kTileCols = 512;

// One tile of outputs[weight], rows [row, row + rows), columns [col, col + cols).
struct Tile {
  int64_t weight = 0;
  int64_t row = 0;
  int64_t col = 0;
};

// Tiles with the same rows of x stand together, so that x is read once for all weights.
template <typename T>
std::vector<Tile> SplitIntoTiles(const LinearProblem<T>& problem) {
  std::vector<Tile> tiles;
  for (int64_t row = 0; row < problem.rows; row += kTileRows) {
    for (size_t i = 0; i < problem.weights.size(); ++i) {
      for (int64_t col = 0; col < problem.weights[i].e; col += kTileCols) {
        tiles.push_back({static_cast<int64_t>(i), row, col});
      }
    }
  }
  return tiles;
}

template <typename T>
absl::Status ProjectTile(const LinearProblem<T>& problem, const std::vector<T*>& outputs, const Tile& tile) {
  const LinearWeight<T>& weight = problem.weights[static_cast<size_t>(tile.weight)];
  const int64_t rows = std::min(kTileRows, problem.rows - tile.row);
  const int64_t cols = std::min(kTileCols, weight.e - tile.col);
  T* first = outputs[static_cast<size_t>(tile.weight)] + tile.row * weight.e + tile.col;
  const Matrix<T> out(first, rows, cols, weight.e);
  if (weight.b != nullptr) {
    for (int64_t i = 0; i < rows; ++i) std::copy_n(weight.b + tile.col, cols, out.row(i));
  }
  const Operand<T> x(problem.x + tile.row * problem.d, rows, problem.d, problem.d);
  const Operand<T> w(weight.w + tile.col, problem.d, cols, weight.e);
  if (auto done = Gemm(T{1}, x, w, weight.b != nullptr ? T{1} : T{0}, out); !done.ok()) return done;
  return CheckFinite(out, tile.weight, tile.row, tile.col);
}

}  // namespace

template <typename T>
absl::Status LinearProjection(runtime::Executor& executor, runtime::BufferPool& pool, const LinearProblem<T>& problem,
                              const std::vector<T*>& outputs) {
  const std::vector<Tile> tiles = SplitIntoTiles(problem);
  int64_t widest = 0;
  for (const LinearWeight<T>& weight : problem.weights) widest = std::max(widest, weight.e);
  const double tile_flops = 2.0 * static_cast<double>(std::min(problem.rows, kTileRows)) *
                            static_cast<double>(std::min(widest, kTileCols)) * static_cast<double>(problem.d);
  return executor.ForEachTile(static_cast<int64_t>(tiles.size()), tile_flops, [&](int64_t index, int worker) {
    return ProjectTile(problem, outputs, tiles[static_cast<size_t>(index)]);
  });
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

}  // namespace attend::compute
