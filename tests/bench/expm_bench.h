// The speed of matrix exponentials, as figures.
#ifndef ATTEND_TESTS_BENCH_EXPM_BENCH_H_
#define ATTEND_TESTS_BENCH_EXPM_BENCH_H_

#include "tests/bench/figures.h"

namespace attend::bench {

// General matrices and batches against SciPy, PyTorch (where installed) and Eigen; generators.
void BenchExpm(Figures& figures);

// exp(A) B against SciPy: general matrices and generators.
void BenchExpmAction(Figures& figures);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_EXPM_BENCH_H_
