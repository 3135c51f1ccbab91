// The program's exit codes, as `attend --help` documents them.
#ifndef ATTEND_CLIENT_CLI_EXIT_CODE_H_
#define ATTEND_CLIENT_CLI_EXIT_CODE_H_

#include "absl/status/status.h"

namespace attend::cli {

enum ExitCode : int {
  kOk = 0,
  kNo = 1,           // the demo's comparison failed, the service is not serving
  kUsage = 2,        // wrong flags, or a file that cannot be read or written
  kRefused = 3,      // the server refused the request: change it
  kUnavailable = 4,  // no server, no time, or no room: try again later
  kOther = 5,
};

// For an error that a call came back with.
ExitCode ExitCodeOf(const absl::Status& status);

// The same list for people: one line per code.
extern const char kExitCodesHelp[];

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_EXIT_CODE_H_
