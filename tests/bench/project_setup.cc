#include "tests/bench/project_setup.h"

#include "server/compute/project/project.h"
#include "tests/bench/timing.h"

namespace attend::bench {
namespace {

std::vector<float> SmallNumbers(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 29 + i / 7) % 23) / 23 - 0.5f;
  return values;
}

void SetTensor(const std::vector<float>& values, int64_t rows, int64_t columns, v1::Tensor& tensor) {
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.add_shape(rows);
  tensor.add_shape(columns);
  tensor.set_raw(values.data(), values.size() * sizeof(float));
}

}  // namespace

ProjectSetup::ProjectSetup(int64_t rows, int64_t d)
    : rows_(rows), d_(d), x_(SmallNumbers(rows * d)), w_(SmallNumbers(d * d)), output_(static_cast<size_t>(rows * d)) {}

v1::ProjectRequest ProjectSetup::Request() const {
  v1::ProjectRequest request;
  SetTensor(x_, rows_, d_, *request.mutable_linear()->mutable_x());
  SetTensor(w_, d_, d_, *request.mutable_linear()->add_w());
  return request;
}

double ProjectSetup::CarriedMiB() const {
  return static_cast<double>((x_.size() + w_.size() + output_.size()) * sizeof(float)) / (1 << 20);
}

void ProjectSetup::Run(runtime::ComputePool& pool) {
  RunProjection(pool, buffers_, x_.data(), rows_, w_.data(), d_, output_.data());
}

void RunProjection(runtime::ComputePool& pool, runtime::BufferPool& buffers, const float* x, int64_t rows,
                   const float* w, int64_t d, float* output) {
  const compute::LinearProblem<float> problem{.x = x, .rows = rows, .d = d, .weights = {{w, nullptr, d}}};
  RunAsCall(pool, [&](runtime::Executor& executor) {
    compute::LinearProjection(executor, buffers, problem, {output}).IgnoreError();
  });
}

}  // namespace attend::bench
