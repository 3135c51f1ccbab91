// The same numbers in every floating type: every kind of request, every tensor of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "server/compute/convert.h"
#include "tests/server/rpc/attention_requests.h"

namespace attend::rpc {
namespace {

using Request = v1::AttentionRequest;

compute::DType Internal(v1::DataType dtype) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT64:
      return compute::DType::kFloat64;
    case v1::DATA_TYPE_BFLOAT16:
      return compute::DType::kBFloat16;
    case v1::DATA_TYPE_FLOAT16:
      return compute::DType::kFloat16;
    default:
      return compute::DType::kFloat32;
  }
}

// The raw bytes of float32 values in another type.
std::string Converted(const std::string& floats, v1::DataType dtype) {
  runtime::BufferPool pool;
  const compute::Tensor from(compute::DType::kFloat32, {static_cast<int64_t>(floats.size() / sizeof(float))}, pool);
  std::copy(floats.begin(), floats.end(), from.data<char>());
  const compute::Tensor to = compute::ConvertTo(Internal(dtype), from, pool);
  return std::string(to.data<char>(), to.bytes());
}

// Turns every FLOAT32 tensor of a message into one of `dtype`.
void Retype(google::protobuf::Message& message, v1::DataType dtype) {
  if (auto* tensor = dynamic_cast<v1::Tensor*>(&message)) {
    if (tensor->dtype() != v1::DATA_TYPE_FLOAT32) return;
    *tensor->mutable_raw() = Converted(tensor->raw(), dtype);
    tensor->set_dtype(dtype);
    return;
  }
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE || field->is_repeated()) continue;
    Retype(*reflection.MutableMessage(&message, field), dtype);
  }
}

// Values of multiples of 1/8 below 2: every floating type holds them.
std::vector<std::pair<std::string, Request>> EveryKind() {
  Request masked = HeadsRequest();
  *masked.mutable_mask()->mutable_bias() = Floats({4, 1, 5}, 5);
  masked.mutable_mask()->set_window_left(2);
  masked.mutable_mask()->add_key_lengths(5);
  masked.mutable_mask()->add_key_lengths(3);
  masked.mutable_position()->mutable_rotary();
  masked.mutable_normalization()->mutable_softmax()->set_softcap(2);
  Request additive = HeadsRequest();
  AddAdditive(additive, 6);
  Request bilinear = HeadsRequest();
  AddBilinear(bilinear, 6);
  for (Request* request : {&masked, &additive, &bilinear}) {
    *request->mutable_grad_output() = Floats({2, 4, 3, 7}, 9);
  }
  Request generator;
  for (auto* tensor : {generator.mutable_heads()->mutable_query(), generator.mutable_heads()->mutable_key(),
                       generator.mutable_heads()->mutable_value()}) {
    *tensor = Floats({2, 5, 4}, 10);
  }
  generator.mutable_normalization()->mutable_generator_exp()->set_rate(v1::GeneratorExp::RATE_EXP);
  *generator.mutable_grad_output() = Floats({2, 5, 4}, 11);
  Request tokens = TokensRequest();
  *tokens.mutable_grad_output() = Floats({2, 3, 9}, 12);
  return {
      {"masked", masked}, {"additive", additive}, {"bilinear", bilinear}, {"generator", generator}, {"tokens", tokens}};
}

// The answer in float32 terms: results as output_dtype has them, gradients rounded to the inputs' type.
TEST(AttentionDTypes, HalvesAnswerWhatFloat32Answers) {
  for (auto& [name, request] : EveryKind()) {
    ReturnEverything(request);
    request.set_output_dtype(v1::DATA_TYPE_FLOAT32);
    const auto want = Ask(request);
    ASSERT_TRUE(want.ok()) << name << ": " << want.status();
    for (const v1::DataType dtype : {v1::DATA_TYPE_BFLOAT16, v1::DATA_TYPE_FLOAT16}) {
      Request small = request;
      Retype(small, dtype);
      const auto got = Ask(small);
      ASSERT_TRUE(got.ok()) << name << ": " << got.status();
      EXPECT_EQ(got->output().raw(), want->output().raw()) << name;
      EXPECT_EQ(got->weights().raw(), want->weights().raw()) << name;
      EXPECT_EQ(got->scores().raw(), want->scores().raw()) << name;
      EXPECT_EQ(got->lse().raw(), want->lse().raw()) << name;
      EXPECT_EQ(got->entropy().raw(), want->entropy().raw()) << name;
      ASSERT_EQ(got->gradients().size(), want->gradients().size()) << name;
      for (const auto& [field, gradient] : want->gradients()) {
        EXPECT_EQ(got->gradients().at(field).raw(), Converted(gradient.raw(), dtype)) << name << " " << field;
      }
    }
  }
}

// Sums of at most a few dozen terms of size at most a few: hundreds of float32's roundoffs of 6e-8, of 2 and of the
// largest element.
TEST(AttentionDTypes, Float64AnswersWhatFloat32Rounds) {
  const auto expect_near = [](const v1::Tensor& got, const v1::Tensor& want, const std::string& name) {
    ASSERT_EQ(got.dtype(), v1::DATA_TYPE_FLOAT64) << name;
    const auto fine = ValuesOf<double>(got);
    const auto coarse = ValuesOf<float>(want);
    ASSERT_EQ(fine.size(), coarse.size()) << name;
    double largest = 2;
    for (const double v : fine) largest = std::max(largest, std::isfinite(v) ? std::fabs(v) : 0);
    for (size_t i = 0; i < fine.size(); ++i) {
      if (fine[i] != coarse[i]) {  // infinities are equal
        EXPECT_NEAR(coarse[i], fine[i], 2e-5 * largest) << name << " " << i;
      }
    }
  };
  for (auto& [name, request] : EveryKind()) {
    ReturnEverything(request);
    const auto want = Ask(request);
    Request wide = request;
    Retype(wide, v1::DATA_TYPE_FLOAT64);
    const auto got = Ask(wide);
    ASSERT_TRUE(want.ok() && got.ok()) << name << ": " << want.status() << got.status();
    expect_near(got->output(), want->output(), name + " output");
    expect_near(got->weights(), want->weights(), name + " weights");
    expect_near(got->scores(), want->scores(), name + " scores");
    expect_near(got->lse(), want->lse(), name + " lse");
    expect_near(got->entropy(), want->entropy(), name + " entropy");
    for (const auto& [field, gradient] : want->gradients()) {
      expect_near(got->gradients().at(field), gradient, name + " gradient of " + field);
    }
  }
}

}  // namespace
}  // namespace attend::rpc
