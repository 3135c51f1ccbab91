// log A for batches of matrices; of row-stochastic ones also whether exp of a generator made them, and of which nearest
// one. Thread-safe. T is float or double; computed in double.
#ifndef ATTEND_SERVER_COMPUTE_LIE_MATRIX_LOG_H_
#define ATTEND_SERVER_COMPUTE_LIE_MATRIX_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/lie/embedding.h"
#include "server/compute/lie/generator_check.h"
#include "server/compute/lie/triangular_log.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

template <typename T>
struct MatrixLogProblem {
  int64_t batch = 0;     // matrices
  int64_t n = 0;         // <= kLargestLogarithm
  const T* a = nullptr;  // [batch, n, n], all finite
};

struct MatrixLogReport {
  bool exists = false;   // a real principal logarithm; else its entries are NaN
  std::string obstacle;  // why it does not
  LogarithmCost cost;
  double norm1 = 0;     // of the logarithm
  double residual = 0;  // ||exp(log A) - A||_1 / ||A||_1, measured
  Embedding embedding;
  GeneratorDiagnostics generator;  // of the logarithm
  // ||exp(nearest) - A||_F for the generator nearest to the logarithm, measured. Where the logarithm exists and A is
  // row-stochastic; 0 elsewhere.
  double nearest_error = 0;
};

template <typename T>
struct MatrixLogResult {
  T* result = nullptr;                   // [batch, n, n]
  T* nearest_generator = nullptr;        // [batch, n, n], or null: not wanted
  std::vector<MatrixLogReport> reports;  // [batch]; filled by MatrixLog
};

// Errors: the executor's, INTERNAL where the Schur form does not converge. OUT_OF_RANGE where a logarithm overflows T.
template <typename T>
absl::Status MatrixLog(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixLogProblem<T>& problem,
                       MatrixLogResult<T>& result);

// 25 n^3 for each Schur form, and what the reports say of the rest.
double MatrixLogFlops(int64_t n, const std::vector<MatrixLogReport>& reports);
// Of working memory, with up to `workers` tiles at once.
double MatrixLogWorkspaceBytes(int64_t batch, int64_t n, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_MATRIX_LOG_H_
