#include "server/rpc/linear_codec.h"

#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"
#include "server/compute/project/project.h"
#include "server/rpc/field_error.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::DType;
using compute::Shape;
using compute::Tensor;

struct LinearInputs {
  DType wire_dtype = DType::kFloat32;
  int64_t rows = 0;       // the product of x's dimensions but the last
  Tensor x;               // [..., n, d]
  std::vector<Tensor> w;  // each [d, e_i]
  std::vector<Tensor> b;  // none, or each [e_i]
};

template <typename T>
class LinearOperation final : public Operation {
 public:
  explicit LinearOperation(LinearInputs inputs) : in_(std::move(inputs)) {
    problem_.x = in_.x.data<T>();
    problem_.d = in_.x.dim(in_.x.rank() - 1);
    problem_.rows = in_.rows;
    for (size_t i = 0; i < in_.w.size(); ++i) {
      problem_.weights.push_back({in_.w[i].data<T>(), in_.b.empty() ? nullptr : in_.b[i].data<T>(), in_.w[i].dim(1)});
    }
  }

  double ResponseBytes() const override {
    const std::vector<double> tensors = TensorBytes();
    return std::accumulate(tensors.begin(), tensors.end(), 0.0);
  }
  std::vector<double> TensorBytes() const override {
    const double per_column = static_cast<double>(in_.rows) * static_cast<double>(compute::SizeOf(in_.wire_dtype));
    std::vector<double> bytes;
    for (const Tensor& w : in_.w) bytes.push_back(per_column * static_cast<double>(w.dim(1)));
    return bytes;
  }
  double WorkspaceBytes(int workers) const override {
    const double unconverted = in_.wire_dtype == compute::DTypeOf<T>() ? 0 : 2 * ResponseBytes();
    return unconverted + compute::LinearWorkspaceBytes(problem_, workers);
  }
  double Flops() const override { return compute::LinearFlops(problem_); }
  bool Brief() const override {
    if (problem_.rows == 0 || problem_.d == 0) return false;  // empty tensors may have any shape
    return Flops() + kFlopsToBegin * static_cast<double>(in_.w.size()) <= kBriefFlops;
  }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    std::vector<T*> to;
    for (const Tensor& w : in_.w) {
      Shape shape = in_.x.shape();
      shape.back() = w.dim(1);
      outputs_.emplace_back(compute::DTypeOf<T>(), std::move(shape), pool);
      to.push_back(outputs_.back().data<T>());
    }
    return compute::LinearProjection(executor, pool, problem_, to);
  }

  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    for (Tensor& output : outputs_) {
      if (output.dtype() != in_.wire_dtype) output = compute::ConvertTo(in_.wire_dtype, output, pool);
      writer.AddTensor(v1::ProjectResponse::kOutputsFieldNumber, std::move(output));
    }
  }

 private:
  const LinearInputs in_;
  compute::LinearProblem<T> problem_;  // views of in_
  std::vector<Tensor> outputs_;
};

absl::Status ReadWeights(const v1::LinearProjection& linear, FieldReader& reader, LinearInputs& in) {
  const int64_t d = in.x.dim(in.x.rank() - 1);
  if (linear.w().empty()) return InvalidField("linear.w", "nothing", "at least one tensor [d, e]");
  for (int i = 0; i < linear.w_size(); ++i) {
    const std::string field = absl::StrCat("linear.w[", i, "]");
    RETURN_IF_ERROR(reader.Floating(linear.w(i), field, in.w.emplace_back()));
    RETURN_IF_ERROR(CheckRank(in.w.back(), field, 2, 2));
    RETURN_IF_ERROR(CheckDimension(field, "rows", in.w.back().dim(0), d, "d of linear.x"));
  }
  return absl::OkStatus();
}

absl::Status ReadBiases(const v1::LinearProjection& linear, FieldReader& reader, LinearInputs& in) {
  if (linear.b().empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckDimension("linear.b", "tensors", linear.b_size(), linear.w_size(), "one per w, or none"));
  for (int i = 0; i < linear.b_size(); ++i) {
    const std::string field = absl::StrCat("linear.b[", i, "]");
    RETURN_IF_ERROR(reader.Floating(linear.b(i), field, in.b.emplace_back()));
    RETURN_IF_ERROR(CheckRank(in.b.back(), field, 1, 1));
    RETURN_IF_ERROR(CheckDimension(field, "elements", in.b.back().dim(0), in.w[i].dim(1), "columns of its w"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Operation>> DecodeLinear(const v1::LinearProjection& linear, FieldReader& reader) {
  LinearInputs in;
  RETURN_IF_ERROR(reader.Required(linear.has_x() ? &linear.x() : nullptr, "linear.x", "a tensor [..., n, d]", in.x));
  RETURN_IF_ERROR(CheckRank(in.x, "linear.x", 2, compute::kMaxDimensions));
  in.wire_dtype = reader.wire_dtype();
  const std::optional<int64_t> rows =
      compute::ElementCount(absl::MakeConstSpan(in.x.shape()).subspan(0, in.x.shape().size() - 1));
  if (!rows.has_value()) {
    return InvalidField("linear.x.shape", compute::ShapeToString(in.x.shape()), "fewer than 2^63 rows");
  }
  in.rows = *rows;
  RETURN_IF_ERROR(ReadWeights(linear, reader, in));
  RETURN_IF_ERROR(ReadBiases(linear, reader, in));
  if (in.wire_dtype == DType::kFloat64) return std::make_unique<LinearOperation<double>>(std::move(in));
  return std::make_unique<LinearOperation<float>>(std::move(in));
}

}  // namespace attend::rpc
