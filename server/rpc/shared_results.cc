#include "server/rpc/shared_results.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/rpc/field_error.h"

namespace attend::rpc {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kBytesPerTile = uint64_t{1} << 20;
constexpr double kFlopsPerByte = 8;  // what else a thread would do while it copies one

template <typename Number>
absl::Status TooSmall(uint64_t length, Number needed) {
  return InvalidField("results.length", absl::StrCat(length, " bytes"), absl::StrCat(needed, " bytes"));
}

}  // namespace

absl::Status CheckResultsFit(const std::vector<double>& tensor_bytes, uint64_t length) {
  constexpr double kExact = 0x1p53;
  double needed = 0;
  for (double bytes : tensor_bytes) needed = std::ceil(needed / kAlignment) * kAlignment + bytes;
  if (needed <= static_cast<double>(length)) return absl::OkStatus();
  return needed < kExact ? TooSmall(length, static_cast<uint64_t>(needed)) : TooSmall(length, needed);
}

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
  return TooSmall(region_.length(), needed_);
}

}  // namespace attend::rpc
