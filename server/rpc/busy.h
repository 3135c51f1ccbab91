// How a call that was not even queued is told so. Pure function, thread-safe.
#ifndef ATTEND_SERVER_RPC_BUSY_H_
#define ATTEND_SERVER_RPC_BUSY_H_

#include <chrono>

#include "absl/status/status.h"
#include "server/runtime/admission.h"

namespace attend::rpc {

// What a refused caller is told to wait: the predicted wait within these two, or the last where there is no prediction.
inline constexpr std::chrono::milliseconds kLeastRetryDelay{10};
inline constexpr std::chrono::milliseconds kMostRetryDelay{10000};
inline constexpr std::chrono::milliseconds kUnknownRetryDelay{1000};

absl::Status ToStatus(const runtime::Busy& busy);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_BUSY_H_
