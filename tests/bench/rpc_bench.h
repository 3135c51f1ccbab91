// What a call costs beyond its computation, as figures.
#ifndef ATTEND_TESTS_BENCH_RPC_BENCH_H_
#define ATTEND_TESTS_BENCH_RPC_BENCH_H_

#include "tests/bench/figures.h"

namespace attend::bench {

// Over TCP on loopback and a Unix domain socket, against the plain protobuf way. Starts attend-server, which must stand
// beside this program.
void BenchRpc(Figures& figures);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_RPC_BENCH_H_
