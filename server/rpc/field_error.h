// Refusals that say why. The status carries google.rpc details (BadRequest, ErrorInfo, RetryInfo) as payloads, which
// status.h puts on the wire.
#ifndef ATTEND_SERVER_RPC_FIELD_ERROR_H_
#define ATTEND_SERVER_RPC_FIELD_ERROR_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attend::rpc {

inline constexpr absl::string_view kErrorDomain = "attend.v1";
inline constexpr absl::string_view kBadRequestUrl = "type.googleapis.com/google.rpc.BadRequest";
inline constexpr absl::string_view kErrorInfoUrl = "type.googleapis.com/google.rpc.ErrorInfo";
inline constexpr absl::string_view kRetryInfoUrl = "type.googleapis.com/google.rpc.RetryInfo";

// INVALID_ARGUMENT "<field>: got <got>, expected <expected>". `field` is a path such as "heads.key" or "linear.w[2]".
absl::Status InvalidField(absl::string_view field, absl::string_view got, absl::string_view expected);

// UNIMPLEMENTED for a field of the contract that this server does not serve yet.
absl::Status UnsupportedField(absl::string_view field, absl::string_view got);

// RESOURCE_EXHAUSTED, reason TOO_LARGE, for a call that can never fit: `need` and `limit` in bytes, `what` as in "the
// response".
absl::Status TooLarge(absl::string_view what, double need, uint64_t limit);

// RESOURCE_EXHAUSTED, reason BUSY, with google.rpc.RetryInfo: the same call may succeed after `retry_delay`. `why` as
// in "1024 calls wait already".
absl::Status BusyError(absl::string_view why, std::chrono::milliseconds retry_delay);

// What gRPC's own retries are told (grpc-retry-pushback-ms): when to try again, -1 for never; nothing for errors that
// do not depend on the server's resources.
std::optional<int64_t> RetryPushbackMs(const absl::Status& status);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_FIELD_ERROR_H_
