// Euclidean norms that neither overflow nor underflow on the way. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_DIFFERENCE_NORM_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_DIFFERENCE_NORM_H_

#include <cstdint>

namespace attend::compute {

// ||a - b|| of two rows of finite numbers; infinity where double cannot hold it.
template <typename T>
double DifferenceNorm(const T* a, const T* b, int64_t count);

double Norm(const double* values, int64_t count);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_DIFFERENCE_NORM_H_
