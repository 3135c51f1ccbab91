// The speed and memory of attention, as figures.
#ifndef ATTEND_TESTS_BENCH_ATTENTION_BENCH_H_
#define ATTEND_TESTS_BENCH_ATTENTION_BENCH_H_

#include "tests/bench/figures.h"

namespace attend::bench {

void BenchAttention(Figures& figures);        // shares of the machine's peak, decoding, two threads
void BenchAttentionMemory(Figures& figures);  // the longest sequence

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_ATTENTION_BENCH_H_
