// The speed of projections, as figures.
#ifndef ATTEND_TESTS_BENCH_PROJECT_BENCH_H_
#define ATTEND_TESTS_BENCH_PROJECT_BENCH_H_

#include "tests/bench/figures.h"

namespace attend::bench {

// Linear projections against the machine's peak, algebra against a copy, low rank by its milliseconds. The same
// decompositions by NumPy and SciPy: low_rank_peers.py beside this.
void BenchProject(Figures& figures);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_PROJECT_BENCH_H_
