// compute/lie -> wire: what was found out about chains, generators and logarithms.
#ifndef ATTEND_SERVER_RPC_LIE_REPORTS_H_
#define ATTEND_SERVER_RPC_LIE_REPORTS_H_

#include "attend/v1/attend.pb.h"
#include "server/compute/lie/chain.h"
#include "server/compute/lie/generator_check.h"
#include "server/compute/lie/matrix_log.h"
#include "server/compute/lie/softmax_distance.h"

namespace attend::rpc {

v1::ChainDiagnostics WireOf(const compute::ChainDiagnostics& chain);
v1::GeneratorDiagnostics WireOf(const compute::GeneratorDiagnostics& generator);
v1::MatrixLogReport WireOf(const compute::MatrixLogReport& report);
void AddToWire(const compute::SoftmaxDistance& distance, v1::AttentionDiagnostics& wire);

// Of a message with one ChainDiagnostics of n states, at most, serialized.
double ChainBytes(int64_t n);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_LIE_REPORTS_H_
