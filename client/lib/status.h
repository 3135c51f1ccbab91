// What a server says about a failed call, beyond code and message. Pure functions, thread-safe.
//
// A gRPC server attaches a google.rpc.Status, serialized, as the trailer `grpc-status-details-bin`. Client keeps those
// bytes inside the absl::Status it returns; DecodeErrorDetails reads them.
#ifndef ATTEND_CLIENT_LIB_STATUS_H_
#define ATTEND_CLIENT_LIB_STATUS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace attend::client {

struct FieldViolation {
  std::string field;        // path in the request: "heads.key"
  std::string description;  // what came and what was expected
};

// Empty where the server sent none, or where they cannot be read.
struct ErrorDetails {
  std::vector<FieldViolation> violations;  // google.rpc.BadRequest
  std::string reason;                      // google.rpc.ErrorInfo: machine-readable
  std::string domain;
  std::map<std::string, std::string> metadata;
  std::optional<absl::Duration> retry_delay;  // google.rpc.RetryInfo
};

// An error with the trailer's bytes attached. `code` is gRPC's number, which is also Abseil's; numbers outside 1..16
// become UNKNOWN. `details` may be empty.
absl::Status MakeCallError(int code, absl::string_view message, absl::string_view details);

ErrorDetails DecodeErrorDetails(const absl::Status& status);

// RESOURCE_EXHAUSTED means one of two things. The server has no room at the moment: the same call may succeed after
// ErrorDetails::retry_delay.
bool IsBusy(const absl::Status& status);
// Or the call exceeds a limit of the server, and always will; the metadata say `needed_bytes` and `limit_bytes`.
bool IsTooLarge(const absl::Status& status);

// "  field     heads.key\n  got       ...\n  expected  ...\n" and what else there is, one finding per line; empty
// without details.
std::string ErrorDetailsText(const ErrorDetails& details);

}  // namespace attend::client

#endif  // ATTEND_CLIENT_LIB_STATUS_H_
