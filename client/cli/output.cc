#include "client/cli/output.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace attend::cli {

int TryWriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

absl::Status WriteAll(int fd, absl::string_view bytes) {
  const int error = TryWriteAll(fd, bytes);
  return error == 0 ? absl::OkStatus() : absl::ErrnoToStatus(error, "cannot write");
}

absl::Status CheckFolderOf(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code ignored;
  if (folder.empty() || std::filesystem::is_directory(folder, ignored)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(path, ": there is no folder ", folder.string()));
}

absl::Status WriteFile(const std::string& path, std::initializer_list<absl::string_view> pieces) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return absl::ErrnoToStatus(errno, "cannot open for writing");
  absl::Status status;
  for (const absl::string_view piece : pieces) {
    if (status.ok()) status = WriteAll(fd, piece);
  }
  // Some file systems report a full disk only here.
  if (close(fd) != 0 && status.ok()) status = absl::ErrnoToStatus(errno, "cannot write");
  return status;
}

}  // namespace attend::cli
