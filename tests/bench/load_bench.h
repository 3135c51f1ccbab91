// What the server does for many callers at once, as figures. The server is a process of its own; the callers are this
// process, on the same cores: what they cost is taken from the server, and the figures are that much worse than with
// callers elsewhere.
#ifndef ATTEND_TESTS_BENCH_LOAD_BENCH_H_
#define ATTEND_TESTS_BENCH_LOAD_BENCH_H_

#include "tests/bench/figures.h"

namespace attend::bench {

void BenchCancel(Figures& figures);      // how soon a large call stops
void BenchStretch(Figures& figures);     // how long kernels compute between two polls of the cancellation
void BenchMemory(Figures& figures);      // resident memory under a budget, and after many calls
void BenchFairness(Figures& figures);    // small calls beside a large one
void BenchThroughput(Figures& figures);  // callers in a closed loop, and at random times
void BenchOverload(Figures& figures);    // three times what the server can do

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_LOAD_BENCH_H_
