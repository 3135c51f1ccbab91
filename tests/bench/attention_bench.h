// The speed and memory of attention, as figures.
#ifndef ATTEND_TESTS_BENCH_ATTENTION_BENCH_H_
#define ATTEND_TESTS_BENCH_ATTENTION_BENCH_H_

#include "tests/bench/figures.h"

namespace attend::bench {

void BenchAttention(Figures& figures);           // shares of the machine's peak, decoding, two threads
void BenchAttentionAdditive(Figures& figures);   // against a plain loop
void BenchAttentionBackward(Figures& figures);   // gradients on two threads, with a bias that heads share
void BenchAttentionGenerator(Figures& figures);  // the Lie action against softmax
void BenchAttentionMemory(Figures& figures);     // the longest sequence
void BenchAttentionTokens(Figures& figures);     // projections and attention together
void BenchAttentionWindow(Figures& figures);     // time against visible pairs

// Grouped heads and padded keys against full attention, a part of BenchAttention.
void BenchGroupedAndPadded(Figures& figures);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_ATTENTION_BENCH_H_
