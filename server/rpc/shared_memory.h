// Files under one directory, as the contract's SharedMemory names them: what a caller on the same host gives its
// tensors in and takes results from. Copied with pread and pwrite, never mapped: a file that shrinks meanwhile is an
// error, no crash.
#ifndef ATTEND_SERVER_RPC_SHARED_MEMORY_H_
#define ATTEND_SERVER_RPC_SHARED_MEMORY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attend/v1/attend.pb.h"

namespace attend::rpc {

// A file descriptor that is closed with its owner. Move-only.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const { return fd_; }

 private:
  int fd_;
};

// Part of an open file. Thread-safe for ranges that do not overlap.
class SharedRegion {
 public:
  uint64_t length() const { return length_; }

  // REQUIRES: `at` + `bytes` <= length(). INVALID_ARGUMENT, naming the field, where the file ends before them.
  absl::Status ReadAt(uint64_t at, void* to, uint64_t bytes) const;

  // REQUIRES: `at` + `bytes` <= length(). RESOURCE_EXHAUSTED where the file system is full.
  absl::Status WriteAt(uint64_t at, const void* from, uint64_t bytes) const;

 private:
  friend class SharedMemoryFolder;
  SharedRegion(FileDescriptor file, std::string field, uint64_t offset, uint64_t length)
      : file_(std::move(file)), field_(std::move(field)), offset_(offset), length_(length) {}

  FileDescriptor file_;
  std::string field_;
  uint64_t offset_ = 0;
  uint64_t length_ = 0;
};

// Thread-safe.
class SharedMemoryFolder {
 public:
  enum class Access { kRead, kWrite };

  // UNAVAILABLE with the path where it is no directory that can be opened.
  static absl::StatusOr<std::unique_ptr<const SharedMemoryFolder>> Open(const std::string& path);

  // The bytes that `place` names. INVALID_ARGUMENT, naming `field`, unless the name is one component of a path, no
  // symbolic link, a regular file that the server may open, and large enough.
  absl::StatusOr<SharedRegion> OpenRegion(const v1::SharedMemory& place, absl::string_view field, Access access) const;

 private:
  explicit SharedMemoryFolder(FileDescriptor folder) : folder_(std::move(folder)) {}

  const FileDescriptor folder_;
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_SHARED_MEMORY_H_
