// How far rounding moves one eigenvalue of a matrix that is not normal. Thread-safe; runs on the calling thread.
#ifndef ATTEND_SERVER_COMPUTE_LIE_EIGENVALUE_CONDITION_H_
#define ATTEND_SERVER_COMPUTE_LIE_EIGENVALUE_CONDITION_H_

#include <complex>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/cancellation.h"

namespace attend::compute {

// The condition ||x|| ||y|| / |y^H x| of the eigenvalue `value`, as computed, of a [n, n], with its right and left
// eigenvectors x and y (Wilkinson 1965), by inverse iteration; infinite where that fails. Of a multiple eigenvalue:
// that of y found from x, which is 1 where the eigenspace is as good as that of a symmetric matrix. Polls `cancelled`.
absl::Status EigenvalueCondition(const runtime::Cancellation& cancelled, const Matrix<const double>& a,
                                 std::complex<double> value, double& condition);

double EigenvalueConditionBytes(double n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_EIGENVALUE_CONDITION_H_
