#include "server/compute/attention/prepare.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/position.h"
#include "server/compute/convert.h"
#include "server/compute/gemm.h"
#include "server/compute/tensor.h"

namespace attend::compute {
namespace {

// Rows of one product: many enough that no stride of a parameter slows it down (see gemm.h).
constexpr int64_t kProductRows = 256;

// Query or key on its way: [batch, heads, rows, columns], in memory of its own once it has been changed.
template <typename T>
struct Side {
  int64_t batch;
  int64_t heads;
  int64_t rows;
  int64_t columns;
  HeadsView<const T> view;
  runtime::Buffer memory;

  // Memory for this many columns, and the view of it.
  HeadsView<T> Allocate(runtime::BufferPool& pool, int64_t new_columns, runtime::Buffer& buffer) const {
    buffer = pool.AllocateArray<T>(static_cast<size_t>(batch * heads * rows * new_columns));
    return ContiguousHeads(buffer.template as<T>(), heads, rows, new_columns);
  }
  void Take(const HeadsView<T>& new_view, int64_t new_columns, runtime::Buffer buffer) {
    view = {new_view.data, new_view.batch_stride, new_view.head_stride, new_view.row_stride};
    columns = new_columns;
    memory = std::move(buffer);
  }
};

template <typename T>
absl::Status Place(runtime::Executor& executor, runtime::BufferPool& pool, const Position& position,
                   int64_t rotary_place, Side<T>& side) {
  if (std::holds_alternative<NoPosition>(position)) return absl::OkStatus();
  runtime::Buffer buffer;
  const HeadsView<T> to = side.Allocate(pool, side.columns, buffer);
  PlacedRows which{side.batch, side.heads, side.rows, side.columns, 0};
  absl::Status done;
  if (const auto* sinusoidal = std::get_if<SinusoidalPosition>(&position)) {
    done = AddSinusoidal(executor, pool, *sinusoidal, which, side.view, to);
  } else {
    which.first_place = rotary_place;
    done = Rotate(executor, pool, std::get<RotaryPosition>(position), which, side.view, to);
  }
  side.Take(to, side.columns, std::move(buffer));
  return done;
}

// side = side w, w [columns, w.cols].
template <typename T>
absl::Status Multiply(runtime::Executor& executor, runtime::BufferPool& pool, const Operand<T>& w, Side<T>& side) {
  runtime::Buffer buffer;
  const HeadsView<T> to = side.Allocate(pool, w.cols, buffer);
  const int64_t blocks = (side.rows + kProductRows - 1) / kProductRows;
  const double tile_flops = 2.0 * static_cast<double>(std::min(side.rows, kProductRows)) *
                            static_cast<double>(side.columns) * static_cast<double>(w.cols);
  absl::Status done =
      executor.ForEachTile(side.batch * side.heads * blocks, tile_flops, [&](int64_t index, int worker) {
        const int64_t head = index / blocks % side.heads;
        const int64_t batch = index / blocks / side.heads;
        const int64_t first = index % blocks * kProductRows;
        const int64_t rows = std::min(kProductRows, side.rows - first);
        const Operand<T> from(side.view.at(batch, head, first), rows, side.columns, side.view.row_stride);
        return Gemm(T{1}, from, w, T{0}, Matrix<T>(to.at(batch, head, first), rows, w.cols));
      });
  side.Take(to, w.cols, std::move(buffer));
  return done;
}

// Projections past the largest number would let a tanh of infinity minus infinity pass for a score.
template <typename T>
absl::Status CheckFinite(const Side<T>& side) {
  if (AllFinite(side.view.data, static_cast<size_t>(side.batch * side.heads * side.rows * side.columns))) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(absl::StrCat("projections of the additive score overflow ", NameOf(DTypeOf<T>())));
}

template <typename T>
absl::Status Project(runtime::Executor& executor, runtime::BufferPool& pool, const AdditiveScore<T>& score,
                     Side<T>& query, Side<T>& key) {
  const Operand<T> w_query(score.w_query, score.h, query.columns, query.columns);
  const Operand<T> w_key(score.w_key, score.h, key.columns, key.columns);
  if (absl::Status done = Multiply(executor, pool, Transposed(w_query), query); !done.ok()) return done;
  if (absl::Status done = Multiply(executor, pool, Transposed(w_key), key); !done.ok()) return done;
  if (absl::Status done = CheckFinite(query); !done.ok()) return done;
  return CheckFinite(key);
}

template <typename T>
double QueryRows(const AttentionProblem<T>& p) {
  return static_cast<double>(p.batch) * static_cast<double>(p.heads) * static_cast<double>(p.n);
}
template <typename T>
double KeyRows(const AttentionProblem<T>& p) {
  return static_cast<double>(p.batch) * static_cast<double>(p.kv_heads) * static_cast<double>(p.m);
}

}  // namespace

template <typename T>
absl::Status Prepare(runtime::Executor& executor, runtime::BufferPool& pool, PreparedAttention<T>& prepared) {
  AttentionProblem<T>& p = prepared.problem;
  Side<T> query{p.batch, p.heads, p.n, p.d, p.query, {}};
  Side<T> key{p.batch, p.kv_heads, p.m, p.d_key, p.key, {}};
  if (absl::Status done = Place(executor, pool, p.position, FirstPlace(p), query); !done.ok()) return done;
  if (absl::Status done = Place(executor, pool, p.position, 0, key); !done.ok()) return done;
  absl::Status done;
  if (const auto* bilinear = std::get_if<BilinearScore<T>>(&p.score)) {
    done = Multiply(executor, pool, Operand<T>(bilinear->w, p.d, p.d_key, p.d_key), query);
    p.score = DotProductScore{};
  } else if (auto* additive = std::get_if<AdditiveScore<T>>(&p.score)) {
    done = Project(executor, pool, *additive, query, key);
    additive->w_query = additive->w_key = nullptr;
  }
  p.position = NoPosition{};
  p.d = query.columns;
  p.d_key = key.columns;
  p.query = query.view;
  p.key = key.view;
  prepared.query = std::move(query.memory);
  prepared.key = std::move(key.memory);
  return done;
}

template <typename T>
double PrepareFlops(const AttentionProblem<T>& problem) {
  const auto d = static_cast<double>(problem.d);
  const auto d_key = static_cast<double>(problem.d_key);
  if (std::holds_alternative<BilinearScore<T>>(problem.score)) return 2 * QueryRows(problem) * d * d_key;
  const auto* additive = std::get_if<AdditiveScore<T>>(&problem.score);
  if (additive == nullptr || additive->w_query == nullptr) return 0;
  return 2 * static_cast<double>(additive->h) * (QueryRows(problem) * d + KeyRows(problem) * d_key);
}

template <typename T>
double PrepareBytes(const AttentionProblem<T>& problem) {
  const auto d = static_cast<double>(problem.d);
  const auto d_key = static_cast<double>(problem.d_key);
  double elements = 0;
  if (!std::holds_alternative<NoPosition>(problem.position)) {
    const auto angles = static_cast<double>(problem.n + problem.m);
    elements += (QueryRows(problem) + angles) * (d + 1) + (KeyRows(problem) + angles) * (d_key + 1);
  }
  if (std::holds_alternative<BilinearScore<T>>(problem.score)) elements += QueryRows(problem) * d_key;
  if (const auto* additive = std::get_if<AdditiveScore<T>>(&problem.score)) {
    elements += static_cast<double>(additive->h) * (QueryRows(problem) + KeyRows(problem));
  }
  return elements * static_cast<double>(sizeof(T));
}

template absl::Status Prepare(runtime::Executor&, runtime::BufferPool&, PreparedAttention<float>&);
template absl::Status Prepare(runtime::Executor&, runtime::BufferPool&, PreparedAttention<double>&);
template double PrepareFlops(const AttentionProblem<float>&);
template double PrepareFlops(const AttentionProblem<double>&);
template double PrepareBytes(const AttentionProblem<float>&);
template double PrepareBytes(const AttentionProblem<double>&);

}  // namespace attend::compute
