// Bytes into files and file descriptors, with errno's code and text where that fails. Thread-safe.
#ifndef ATTEND_CLIENT_CLI_OUTPUT_H_
#define ATTEND_CLIENT_CLI_OUTPUT_H_

#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attend::cli {

// All of `bytes`, however many writes it takes. Returns errno, or 0.
int TryWriteAll(int fd, absl::string_view bytes);
absl::Status WriteAll(int fd, absl::string_view bytes);

// NOT_FOUND, with the path first, where its folder is not there: to be known before the computing.
absl::Status CheckFolderOf(const std::string& path);

// A new file, or a new content, from pieces in order.
absl::Status WriteFile(const std::string& path, std::initializer_list<absl::string_view> pieces);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_OUTPUT_H_
