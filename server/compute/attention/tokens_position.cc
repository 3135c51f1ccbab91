#include "server/compute/attention/tokens_position.h"

#include "server/compute/attention/position.h"

namespace attend::compute {
namespace {

// x [batch, rows, columns] with its sinusoidal rows, in `memory`.
template <typename T>
absl::Status AddRows(runtime::Executor& executor, runtime::BufferPool& pool, const SinusoidalPosition& position,
                     int64_t batch, int64_t rows, int64_t columns, const T*& x, runtime::Buffer& memory) {
  memory = pool.AllocateArray<T>(static_cast<size_t>(batch * rows * columns));
  const HeadsView<const T> from = ContiguousHeads(x, 1, rows, columns);
  const HeadsView<T> to = ContiguousHeads(memory.template as<T>(), 1, rows, columns);
  x = to.data;
  return AddSinusoidal(executor, pool, position, PlacedRows{batch, 1, rows, columns, 0}, from, to);
}

}  // namespace

template <typename T>
absl::Status PlaceTokens(runtime::Executor& executor, runtime::BufferPool& pool, const TokensProblem<T>& problem,
                         PlacedTokens<T>& placed) {
  placed.x = problem.x;
  placed.context = problem.context;
  const AttentionProblem<T>& a = problem.attention;
  const auto* position = std::get_if<SinusoidalPosition>(&a.position);
  if (position == nullptr) return absl::OkStatus();
  absl::Status done = AddRows(executor, pool, *position, a.batch, a.n, problem.d_model, placed.x, placed.x_memory);
  if (!done.ok()) return done;
  if (problem.context == problem.x) {
    placed.context = placed.x;
    return absl::OkStatus();
  }
  return AddRows(executor, pool, *position, a.batch, a.m, problem.d_context, placed.context, placed.context_memory);
}

template <typename T>
double PlacedTokensBytes(const TokensProblem<T>& problem) {
  const AttentionProblem<T>& a = problem.attention;
  if (!std::holds_alternative<SinusoidalPosition>(a.position)) return 0;
  // A row of angles for each place, beside the sums.
  const double rows = static_cast<double>(a.batch) + 1;
  double elements = rows * static_cast<double>(a.n) * (static_cast<double>(problem.d_model) + 1);
  if (problem.context != problem.x) {
    elements += rows * static_cast<double>(a.m) * (static_cast<double>(problem.d_context) + 1);
  }
  return elements * static_cast<double>(sizeof(T));
}

template absl::Status PlaceTokens(runtime::Executor&, runtime::BufferPool&, const TokensProblem<float>&,
                                  PlacedTokens<float>&);
template absl::Status PlaceTokens(runtime::Executor&, runtime::BufferPool&, const TokensProblem<double>&,
                                  PlacedTokens<double>&);
template double PlacedTokensBytes(const TokensProblem<float>&);
template double PlacedTokensBytes(const TokensProblem<double>&);

}  // namespace attend::compute
