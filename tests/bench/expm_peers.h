// Eigen's matrix exponential, compiled for this machine's instructions as its users would.
#ifndef ATTEND_TESTS_BENCH_EXPM_PEERS_H_
#define ATTEND_TESTS_BENCH_EXPM_PEERS_H_

#include <cstdint>

namespace attend::bench {

// out [batch, n, n] = exp of a [batch, n, n], matrix by matrix.
void EigenExp(int64_t batch, int64_t n, const float* a, float* out);
void EigenExp(int64_t batch, int64_t n, const double* a, double* out);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_EXPM_PEERS_H_
