// What a checked attention request asks of the kernels.
#ifndef ATTEND_SERVER_RPC_ATTENTION_PROBLEM_H_
#define ATTEND_SERVER_RPC_ATTENTION_PROBLEM_H_

#include "server/compute/attention/tokens.h"
#include "server/rpc/attention_inputs.h"
#include "server/rpc/attention_settings.h"

namespace attend::rpc {

// Every result is then empty, whatever the other dimensions say.
inline bool HasNoQuery(const AttentionInputs& in) { return in.batch == 0 || in.heads == 0 || in.n == 0; }

// Views of both; the attention inside serves heads as well. Empty where HasNoQuery. T is what computes: float or
// double.
template <typename T>
compute::TokensProblem<T> AttentionProblemOf(const AttentionInputs& in, const AttentionSettings& settings);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_ATTENTION_PROBLEM_H_
