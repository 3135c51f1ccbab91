// The plain way to serve what the rpc benchmark asks for: the generated service, protobuf messages, gRPC's defaults.
#ifndef ATTEND_TESTS_BENCH_PLAIN_SERVER_H_
#define ATTEND_TESTS_BENCH_PLAIN_SERVER_H_

#include <string>

namespace attend::bench {

// Serves Project (linear, one w) and an empty GetServerInfo at `address` until the process is killed; prints
// "listening on HOST:PORT". Returns an exit code where it cannot.
int ServePlainly(const std::string& address);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_PLAIN_SERVER_H_
