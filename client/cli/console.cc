#include "client/cli/console.h"

#include <cerrno>

#include <nlohmann/json.hpp>

#include "client/cli/output.h"

namespace attend::cli {
void Console::Text(absl::string_view text) {
  if (!json_) Write(text);
}

void Console::Note(absl::string_view text) {
  if (!json_ && !quiet_) Write(text);
}

void Console::Json(const nlohmann::ordered_json& document) {
  // File names and messages may not be UTF-8; the document must be.
  if (json_) Write(document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void Console::Error(absl::string_view text) { TryWriteAll(err_fd_, text); }

absl::Status Console::WriteData(absl::string_view bytes) { return WriteAll(out_fd_, bytes); }

void Console::Write(absl::string_view text) {
  if (closed_) return;
  const int error = TryWriteAll(this->*text_fd_, text);
  if (error == 0) return;
  closed_ = true;
  // EBADF: started without a stdout, which is a reader gone before the start.
  if (error != EPIPE && error != EBADF) status_ = absl::ErrnoToStatus(error, "cannot write to stdout");
}

}  // namespace attend::cli
