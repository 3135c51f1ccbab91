#include "tests/bench/backward_setup.h"

#include <cstdlib>

#include "tests/bench/timing.h"

namespace attend::bench {

BackwardSetup::BackwardSetup(const AttentionShape& shape)
    : shape_(shape),
      forward_(shape),
      grad_output_(RandomValues(static_cast<size_t>(shape.batch * shape.heads * shape.n * shape.d), 4)),
      lse_(static_cast<size_t>(shape.batch * shape.heads * shape.n)),
      query_(grad_output_.size()),
      key_(static_cast<size_t>(shape.batch * shape.heads * shape.m * shape.d)),
      value_(key_.size()) {
  forward_.result().lse = lse_.data();
}

void BackwardSetup::ShareABias() {
  bias_ = RandomValues(static_cast<size_t>(shape_.n * shape_.m), 5);
  bias_gradient_.resize(bias_.size());
  problem().mask.bias = {bias_.data(), {0, 0, shape_.m, 1}};
}

void BackwardSetup::PrepareBackward(runtime::ComputePool& pool) {
  forward_.result().backward_follows = true;
  forward_.Run(pool);
  forward_.result().backward_follows = false;
}

void BackwardSetup::RunBackward(runtime::ComputePool& pool) {
  const auto heads = [&](auto* data, int64_t rows) {
    return compute::ContiguousHeads(data, shape_.heads, rows, shape_.d);
  };
  const float* output = forward_.result().output.data;
  const compute::AttentionForward<float> from{heads(output, shape_.n), lse_.data(),
                                              heads(static_cast<const float*>(grad_output_.data()), shape_.n)};
  compute::AttentionGradients<float> to{
      heads(query_.data(), shape_.n), heads(key_.data(), shape_.m), heads(value_.data(), shape_.m), {}};
  if (!bias_.empty()) to.parameters.bias = bias_gradient_.data();
  RunAsCall(pool, [&](runtime::Executor& executor) {
    if (!compute::AttentionBackward(executor, buffers_, problem(), from, to).ok()) std::abort();
  });
}

}  // namespace attend::bench
