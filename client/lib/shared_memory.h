// Tensors in memory shared with a server on the same host: a server that runs with --shared_memory_dir takes inputs
// from files of that directory and puts results there, and no bytes pass the connection. Thread-compatible.
#ifndef ATTEND_CLIENT_LIB_SHARED_MEMORY_H_
#define ATTEND_CLIENT_LIB_SHARED_MEMORY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "attend/v1/attend.pb.h"

namespace attend::client {

// A file with a name of its own, mapped here; both go when it is destroyed. Move-only. Keep one for many calls: its
// first touch costs more than the calls' copies.
class SharedFile {
 public:
  // In `folder`, the server's --shared_memory_dir as this host names it; readable and writable for the file's owner and
  // group. UNAVAILABLE where it cannot be made, RESOURCE_EXHAUSTED where there is no room.
  static absl::StatusOr<SharedFile> Create(const std::string& folder, uint64_t bytes);

  SharedFile(SharedFile&& other) noexcept;
  SharedFile& operator=(SharedFile&& other) noexcept;
  ~SharedFile();

  absl::Span<char> bytes() const { return {data_, size_}; }

  // To name in a request: its `results`, or an input's `shared`.
  v1::SharedMemory Region(uint64_t offset, uint64_t length) const;

 private:
  SharedFile() = default;

  std::string path_;
  char* data_ = nullptr;
  size_t size_ = 0;
};

// A tensor whose elements stand at `offset` in `file`. INVALID_ARGUMENT for a type or shape that cannot be, or a file
// that ends before the elements do.
absl::StatusOr<v1::Tensor> SharedTensor(v1::DataType dtype, absl::Span<const int64_t> shape, const SharedFile& file,
                                        uint64_t offset);

// The elements of an answer's tensor that lies in `file`; a view. INVALID_ARGUMENT where it does not.
absl::StatusOr<absl::Span<const char>> SharedBytes(const v1::Tensor& tensor, const SharedFile& file);

}  // namespace attend::client

#endif  // ATTEND_CLIENT_LIB_SHARED_MEMORY_H_
