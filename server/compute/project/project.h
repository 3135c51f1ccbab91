// Linear projections and congruences. Thread-safe. T is float or double; all matrices contiguous and row-major.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_PROJECT_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_PROJECT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

template <typename T>
struct LinearWeight {
  const T* w = nullptr;  // [d, e]
  const T* b = nullptr;  // [e], or absent
  int64_t e = 0;
};
template <typename T>
struct LinearProblem {
  const T* x = nullptr;  // [rows, d]
  int64_t rows = 0;
  int64_t d = 0;
  std::vector<LinearWeight<T>> weights;
};
// outputs[i] [rows, e_i] = x w_i + b_i.
// Returns OUT_OF_RANGE, with the output and entry, where a result overflows T, and the executor's errors.
template <typename T>
absl::Status LinearProjection(runtime::Executor& executor, runtime::BufferPool& pool, const LinearProblem<T>& problem,
                              const std::vector<T*>& outputs);
template <typename T>
double LinearFlops(const LinearProblem<T>& problem);
// Narrow weights are copied side by side, and their product stands in a tile per worker; 0 where there are none.
template <typename T>
double LinearWorkspaceBytes(const LinearProblem<T>& problem, int workers);

enum class CongruenceForm { kSequence, kEmbedding };
template <typename T>
struct CongruenceProblem {
  CongruenceForm form = CongruenceForm::kSequence;
  int64_t n = 0;
  int64_t d = 0;
  const T* e = nullptr;        // [n, d]
  const T* a = nullptr;        // kSequence: [d, d]; kEmbedding: [n, n]; null with factors
  const T* w_query = nullptr;  // [d, d_k] (kEmbedding: [n, d_k]): a = w_query w_key^T, never formed
  const T* w_key = nullptr;    // like w_query
  int64_t d_k = 0;
  double scale = 1;
};
// output = scale * E A E^T [n, n] (kSequence) or scale * E^T A E [d, d] (kEmbedding), by the cheaper order of products.
// Where magnitudes leave the middle half of T's exponents, rows of E (kEmbedding: columns), the other matrices and the
// scale are taken over powers of two, exactly, which are applied to the result: no product on the way over- or
// underflows then, but for entries that are themselves so far apart within a row. Returns OUT_OF_RANGE, with the entry,
// where a result (or `scale`) overflows T, and the executor's errors.
template <typename T>
absl::Status CongruenceProjection(runtime::Executor& executor, runtime::BufferPool& pool,
                                  const CongruenceProblem<T>& problem, T* output);
template <typename T>
double CongruenceFlops(const CongruenceProblem<T>& problem);
// Looks at the entries: the scaled matrices are copies.
template <typename T>
double CongruenceWorkspaceBytes(const CongruenceProblem<T>& problem);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_PROJECT_H_
