// Builds a serialized response whose large tensors are not copied: a list of pieces, each either a few bytes or a
// tensor's own memory. Not thread-safe.
#ifndef ATTEND_SERVER_RPC_WIRE_WRITER_H_
#define ATTEND_SERVER_RPC_WIRE_WRITER_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "attend/v1/attend.pb.h"
#include "server/compute/tensor.h"
#include "server/runtime/buffer_pool.h"

namespace attend::rpc {

using WirePiece = std::variant<std::string, runtime::Buffer>;

// Where a response's tensors go instead of into the message.
class TensorSink {
 public:
  virtual ~TensorSink() = default;
  // Takes the elements; what the message says of them instead.
  virtual v1::SharedMemory Place(const compute::Tensor& tensor) = 0;
};

class WireWriter {
 public:
  // With a sink, which must outlive the writer, the message carries references in place of elements.
  explicit WireWriter(TensorSink* sink = nullptr) : sink_(sink) {}

  // Appends field `number` holding `tensor`, as raw bytes.
  void AddTensor(int number, compute::Tensor tensor);

  // Appends an entry of a map<string, Tensor>.
  void AddTensorEntry(int number, absl::string_view key, compute::Tensor tensor);

  void AddMessage(int number, const google::protobuf::MessageLite& message);

  // Appends bytes that are already in the wire's form.
  void AddText(absl::string_view bytes) { AppendBytes(bytes); }

  // Appends all fields of `message`, which is of the response's own type (or has the same fields).
  void AddFields(const google::protobuf::MessageLite& message);

  uint64_t bytes() const { return bytes_; }

  // What was written; the writer is empty afterwards.
  std::vector<WirePiece> Finish();

 private:
  void AppendBytes(absl::string_view bytes);
  void AppendTensorBody(absl::string_view header, compute::Tensor tensor);

  // The whole Tensor message of elements that went to the sink.
  std::string PlacedTensor(const compute::Tensor& tensor);

  TensorSink* const sink_;
  std::vector<WirePiece> pieces_;
  std::string text_;  // what follows the last piece
  uint64_t bytes_ = 0;
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_WIRE_WRITER_H_
