// What the codec's tests share: requests cut into slices, tensors by value, refusals by field.
#ifndef ATTEND_TESTS_SERVER_RPC_CODEC_TEST_UTIL_H_
#define ATTEND_TESTS_SERVER_RPC_CODEC_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "attend/v1/attend.pb.h"
#include "google/rpc/error_details.pb.h"
#include "server/rpc/field_error.h"
#include "server/rpc/operation.h"
#include "server/rpc/wire_cursor.h"
#include "server/runtime/cancellation.h"

namespace attend::rpc {

// `bytes` in slices of `width`, each in memory of its own so that the sanitizer sees a read past its end.
class SlicedBytes {
 public:
  SlicedBytes(const std::string& bytes, size_t width) {
    for (size_t begin = 0; begin < bytes.size(); begin += width) {
      const std::string part = bytes.substr(begin, width);
      memory_.emplace_back(part.begin(), part.end());
      if (begin % (3 * width) == 0) memory_.emplace_back();  // empty slices happen
    }
    for (const auto& part : memory_) spans_.emplace_back(part.data(), part.size());
  }
  absl::Span<const WireSlice> spans() const { return spans_; }

 private:
  std::vector<std::vector<uint8_t>> memory_;
  std::vector<WireSlice> spans_;
};

template <typename T>
v1::Tensor RawTensor(v1::DataType dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  v1::Tensor tensor;
  tensor.set_dtype(dtype);
  for (int64_t dimension : shape) tensor.add_shape(dimension);
  tensor.mutable_raw()->assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return tensor;
}

inline int64_t Count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t dimension : shape) count *= dimension;
  return count;
}

// Small, different, finite values.
template <typename T>
std::vector<T> SomeValues(int64_t count, int seed = 1) {
  std::vector<T> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    values[static_cast<size_t>(i)] = static_cast<T>((i * 37 + seed * 11) % 19 - 9) / 8;
  return values;
}

inline v1::Tensor Floats(std::vector<int64_t> shape, int seed = 1) {
  return RawTensor(v1::DATA_TYPE_FLOAT32, shape, SomeValues<float>(Count(shape), seed));
}
inline v1::Tensor Doubles(std::vector<int64_t> shape, int seed = 1) {
  return RawTensor(v1::DATA_TYPE_FLOAT64, shape, SomeValues<double>(Count(shape), seed));
}

inline absl::StatusOr<std::unique_ptr<Operation>> DecodeWith(const Decoder& decoder,
                                                             const google::protobuf::Message& request,
                                                             size_t slice_width = 1 << 16) {
  static auto* const pool = new runtime::BufferPool;
  const SlicedBytes bytes(request.SerializeAsString(), slice_width);
  return decoder(bytes.spans(), *pool);
}

// Decodes, runs on this thread and parses the answer.
template <typename Response>
absl::StatusOr<Response> Answer(const Decoder& decoder, const google::protobuf::Message& request,
                                size_t slice_width = 1 << 16) {
  absl::StatusOr<std::unique_ptr<Operation>> operation = DecodeWith(decoder, request, slice_width);
  if (!operation.ok()) return operation.status();
  runtime::Cancellation never;
  runtime::InlineExecutor executor(never);
  runtime::BufferPool pool;
  if (absl::Status ran = (*operation)->Run(executor, pool); !ran.ok()) return ran;
  WireWriter writer;
  (*operation)->Encode(pool, writer);
  std::string bytes;
  for (const WirePiece& piece : writer.Finish()) {
    if (const auto* text = std::get_if<std::string>(&piece)) {
      bytes += *text;
    } else {
      const auto& buffer = std::get<runtime::Buffer>(piece);
      bytes.append(buffer.as<char>(), buffer.size());
    }
  }
  Response response;
  if (!response.ParseFromString(bytes)) return absl::InternalError("the answer does not parse");
  return response;
}

template <typename T>
std::vector<T> ValuesOf(const v1::Tensor& tensor) {
  std::vector<T> values(tensor.raw().size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.raw().data(), tensor.raw().size());
  return values;
}

inline std::vector<int64_t> ShapeOf(const v1::Tensor& tensor) { return {tensor.shape().begin(), tensor.shape().end()}; }

// The field of the first violation in the details, or "" where there are none.
inline std::string ViolatedField(const absl::Status& status) {
  google::rpc::BadRequest details;
  const auto payload = status.GetPayload(kBadRequestUrl);
  if (!payload.has_value() || !details.ParseFromString(std::string(*payload)) || details.field_violations().empty()) {
    return "";
  }
  return details.field_violations(0).field();
}

// The largest difference of two float32 tensors of the same size.
inline double Difference(const v1::Tensor& a, const v1::Tensor& b) {
  const auto left = ValuesOf<float>(a);
  const auto right = ValuesOf<float>(b);
  EXPECT_EQ(left.size(), right.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    largest = std::max<double>(largest, std::fabs(left[i] - right[i]));
  }
  return largest;
}

}  // namespace attend::rpc

#endif  // ATTEND_TESTS_SERVER_RPC_CODEC_TEST_UTIL_H_
