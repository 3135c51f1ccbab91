#include "tests/bench/attention_setup.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/attention.h"
#include "tests/bench/timing.h"

namespace attend::bench {

std::vector<float> RandomValues(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

std::string AttentionShape::Name() const { return absl::StrCat(batch, "x", heads, "x", m, "x", d); }

namespace {

runtime::Buffer Pooled(const std::vector<float>& values, runtime::BufferPool& pool) {
  runtime::Buffer buffer = pool.AllocateArray<float>(values.size());
  std::copy(values.begin(), values.end(), buffer.as<float>());
  return buffer;
}

}  // namespace

AttentionSetup::AttentionSetup(AttentionShape s) {
  if (s.kv_heads == 0) s.kv_heads = s.heads;
  query_ = Pooled(RandomValues(static_cast<size_t>(s.batch * s.heads * s.n * s.d), 1), buffers_);
  key_ = Pooled(RandomValues(static_cast<size_t>(s.batch * s.kv_heads * s.m * s.d), 2), buffers_);
  value_ = Pooled(RandomValues(static_cast<size_t>(s.batch * s.kv_heads * s.m * s.d), 3), buffers_);
  output_ = buffers_.Allocate(query_.size());
  std::memset(output_.data(), 0, output_.size());
  problem_.batch = s.batch;
  problem_.heads = s.heads;
  problem_.kv_heads = s.kv_heads;
  problem_.n = s.n;
  problem_.m = s.m;
  problem_.d = problem_.d_key = problem_.d_value = s.d;
  problem_.scale = 1 / std::sqrt(static_cast<double>(s.d));
  problem_.query = compute::ContiguousHeads<const float>(query_.as<float>(), s.heads, s.n, s.d);
  problem_.key = compute::ContiguousHeads<const float>(key_.as<float>(), s.kv_heads, s.m, s.d);
  problem_.value = compute::ContiguousHeads<const float>(value_.as<float>(), s.kv_heads, s.m, s.d);
  result_.output = compute::ContiguousHeads(output_.as<float>(), s.heads, s.n, s.d);
}

size_t AttentionSetup::bytes() const { return query_.size() + key_.size() + value_.size() + output_.size(); }

double AttentionSetup::Run(runtime::ComputePool& pool) {
  double seconds = 0;
  RunAsCall(pool, [&](runtime::Executor& executor) {
    absl::Status status;
    seconds = Seconds([&] { status = compute::Attention(executor, buffers_, problem_, result_); });
    if (!status.ok()) {
      std::fprintf(stderr, "attention failed: %s\n", status.ToString().c_str());
      std::abort();
    }
  });
  return seconds;
}

}  // namespace attend::bench
