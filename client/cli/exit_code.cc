#include "client/cli/exit_code.h"

namespace attend::cli {

const char kExitCodesHelp[] =
    "Exit codes:\n"
    "  0  done\n"
    "  1  the demo's comparison failed (demo), or the service is not serving (health)\n"
    "  2  wrong flags, or a file that cannot be read or written\n"
    "  3  the server refused the request (INVALID_ARGUMENT, UNIMPLEMENTED, OUT_OF_RANGE, ...)\n"
    "  4  no server, no time or no room (UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED)\n"
    "  5  any other failure\n";

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kRefused;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return kUnavailable;
    default:
      return kOther;
  }
}

}  // namespace attend::cli
