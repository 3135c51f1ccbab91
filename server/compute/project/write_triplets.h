// Triplets as they are answered. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_WRITE_TRIPLETS_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_WRITE_TRIPLETS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/project/triplets.h"
#include "server/compute/tensor.h"
#include "server/runtime/cancellation.h"

namespace attend::compute {

// Row-major u [n, r], values [r], vt [r, m].
template <typename T>
struct WrittenTriplets {
  T* u;
  T* values;
  T* vt;
};

// The triplets of a matrix [n, m] over 2^exponent, in T, rounded to `answered`: T, or for float BFLOAT16 or FLOAT16.
// The first of the entries of largest magnitude in each column of u is positive, after rounding, which makes ties.
// OUT_OF_RANGE where a singular value overflows T; polls `cancellation`.
template <typename T>
absl::Status WriteTriplets(const runtime::Cancellation& cancellation, const Triplets& triplets, int64_t n, int64_t m,
                           int exponent, DType answered, const WrittenTriplets<T>& to);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_WRITE_TRIPLETS_H_
