// exp of a generator G [n, n] (off-diagonal >= 0, rows sum to 0): row-stochastic, no negative entry, at any norm.
// Shared by MatrixExp and by attention's generator_exp. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
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
