// Where the program's words and data go. Not thread-safe: the main thread owns it.
//
// Human text goes to stdout, until stdout is reserved for data; then to stderr. With json there is no human text, only
// one JSON document, which takes the same way. Errors always go to stderr. A reader that closes the pipe early is not
// an error: later text is dropped.
#ifndef ATTEND_CLIENT_CLI_CONSOLE_H_
#define ATTEND_CLIENT_CLI_CONSOLE_H_

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attend::cli {

class Console {
 public:
  // Neither file descriptor is owned.
  Console(int out_fd, int err_fd) : out_fd_(out_fd), err_fd_(err_fd) {}

  // Stdout will carry an array: everything else goes to stderr from now on.
  void ReserveStdout() { text_fd_ = &Console::err_fd_; }
  void set_json(bool json) { json_ = json; }
  void set_quiet(bool quiet) { quiet_ = quiet; }
  bool json() const { return json_; }

  void Text(absl::string_view text);  // what was asked for
  void Note(absl::string_view text);  // what --quiet leaves out
  void Json(const nlohmann::ordered_json& document);
  void Error(absl::string_view text);

  // Bytes to stdout. Fails where they could not all be written.
  absl::Status WriteData(absl::string_view bytes);

  // The first failure to write text other than a closed pipe.
  const absl::Status& status() const { return status_; }

 private:
  void Write(absl::string_view text);

  const int out_fd_;
  const int err_fd_;
  const int Console::*text_fd_ = &Console::out_fd_;
  bool json_ = false;
  bool quiet_ = false;
  bool closed_ = false;
  absl::Status status_;
};

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_CONSOLE_H_
