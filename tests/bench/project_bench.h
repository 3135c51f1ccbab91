// The speed of projections, as figures.
#ifndef ATTEND_TESTS_BENCH_PROJECT_BENCH_H_
#define ATTEND_TESTS_BENCH_PROJECT_BENCH_H_

#include "tests/bench/figures.h"

namespace attend::bench {

void BenchProject(Figures& figures);  // linear projections against the machine's peak, algebra against a copy
// Milliseconds. The same matrices through NumPy and SciPy, in turns with this: low_rank_peers.py beside it.
void BenchLowRank(Figures& figures);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_PROJECT_BENCH_H_
