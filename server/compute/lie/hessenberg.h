// Real matrices to Hessenberg form, in panels on the executor's threads: cancellation is polled between them.
// Thread-safe. Matrices are column-major, as in server/compute/lapack.h. Errors are the executor's.
// Source: Quintana-Orti and van de Geijn 2006 (LAPACK's dgehrd).
#ifndef ATTEND_SERVER_COMPUTE_LIE_HESSENBERG_H_
#define ATTEND_SERVER_COMPUTE_LIE_HESSENBERG_H_

#include "absl/status/status.h"
#include "server/compute/lapack.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// a [n, n], n >= 1, triangular outside `range`, = Q H Q^T: H on and above a's subdiagonal, reflectors of Q below it.
// factors: [n].
absl::Status ReduceToHessenberg(runtime::Executor& executor, runtime::BufferPool& pool, const lapack::ColumnMajor& a,
                                const lapack::ActiveRange& range, double* factors);

// z [n, n] = Q.
absl::Status FormHessenbergBasis(runtime::Executor& executor, runtime::BufferPool& pool, const lapack::ColumnMajor& a,
                                 const lapack::ActiveRange& range, const double* factors, const lapack::ColumnMajor& z);

// Bytes of working memory of one at a time, with one worker; each further one takes some 50 KB.
double HessenbergBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_HESSENBERG_H_
