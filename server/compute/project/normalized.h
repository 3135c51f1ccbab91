// A matrix in double, times the power of two that brings its largest entry near 1: squares and sums then neither
// overflow nor underflow, and singular values differ by that factor exactly. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_NORMALIZED_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_NORMALIZED_H_

#include <cstdint>

namespace attend::compute {

// e such that the largest |a| is in [2^e, 2^(e+1)); 0 where all are 0.
template <typename T>
int NormalizingExponent(const T* a, int64_t count);

// to[i] = a[i] * 2^-exponent.
template <typename T>
void Normalize(const T* a, int64_t count, int exponent, double* to);

// As Normalize, with to [cols, rows] the transpose of a [rows, cols].
template <typename T>
void NormalizeTransposed(const T* a, int64_t rows, int64_t cols, int exponent, double* to);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_NORMALIZED_H_
