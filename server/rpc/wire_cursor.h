// Reads protobuf's wire format from a chain of slices without joining them. Not thread-safe; copies are cheap and
// independent.
#ifndef ATTEND_SERVER_RPC_WIRE_CURSOR_H_
#define ATTEND_SERVER_RPC_WIRE_CURSOR_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"

namespace attend::rpc {

using WireSlice = absl::Span<const uint8_t>;

// Wire types of protobuf's encoding.
enum class WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5
};

struct WireTag {
  int field = 0;
  WireType type = WireType::kVarint;
};

// A place in the chain and how many bytes from there belong to the message at hand. All reads return false, and leave
// the cursor anywhere, where the bytes end too early or are malformed.
class WireCursor {
 public:
  WireCursor() = default;
  // REQUIRES: the slices outlive the cursor and its copies.
  explicit WireCursor(absl::Span<const WireSlice> slices) : slices_(slices) {
    for (const WireSlice& slice : slices) remaining_ += slice.size();
    SkipEmptySlices();
  }

  uint64_t remaining() const { return remaining_; }
  bool done() const { return remaining_ == 0; }

  // The next contiguous piece, never empty unless done.
  WireSlice Piece() const {
    if (done()) return {};
    const WireSlice rest = slices_[slice_].subspan(offset_);
    return rest.subspan(0, std::min<uint64_t>(rest.size(), remaining_));
  }

  bool Skip(uint64_t count) {
    if (count > remaining_) return false;
    while (count > 0) {
      const uint64_t step = std::min<uint64_t>(count, slices_[slice_].size() - offset_);
      Advance(step);
      count -= step;
    }
    return true;
  }

  bool Copy(void* to, uint64_t count) {
    if (count > remaining_) return false;
    auto* out = static_cast<uint8_t*>(to);
    while (count > 0) {
      const WireSlice piece = Piece();
      const uint64_t step = std::min<uint64_t>(count, piece.size());
      std::memcpy(out, piece.data(), step);
      out += step;
      count -= step;
      Advance(step);
    }
    return true;
  }

  bool ReadVarint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (done()) return false;
      const uint8_t byte = slices_[slice_][offset_];
      Advance(1);
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }

  bool ReadTag(WireTag& tag) {
    uint64_t value;
    if (!ReadVarint(value) || value > UINT32_MAX) return false;
    tag.field = static_cast<int>(value >> 3);
    tag.type = static_cast<WireType>(value & 7);
    return tag.field > 0 && (value & 7) <= 5;
  }

  // A cursor over the next `length` bytes, which this one skips.
  bool Take(uint64_t length, WireCursor& taken) {
    if (length > remaining_) return false;
    taken = *this;
    taken.remaining_ = length;
    return Skip(length);
  }
  bool TakeLengthDelimited(WireCursor& taken) {
    uint64_t length;
    return ReadVarint(length) && Take(length, taken);
  }

  // Skips the value that follows `tag`.
  bool SkipValue(const WireTag& tag, int depth = 0) {
    uint64_t ignored;
    WireCursor body;
    switch (tag.type) {
      case WireType::kVarint:
        return ReadVarint(ignored);
      case WireType::kFixed64:
        return Skip(8);
      case WireType::kLengthDelimited:
        return TakeLengthDelimited(body);
      case WireType::kStartGroup:
        return SkipGroup(tag.field, depth);
      case WireType::kFixed32:
        return Skip(4);
      case WireType::kEndGroup:
        return false;
    }
    return false;
  }

 private:
  static constexpr int kMaxGroupDepth = 100;  // as protobuf's own parser

  bool SkipGroup(int field, int depth) {
    if (depth >= kMaxGroupDepth) return false;
    WireTag tag;
    while (ReadTag(tag)) {
      if (tag.type == WireType::kEndGroup) return tag.field == field;
      if (!SkipValue(tag, depth + 1)) return false;
    }
    return false;
  }

  void Advance(uint64_t count) {
    offset_ += count;
    remaining_ -= count;
    SkipEmptySlices();
  }
  void SkipEmptySlices() {
    while (slice_ < slices_.size() && offset_ == slices_[slice_].size()) {
      ++slice_;
      offset_ = 0;
    }
  }

  absl::Span<const WireSlice> slices_;
  size_t slice_ = 0;
  size_t offset_ = 0;
  uint64_t remaining_ = 0;
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_WIRE_CURSOR_H_
