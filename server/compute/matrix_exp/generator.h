// exp of a generator G [n, n] (off-diagonal >= 0, rows sum to 0): row-stochastic, no negative entry, at any norm.
// Shared by MatrixExp and by attention's generator_exp. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/generator_chain.h"
#include "server/compute/matrix_exp/generator_rates.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// result [n, n] = exp(time * g). Only g's off-diagonal entries are read: the diagonal is minus their sum, exactly.
// REQUIRES: off-diagonal entries finite and >= 0; time finite and >= 0; result does not overlap g.
// Shifted Taylor series of non-negative terms (uniformization), squarings, each row normalized after each squaring.
// double is computed in pairs of doubles (products as accurate as the squarings to come need), float in double, because
// each squaring doubles the relative error of entries that decay. Measured against 113-bit arithmetic (n up to 129,
// norms up to 1e9, absorbing, stiff, sparse): every entry within 2 units of roundoff of T, relatively
// (1.1e-16, 6.0e-8), down to float's least normal number. In double, entries that only paths of probability below
// 1e-290 within one of the 2^squarings steps carry keep less: 1.5e-15 seen. Entries that no path reaches are 0. Rows
// sum to 1 within one ulp, at any norm. Memory: 4 to 9 matrices [n, n] of 8 (float) or 16 (double) bytes an entry.
// Sources: Jensen 1953 (uniformization); Xue and Ye 2013 (entrywise accuracy); Higham 2005 (scaling and squaring);
// Ozaki, Ogita, Oishi and Rump 2012 (products of slices).
template <typename T>
absl::Status GeneratorExp(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g, double time,
                          const Matrix<T>& result, MatrixExpReport& report);

// A result exp(time g) [n, n] to be computed.
template <typename T>
struct GeneratorExpJob {
  double time = 0;
  Matrix<T> result;
  MatrixExpReport* report = nullptr;
};

// The same at several times, which share what they can: the powers of the shifted generator, and times a power of two
// apart the squarings, where they take steps of one length. Each result has the bits that it has alone, whatever else
// was asked for. A report's `products` and `squarings` are those that its time took beyond the times before it, in an
// order of our own; its `error_bound` is that of the time alone. Not thread-safe. Memory: as above at any number of
// times; up to 5 matrices stay between runs.
template <typename T>
class GeneratorExps {
 public:
  // REQUIRES: g [n, n] outlives this.
  GeneratorExps(runtime::BufferPool& pool, const Matrix<const T>& g);

  absl::Status Run(runtime::Executor& executor, const std::vector<GeneratorExpJob<T>>& jobs);

 private:
  struct Member;  // of a chain: a job, and where it is found

  absl::Status Prepare(runtime::Executor& executor);
  // `may_stop_short`: a time that more squarings are needed for than most chains take to settle is given a chain that
  // ends there.
  Member Plan(const GeneratorExpJob<T>& job, bool may_stop_short) const;
  // `unsettled` gets the jobs whose chains ended short of them without settling.
  absl::Status RunChains(runtime::Executor& executor, std::vector<Member> members,
                         std::vector<const GeneratorExpJob<T>*>& unsettled);

  runtime::BufferPool& pool_;
  const Matrix<const T> g_;
  bool prepared_ = false;
  Rates rates_;                          // at time 1
  double norm_ = 0;                      // |g|_1 / 2^rates_.g_exponent
  int unit_exponent_ = 0;                // g / 2^this has its largest rate in [1/2, 1)
  std::optional<GeneratorChain> chain_;  // none where g = 0
};

// out [n, p] = exp(time * g) b [n, p] without forming exp(time * g): uniformization, products of g with [n, p] only,
// about time * max |g_ii| of them, fewer where the product settles first. Prefer GeneratorExp where the estimates below
// say so: nothing bounds the time here but the call's deadline.
// REQUIRES: as GeneratorExp; b finite; out overlaps neither g nor b.
// Reached: |error| <= 4 units of roundoff of T times max |b| of the column. Column of equal entries: exactly the same.
// No entry leaves the range of its column of b. Memory: GeneratorActionBytes.
// `products`, where not null, gets the number of products of g with [n, p].
template <typename T>
absl::Status GeneratorAction(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                             double time, const Matrix<const T>& b, const Matrix<T>& out, int64_t* products = nullptr);

// Bytes of working memory: one (float) or two (double) matrices [n, n] and 4 (float) or 8 (double) matrices [n, p] of
// doubles, padded to whole blocks.
template <typename T>
double GeneratorActionBytes(int64_t n, int64_t p);

// What either way takes, in floating-point operations of double-precision products (their cost, where they are of
// another kind), to choose the cheaper one. `rate_time` is time * max |g_ii|.
template <typename T>
double GeneratorExpFlops(int64_t n, double rate_time);
template <typename T>
double GeneratorActionFlops(int64_t n, int64_t p, double rate_time);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_H_
