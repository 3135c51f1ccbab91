// The nearest vector whose entries sum to zero: x less its mean. Thread-safe. T is float or double.
//
// The orthogonal projection onto {p : sum p = 0} is p = x - mean(x). Rounded to T, its entries would sum to something
// like sqrt(n) units in the last place of the largest; entries of the largest magnitudes are therefore moved by one
// unit in the last place each until the sum, taken exactly, is at most half such a unit. A vector that is that good
// already comes back as it is, so that projecting twice changes nothing.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_ZERO_MEAN_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_ZERO_MEAN_H_

#include <cstdint>

namespace attend::compute {

// out[0, n) from x[0, n), both finite; they may be the same. An entry that overflows T becomes an infinity, and the
// others are then unspecified.
template <typename T>
void ZeroMean(const T* x, int64_t n, T* out);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_ZERO_MEAN_H_
