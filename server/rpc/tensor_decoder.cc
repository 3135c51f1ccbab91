#include "server/rpc/tensor_decoder.h"

#include <cmath>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/compute/convert.h"
#include "server/rpc/field_error.h"
#include "server/rpc/gather_parts.h"
#include "server/rpc/return_if_error.h"
#include "server/rpc/shared_call.h"
#include "server/rpc/tensor_header.h"

namespace attend::rpc {
namespace {

using compute::DType;
using compute::Tensor;

// How many elements are gathered before they are checked or converted: small enough to still be in the nearest cache.
constexpr size_t kStrideElements = 4096;
constexpr size_t kStrideOfRegion = 32768;  // the same in the next cache: each stride costs a system call

DType MemoryDType(DType wire) { return wire == DType::kBFloat16 || wire == DType::kFloat16 ? DType::kFloat32 : wire; }

// "[0, 2, 5]" for element 13 of a [2, 3, 8].
std::string PlaceOf(int64_t element, const compute::Shape& shape) {
  std::vector<int64_t> place(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    place[i] = element % shape[i];
    element /= shape[i];
  }
  return absl::StrCat("[", absl::StrJoin(place, ", "), "]");
}

template <typename T>
bool Allowed(T value, Values allowed) {
  return std::isfinite(value) || (allowed == Values::kFiniteOrMinusInfinity && value < 0);
}

// A place in a region of shared memory.
class RegionCursor {
 public:
  explicit RegionCursor(const SharedRegion& region) : region_(&region) {}

  absl::Status Read(void* to, uint64_t bytes) {
    RETURN_IF_ERROR(region_->ReadAt(at_, to, bytes));
    at_ += bytes;
    return absl::OkStatus();
  }
  void Skip(uint64_t bytes) { at_ += bytes; }

 private:
  const SharedRegion* region_;
  uint64_t at_ = 0;
};

// Gathers the elements of one tensor.
class Gather {
 public:
  Gather(const TensorHeader& header, Values allowed, absl::string_view field, runtime::BufferPool& pool,
         runtime::Executor* executor)
      : allowed_(allowed), field_(field), executor_(executor), tensor_(MemoryDType(header.dtype), header.shape, pool) {}

  // From the bytes of raw, or of a region of shared memory.
  template <typename Source>
  absl::Status FromBytes(const Source& source, const TensorHeader& header) {
    const auto bytes_each = static_cast<int64_t>(compute::SizeOf(header.dtype));
    return ForEachPart(executor_, source, header.elements, bytes_each, [&](Source in, int64_t begin, int64_t count) {
      return CopyPart(in, header.dtype, begin, count);
    });
  }

  absl::Status FromValues(const TensorHeader& header, const std::vector<WireCursor>& pieces) {
    for (WireCursor in : pieces) {
      while (!in.done()) {
        WireTag tag;
        in.ReadTag(tag);
        if (tag.field != static_cast<int>(header.payload)) {
          in.SkipValue(tag);
          continue;
        }
        if (absl::Status status = ReadRun(tag, in, header.payload); !status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  Tensor Finish() { return std::move(tensor_); }

 private:
  absl::Status ReadRun(const WireTag& tag, WireCursor& in, Payload payload) {
    WireCursor run;
    if (tag.type == WireType::kLengthDelimited) {
      in.TakeLengthDelimited(run);
    } else {
      const WireCursor begin = in;
      in.SkipValue(tag);
      run = begin;
      WireCursor value;
      run.Take(begin.remaining() - in.remaining(), value);
      run = value;
    }
    switch (payload) {
      case Payload::kFloats:
        return CopyRun<float>(run);
      case Payload::kDoubles:
        return CopyRun<double>(run);
      default:
        return ReadVarints(run);
    }
  }

  template <typename T>
  absl::Status CopyRun(WireCursor& run) {
    const auto count = static_cast<int64_t>(run.remaining() / sizeof(T));
    const absl::Status copied = CopyChecked<T>(run, filled_, count);
    filled_ += count;
    return copied;
  }

  absl::Status ReadVarints(WireCursor& run) {
    uint64_t value;
    while (!run.done() && run.ReadVarint(value)) {
      if (tensor_.dtype() == DType::kBool) {
        tensor_.data<uint8_t>()[filled_++] = value != 0 ? 1 : 0;
      } else {
        tensor_.data<int32_t>()[filled_++] = static_cast<int32_t>(value);
      }
    }
    return absl::OkStatus();
  }

  // Elements [begin, begin + count).
  template <typename Source>
  absl::Status CopyPart(Source& in, DType dtype, int64_t begin, int64_t count) {
    switch (dtype) {
      case DType::kFloat32:
        return CopyChecked<float>(in, begin, count);
      case DType::kFloat64:
        return CopyChecked<double>(in, begin, count);
      case DType::kBFloat16:
        return Convert(in, begin, count, compute::BFloat16ToFloat);
      case DType::kFloat16:
        return Convert(in, begin, count, compute::Float16ToFloat);
      case DType::kInt32:
        return Fetch(in, tensor_.data<int32_t>() + begin, static_cast<uint64_t>(count) * sizeof(int32_t));
      case DType::kBool:
        RETURN_IF_ERROR(Fetch(in, tensor_.data<uint8_t>() + begin, static_cast<uint64_t>(count)));
        return CheckBools(begin, count);
    }
    return absl::InternalError("unhandled dtype");
  }

  static absl::Status Fetch(WireCursor& in, void* to, uint64_t bytes) {
    in.Copy(to, bytes);
    return absl::OkStatus();
  }
  static absl::Status Fetch(RegionCursor& in, void* to, uint64_t bytes) { return in.Read(to, bytes); }

  template <typename T, typename Source>
  absl::Status CopyChecked(Source& in, int64_t begin, int64_t count) {
    constexpr int64_t kStride = std::is_same_v<Source, WireCursor> ? kStrideElements : kStrideOfRegion;
    for (int64_t done = 0; done < count; done += kStride) {
      const int64_t step = std::min<int64_t>(count - done, kStride);
      T* to = tensor_.data<T>() + begin + done;
      RETURN_IF_ERROR(Fetch(in, to, static_cast<uint64_t>(step) * sizeof(T)));
      RETURN_IF_ERROR(CheckValues(to, begin + done, step));
    }
    return absl::OkStatus();
  }

  template <typename Source>
  absl::Status Convert(Source& in, int64_t begin, int64_t count, void (*convert)(const uint16_t*, float*, size_t)) {
    uint16_t half[kStrideElements];
    constexpr auto kStride = static_cast<int64_t>(kStrideElements);
    for (int64_t done = 0; done < count; done += kStride) {
      const int64_t step = std::min(count - done, kStride);
      RETURN_IF_ERROR(Fetch(in, half, static_cast<uint64_t>(step) * sizeof(uint16_t)));
      float* to = tensor_.data<float>() + begin + done;
      convert(half, to, static_cast<size_t>(step));
      RETURN_IF_ERROR(CheckValues(to, begin + done, step));
    }
    return absl::OkStatus();
  }

  // values [count] are the elements from `begin` on.
  template <typename T>
  absl::Status CheckValues(const T* values, int64_t begin, int64_t count) const {
    if (compute::AllFinite(values, static_cast<size_t>(count))) return absl::OkStatus();
    for (int64_t i = 0; i < count; ++i) {
      if (Allowed(values[i], allowed_)) continue;
      return InvalidField(field_, absl::StrCat(values[i], " at ", PlaceOf(begin + i, tensor_.shape())),
                          allowed_ == Values::kFinite ? "finite values" : "finite values or -infinity");
    }
    return absl::OkStatus();
  }

  absl::Status CheckBools(int64_t begin, int64_t count) const {
    const uint8_t* values = tensor_.data<uint8_t>();
    for (int64_t i = begin; i < begin + count; ++i) {
      if (values[i] <= 1) continue;
      return InvalidField(field_, absl::StrCat("byte ", values[i], " at ", PlaceOf(i, tensor_.shape())),
                          "bytes 0 or 1 for BOOL");
    }
    return absl::OkStatus();
  }

  const Values allowed_;
  const absl::string_view field_;
  runtime::Executor* const executor_;
  Tensor tensor_;
  int64_t filled_ = 0;  // by FromValues
};

}  // namespace

absl::StatusOr<DecodedTensor> TensorDecoder::Decode(const v1::Tensor& stub, absl::string_view field,
                                                    Values allowed) const {
  const std::vector<WireCursor> pieces = request_.Pieces(stub);
  absl::StatusOr<TensorHeader> header = ReadTensorHeader(pieces, field);
  if (!header.ok()) return header.status();
  std::optional<SharedRegion> region;  // opened, and with it bounded, before memory is taken
  if (header->payload == Payload::kShared) {
    absl::StatusOr<SharedRegion> opened = OpenRegion(header->shared, absl::StrCat(field, ".shared"));
    if (!opened.ok()) return opened.status();
    region = *std::move(opened);
  }
  Gather gather(*header, allowed, field, pool_, request_.executor());
  absl::Status gathered;
  if (region.has_value()) {
    gathered = gather.FromBytes(RegionCursor(*region), *header);
  } else if (header->payload == Payload::kRaw) {
    gathered = gather.FromBytes(header->raw, *header);
  } else {
    gathered = gather.FromValues(*header, pieces);
  }
  if (!gathered.ok()) return gathered;
  return DecodedTensor{gather.Finish(), header->dtype};
}

absl::StatusOr<SharedRegion> TensorDecoder::OpenRegion(const v1::SharedMemory& place, absl::string_view field) const {
  if (request_.shared() == nullptr) return NoSharedMemory(field);
  return request_.shared()->OpenInput(place, field);
}

}  // namespace attend::rpc
