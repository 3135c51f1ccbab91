#include "server/rpc/shared_results.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/rpc/field_error.h"

namespace attend::rpc {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kBytesPerTile = uint64_t{1} << 20;
constexpr double kFlopsPerByte = 8;  // what else a thread would do while it copies one

}  // namespace

v1::SharedMemory SharedResults::Place(const compute::Tensor& tensor) {
  const uint64_t at = (needed_ + kAlignment - 1) / kAlignment * kAlignment;
  needed_ = at + tensor.bytes();
  if (needed_ <= region_.length() && written_.ok()) written_ = Write(tensor, at);
  v1::SharedMemory placed;
  placed.set_name(place_.name());
  placed.set_offset(place_.offset() + at);
  placed.set_length(tensor.bytes());
  return placed;
}

absl::Status SharedResults::Write(const compute::Tensor& tensor, uint64_t at) {
  const uint64_t bytes = tensor.bytes();
  const auto tiles = static_cast<int64_t>((bytes + kBytesPerTile - 1) / kBytesPerTile);
  return executor_.ForEachTile(tiles, kFlopsPerByte * kBytesPerTile, [&](int64_t index, int) {
    const uint64_t begin = static_cast<uint64_t>(index) * kBytesPerTile;
    return region_.WriteAt(at + begin, tensor.data<char>() + begin, std::min(kBytesPerTile, bytes - begin));
  });
}

absl::Status SharedResults::status() const {
  if (needed_ <= region_.length()) return written_;
  return InvalidField("results.length", absl::StrCat(region_.length(), " bytes"), absl::StrCat(needed_, " bytes"));
}

}  // namespace attend::rpc
