// Requests whose tensors lie in files, as SharedCall meets them.
#ifndef ATTEND_TESTS_SERVER_RPC_SHARED_CALL_FIXTURE_H_
#define ATTEND_TESTS_SERVER_RPC_SHARED_CALL_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>

#include "server/rpc/shared_call.h"
#include "tests/server/rpc/codec_test_util.h"
#include "tests/server/rpc/shared_folder.h"

namespace attend::rpc {

inline constexpr uint64_t kLimit = uint64_t{1} << 20;

class SharedCallTest : public ::testing::Test {
 protected:
  // Moves the elements of `tensor` into a file `name`, behind `offset` other bytes.
  void Share(const std::string& name, uint64_t offset, v1::Tensor& tensor) const {
    shared_.Write(name, std::string(offset, '?') + tensor.raw());
    *tensor.mutable_shared() = PlaceIn(name, offset, tensor.raw().size());
    tensor.clear_raw();
  }
  Decoder With(Decoder decode, uint64_t limit = kLimit) const {
    return WithSharedMemory(std::move(decode), &shared_.folder(), limit);
  }
  std::string Placed(const v1::Tensor& tensor) const {
    EXPECT_TRUE(tensor.raw().empty());
    return shared_.Read(tensor.shared().name()).substr(tensor.shared().offset(), tensor.shared().length());
  }

  SharedFolder shared_;
};

inline v1::AttentionRequest Attention(v1::DataType dtype = v1::DATA_TYPE_FLOAT32) {
  v1::AttentionRequest request;
  const bool wide = dtype == v1::DATA_TYPE_FLOAT64;
  *request.mutable_heads()->mutable_query() = wide ? Doubles({1, 2, 3, 5}, 1) : Floats({1, 2, 3, 5}, 1);
  *request.mutable_heads()->mutable_key() = wide ? Doubles({1, 2, 17, 5}, 2) : Floats({1, 2, 17, 5}, 2);
  *request.mutable_heads()->mutable_value() = wide ? Doubles({1, 2, 17, 5}, 3) : Floats({1, 2, 17, 5}, 3);
  return request;
}

}  // namespace attend::rpc

#endif  // ATTEND_TESTS_SERVER_RPC_SHARED_CALL_FIXTURE_H_
