#include "server/rpc/shared_memory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/rpc/field_error.h"

namespace attend::rpc {
namespace {

constexpr size_t kMostNameBytes = 255;
constexpr uint64_t kMostOffset = static_cast<uint64_t>(std::numeric_limits<off_t>::max());

std::string Quoted(absl::string_view text) { return absl::StrCat("\"", absl::CHexEscape(text), "\""); }

bool IsOneComponent(absl::string_view name) {
  return !name.empty() && name.size() <= kMostNameBytes && name != "." && name != ".." &&
         !absl::StrContains(name, '/') && !absl::StrContains(name, '\0');
}

// pread or pwrite until all is done: bytes moved, fewer where the file ends or an error stands in errno.
template <typename Move>
uint64_t MoveAll(uint64_t bytes, Move move) {
  errno = 0;
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t step = move(done, bytes - done);
    if (step < 0 && errno == EINTR) continue;
    if (step <= 0) return done;
    done += static_cast<uint64_t>(step);
  }
  return bytes;
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

absl::Status SharedRegion::ReadAt(uint64_t at, void* to, uint64_t bytes) const {
  const uint64_t got = MoveAll(bytes, [&](uint64_t done, uint64_t left) {
    return pread(file_.get(), static_cast<char*>(to) + done, left, static_cast<off_t>(offset_ + at + done));
  });
  if (got == bytes) return absl::OkStatus();
  return InvalidField(field_, absl::StrCat("a file that ends (or fails) ", at + got, " bytes after offset"),
                      absl::StrCat(length_, " bytes that stay while they are read"));
}

absl::Status SharedRegion::WriteAt(uint64_t at, const void* from, uint64_t bytes) const {
  const uint64_t put = MoveAll(bytes, [&](uint64_t done, uint64_t left) {
    return pwrite(file_.get(), static_cast<const char*>(from) + done, left, static_cast<off_t>(offset_ + at + done));
  });
  if (put == bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(field_, ": cannot be written: ", std::strerror(errno)));
}

absl::StatusOr<std::unique_ptr<const SharedMemoryFolder>> SharedMemoryFolder::Open(const std::string& path) {
  FileDescriptor folder(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) {
    return absl::UnavailableError(absl::StrCat("cannot use ", path, " for shared memory: ", std::strerror(errno)));
  }
  return std::unique_ptr<const SharedMemoryFolder>(new SharedMemoryFolder(std::move(folder)));
}

absl::StatusOr<SharedRegion> SharedMemoryFolder::OpenRegion(const v1::SharedMemory& place, absl::string_view field,
                                                            Access access) const {
  const std::string name_field = absl::StrCat(field, ".name");
  if (!IsOneComponent(place.name())) {
    return InvalidField(name_field, Quoted(place.name()),
                        absl::StrCat("the name of a file in the server's directory, of 1 to ", kMostNameBytes,
                                     " bytes, without a slash"));
  }
  // Without O_NONBLOCK, opening a FIFO would wait for its other end.
  const int mode = access == Access::kRead ? O_RDONLY : O_WRONLY;
  FileDescriptor file(
      openat(folder_.get(), place.name().c_str(), mode | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat found;
  if (file.get() < 0 || fstat(file.get(), &found) != 0) {
    return InvalidField(name_field, absl::StrCat(Quoted(place.name()), " (", std::strerror(errno), ")"),
                        "a regular file that the server may open, no symbolic link");
  }
  if (!S_ISREG(found.st_mode)) {
    return InvalidField(name_field, absl::StrCat(Quoted(place.name()), ", which is no regular file"), "a regular file");
  }
  const auto size = static_cast<uint64_t>(found.st_size);
  if (place.offset() > kMostOffset || place.length() > kMostOffset - place.offset() ||
      place.offset() + place.length() > size) {
    return InvalidField(field, absl::StrCat(place.length(), " bytes at offset ", place.offset()),
                        absl::StrCat("a range within the file's ", size, " bytes"));
  }
  return SharedRegion(std::move(file), std::string(field), place.offset(), place.length());
}

}  // namespace attend::rpc
