#include "server/rpc/wire_reader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/field_error.h"
#include "server/rpc/shared_call.h"

namespace attend::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

// What happens to a field while the request is split.
enum class Treatment { kCutOut, kDescend, kCopy, kDrop };

// More tensors than any request needs; what protobuf could hold in 2 bytes each would cost us far more.
constexpr size_t kMaxTensors = 4096;
// More fields outside of tensors than any request needs: a message of nothing else takes seconds to parse.
constexpr size_t kMaxFields = size_t{1} << 20;

void CollectHolders(const Descriptor& message, std::set<const Descriptor*>& seen,
                    std::set<const Descriptor*>& holders) {
  if (!seen.insert(&message).second) return;
  for (int i = 0; i < message.field_count(); ++i) {
    const Descriptor* type = message.field(i)->message_type();
    if (type == nullptr) continue;
    CollectHolders(*type, seen, holders);
    if (type == v1::Tensor::descriptor() || holders.contains(type)) holders.insert(&message);
  }
}

// The contract's messages that hold a Tensor, however deep.
const std::set<const Descriptor*>& TensorHolders() {
  static const auto* const kHolders = [] {
    auto* holders = new std::set<const Descriptor*>;
    std::set<const Descriptor*> seen;
    const auto* file = v1::Tensor::descriptor()->file();
    for (int i = 0; i < file->message_type_count(); ++i) CollectHolders(*file->message_type(i), seen, *holders);
    return holders;
  }();
  return *kHolders;
}

Treatment TreatmentOf(const FieldDescriptor* field, WireType type) {
  if (field == nullptr) return Treatment::kDrop;
  if (field->message_type() == nullptr) return Treatment::kCopy;
  if (type != WireType::kLengthDelimited) return Treatment::kDrop;  // protobuf takes it for an unknown field
  if (field->message_type() == v1::Tensor::descriptor()) return Treatment::kCutOut;
  return TensorHolders().contains(field->message_type()) ? Treatment::kDescend : Treatment::kCopy;
}

void WriteTag(const WireTag& tag, CodedOutputStream& out) {
  out.WriteTag(static_cast<uint32_t>(tag.field) << 3 | static_cast<uint32_t>(tag.type));
}

void WriteLengthDelimited(const WireTag& tag, const std::string& body, CodedOutputStream& out) {
  WriteTag(tag, out);
  out.WriteVarint64(body.size());
  out.WriteString(body);
}

class Splitter {
 public:
  explicit Splitter(std::vector<WireCursor>& tensors) : tensors_(tensors) {}

  // Appends what is left of `in`, a message of type `type`, to `rest`. False where the wire format is broken.
  bool Split(WireCursor in, const Descriptor& type, std::string& rest) {
    StringOutputStream stream(&rest);
    CodedOutputStream out(&stream);
    while (!in.done()) {
      WireTag tag;
      if (!in.ReadTag(tag) || !SplitField(tag, in, type, out)) return false;
    }
    return true;
  }

  // After a failure: what there was too much of, or empty.
  const std::string& too_many() const { return too_many_; }

 private:
  bool SplitField(const WireTag& tag, WireCursor& in, const Descriptor& type, CodedOutputStream& out) {
    if (++fields_ > kMaxFields) return TooMany("fields", kMaxFields);
    const FieldDescriptor* field = type.FindFieldByNumber(tag.field);
    switch (TreatmentOf(field, tag.type)) {
      case Treatment::kCutOut:
        return CutOut(tag, in, out);
      case Treatment::kDescend:
        return Descend(tag, in, *field->message_type(), out);
      case Treatment::kCopy:
        return CopyField(tag, in, out);
      case Treatment::kDrop:
        return in.SkipValue(tag);
    }
    return false;
  }

  bool CutOut(const WireTag& tag, WireCursor& in, CodedOutputStream& out) {
    WireCursor body;
    if (!in.TakeLengthDelimited(body)) return false;
    if (tensors_.size() == kMaxTensors) return TooMany("tensors", kMaxTensors);
    v1::Tensor stub;
    stub.add_shape(static_cast<int64_t>(tensors_.size()));
    tensors_.push_back(body);
    WriteLengthDelimited(tag, stub.SerializeAsString(), out);
    return true;
  }

  bool Descend(const WireTag& tag, WireCursor& in, const Descriptor& type, CodedOutputStream& out) {
    WireCursor body;
    std::string rest;
    if (!in.TakeLengthDelimited(body) || !Split(body, type, rest)) return false;
    WriteLengthDelimited(tag, rest, out);
    return true;
  }

  bool CopyField(const WireTag& tag, WireCursor& in, CodedOutputStream& out) {
    const WireCursor begin = in;
    if (!in.SkipValue(tag)) return false;
    std::string value(begin.remaining() - in.remaining(), '\0');
    WireCursor from = begin;
    if (!from.Copy(value.data(), value.size())) return false;
    WriteTag(tag, out);
    out.WriteString(value);
    return true;
  }

  bool TooMany(absl::string_view what, size_t limit) {
    too_many_ = absl::StrCat("at most ", limit, " ", what);
    return false;
  }

  std::vector<WireCursor>& tensors_;
  size_t fields_ = 0;
  std::string too_many_;
};

// SharedMemory.length of a message; 0 where it is none, or absurdly long: the decoder refuses those.
uint64_t LengthOfRegion(WireCursor body) {
  constexpr uint64_t kLongest = 1 << 14;
  if (body.remaining() > kLongest) return 0;
  std::string bytes(body.remaining(), '\0');
  v1::SharedMemory region;
  if (!body.Copy(bytes.data(), bytes.size()) || !region.ParseFromString(bytes)) return 0;
  return region.length();
}

void NoteResults(const google::protobuf::Message& message, SharedCall& shared) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName("results");
  if (field == nullptr || field->message_type() != v1::SharedMemory::descriptor() ||
      !message.GetReflection()->HasField(message, field)) {
    return;
  }
  const auto& place = message.GetReflection()->GetMessage(message, field);
  shared.NoteResults(static_cast<const v1::SharedMemory&>(place));
}

}  // namespace

absl::StatusOr<WireRequest> WireRequest::Parse(const RequestBytes& bytes, google::protobuf::Message& message) {
  WireRequest request;
  request.shared_ = bytes.shared;
  request.executor_ = bytes.executor;
  const WireCursor whole(bytes.slices);
  request.bytes_ = whole.remaining();
  std::string rest;
  Splitter splitter(request.tensors_);
  if (!splitter.Split(whole, *message.GetDescriptor(), rest) || !message.ParseFromString(rest)) {
    if (!splitter.too_many().empty()) return InvalidField("request", "more than that", splitter.too_many());
    return InvalidField("request", absl::StrCat(request.bytes_, " bytes that end too early or are malformed"),
                        absl::StrCat("a serialized ", message.GetTypeName()));
  }
  if (bytes.shared != nullptr) NoteResults(message, *bytes.shared);
  return request;
}

uint64_t WireRequest::SharedBytes() const {
  uint64_t sum = 0;
  for (WireCursor in : tensors_) {
    WireTag tag;
    while (!in.done() && in.ReadTag(tag)) {
      if (tag.field != v1::Tensor::kSharedFieldNumber || tag.type != WireType::kLengthDelimited) {
        if (!in.SkipValue(tag)) break;
        continue;
      }
      WireCursor body;
      if (!in.TakeLengthDelimited(body)) break;
      const uint64_t length = LengthOfRegion(body);
      sum += std::min(length, std::numeric_limits<uint64_t>::max() - sum);
    }
  }
  return sum;
}

std::vector<WireCursor> WireRequest::Pieces(const v1::Tensor& stub) const {
  std::vector<WireCursor> pieces;
  for (int64_t index : stub.shape()) pieces.push_back(tensors_[static_cast<size_t>(index)]);
  return pieces;
}

}  // namespace attend::rpc
