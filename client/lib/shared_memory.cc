#include "client/lib/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/lib/tensor.h"

namespace attend::client {
namespace {

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// 0 or an errno. Makes room at once: writing to a mapped file that finds none would be a SIGBUS.
int Grow(int fd, uint64_t bytes) {
  if (fchmod(fd, 0660) != 0) return errno;
  return bytes == 0 ? 0 : posix_fallocate(fd, 0, static_cast<off_t>(bytes));
}

bool Holds(const SharedFile& file, const v1::SharedMemory& place) {
  const uint64_t size = file.bytes().size();
  return place.name() == file.Region(0, 0).name() && place.offset() <= size && place.length() <= size - place.offset();
}

}  // namespace

absl::StatusOr<SharedFile> SharedFile::Create(const std::string& folder, uint64_t bytes) {
  std::string path = absl::StrCat(folder, "/attend-XXXXXX");
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return absl::UnavailableError(absl::StrCat("cannot make a file in ", folder, ": ", std::strerror(errno)));
  SharedFile file;
  file.path_ = path;
  const int error = Grow(fd, bytes);
  void* data = error == 0 && bytes > 0 ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : nullptr;
  close(fd);
  if (error != 0 || data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no room for ", bytes, " bytes in ", folder, ": ", std::strerror(error != 0 ? error : errno)));
  }
  file.data_ = static_cast<char*>(data);
  file.size_ = bytes;
  return file;
}

SharedFile::SharedFile(SharedFile&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

SharedFile& SharedFile::operator=(SharedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SharedFile::~SharedFile() {
  if (data_ != nullptr) munmap(data_, size_);
  if (!path_.empty()) unlink(path_.c_str());
}

v1::SharedMemory SharedFile::Region(uint64_t offset, uint64_t length) const {
  v1::SharedMemory region;
  region.set_name(NameOf(path_));
  region.set_offset(offset);
  region.set_length(length);
  return region;
}

absl::StatusOr<v1::Tensor> SharedTensor(v1::DataType dtype, absl::Span<const int64_t> shape, const SharedFile& file,
                                        uint64_t offset) {
  const absl::StatusOr<int64_t> elements = ElementCount(shape);
  if (!elements.ok()) return elements.status();
  const int64_t width = ElementBytes(dtype);
  if (width == 0) return absl::InvalidArgumentError(absl::StrCat("dtype ", DataTypeName(dtype), " has no size"));
  const uint64_t size = file.bytes().size();
  if (offset > size || static_cast<uint64_t>(*elements) > (size - offset) / static_cast<uint64_t>(width)) {
    return absl::InvalidArgumentError(absl::StrCat("got ", *elements, " elements of ", width, " bytes at offset ",
                                                   offset, ", expected what fits in ", size, " bytes"));
  }
  v1::Tensor tensor;
  tensor.set_dtype(dtype);
  for (int64_t dimension : shape) tensor.add_shape(dimension);
  *tensor.mutable_shared() = file.Region(offset, static_cast<uint64_t>(*elements * width));
  return tensor;
}

absl::StatusOr<absl::Span<const char>> SharedBytes(const v1::Tensor& tensor, const SharedFile& file) {
  if (!tensor.has_shared() || !Holds(file, tensor.shared())) {
    return absl::InvalidArgumentError(absl::StrCat("got a tensor elsewhere, expected one in ", file.Region(0, 0).name(),
                                                   ", of ", file.bytes().size(), " bytes"));
  }
  return file.bytes().subspan(tensor.shared().offset(), tensor.shared().length());
}

}  // namespace attend::client
