#include "server/rpc/matrix_exp_codec.h"

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/rpc/field_error.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::DType;
using compute::MatrixStructure;
using compute::Shape;
using compute::Tensor;

struct MatrixExpInputs {
  Tensor a;                   // [..., n, n]
  std::vector<double> times;  // empty: {1}, and no times dimension in the answer
  std::optional<MatrixStructure> structure;
};

v1::MatrixExpReport ToWire(const compute::MatrixExpReport& report) {
  v1::MatrixExpReport wire;
  wire.set_structure(report.structure == MatrixStructure::kGenerator ? v1::STRUCTURE_GENERATOR : v1::STRUCTURE_GENERAL);
  wire.set_norm1(report.norm1);
  wire.set_degree(report.degree);
  wire.set_squarings(report.squarings);
  wire.set_products(report.products);
  wire.set_error_bound(report.error_bound);
  wire.set_row_sum_error(report.row_sum_error);
  wire.set_min_entry(report.min_entry);
  return wire;
}

template <typename T>
class MatrixExpOperation final : public Operation {
 public:
  explicit MatrixExpOperation(MatrixExpInputs inputs) : in_(std::move(inputs)) {
    const int64_t n = in_.a.dim(in_.a.rank() - 1);
    problem_.n = n;
    problem_.batch = n == 0 ? 0 : in_.a.size() / n / n;
    problem_.a = in_.a.data<T>();
    problem_.times = in_.times.empty() ? std::vector<double>{1.0} : in_.times;
    problem_.structure = in_.structure;
  }

  double ResponseBytes() const override {
    constexpr double kReportBytes = 80;  // at most, serialized
    return static_cast<double>(problem_.times.size()) *
           (static_cast<double>(in_.a.bytes()) + kReportBytes * static_cast<double>(problem_.batch));
  }
  double WorkspaceBytes(int workers) const override { return compute::MatrixExpWorkspaceBytes(problem_, workers); }
  double Flops() const override {
    return compute::MatrixExpFlops(problem_.n, problem_.result_cols(), result_.reports) + result_.other_flops;
  }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    output_ = Tensor(compute::DTypeOf<T>(), OutputShape(), pool);
    result_.result = output_.data<T>();
    const absl::Status status = compute::MatrixExp(executor, pool, problem_, result_);
    // The only thing a checked request can still have wrong.
    if (absl::IsInvalidArgument(status)) return InvalidField("structure", status.message(), "a matrix that has it");
    return status;
  }

  void Encode(runtime::BufferPool& pool, const v1::CallStats& stats, WireWriter& writer) override {
    writer.AddTensor(v1::MatrixExpResponse::kResultFieldNumber, std::move(output_));
    for (const compute::MatrixExpReport& report : result_.reports) {
      writer.AddMessage(v1::MatrixExpResponse::kReportsFieldNumber, ToWire(report));
    }
    writer.AddMessage(v1::MatrixExpResponse::kStatsFieldNumber, stats);
  }

 private:
  Shape OutputShape() const {
    Shape shape;
    if (!in_.times.empty()) shape.push_back(static_cast<int64_t>(in_.times.size()));
    shape.insert(shape.end(), in_.a.shape().begin(), in_.a.shape().end());
    return shape;
  }

  const MatrixExpInputs in_;
  compute::MatrixExpProblem<T> problem_;  // views of in_
  compute::MatrixExpResult<T> result_;
  Tensor output_;
};

absl::StatusOr<std::optional<MatrixStructure>> ReadStructure(v1::Structure structure) {
  switch (structure) {
    case v1::STRUCTURE_UNSPECIFIED:
      return std::nullopt;
    case v1::STRUCTURE_GENERAL:
      return MatrixStructure::kGeneral;
    case v1::STRUCTURE_GENERATOR:
      return MatrixStructure::kGenerator;
    case v1::STRUCTURE_SKEW_SYMMETRIC:
    case v1::STRUCTURE_SYMMETRIC:
    case v1::STRUCTURE_TRIANGULAR:
    case v1::STRUCTURE_DIAGONAL:
      return UnsupportedField("structure", v1::Structure_Name(structure));
    default:
      return InvalidField("structure", absl::StrCat("the unknown value ", static_cast<int>(structure)),
                          "a Structure of the contract");
  }
}

absl::Status ReadMatrix(const v1::MatrixExpRequest& request, FieldReader& reader, Tensor& a) {
  RETURN_IF_ERROR(reader.Required(request.has_a() ? &request.a() : nullptr, "a", "a tensor [..., n, n]", a));
  if (reader.wire_dtype() != DType::kFloat32 && reader.wire_dtype() != DType::kFloat64) {
    return InvalidField("a.dtype", compute::NameOf(reader.wire_dtype()), "FLOAT32 or FLOAT64");
  }
  // One dimension fewer than a tensor may have, since the times may add one.
  RETURN_IF_ERROR(CheckRank(a, "a", 2, compute::kMaxDimensions - 1));
  return CheckDimension("a", "columns", a.dim(a.rank() - 1), a.dim(a.rank() - 2), "as many as rows");
}

absl::StatusOr<MatrixExpInputs> ReadInputs(const v1::MatrixExpRequest& request, FieldReader& reader) {
  MatrixExpInputs in;
  if (request.has_apply_to()) return UnsupportedField("apply_to", "a request for the action exp(tA) B");
  if (request.has_grad_output()) return UnsupportedField("grad_output", "a request for gradients");
  absl::StatusOr<std::optional<MatrixStructure>> structure = ReadStructure(request.structure());
  if (!structure.ok()) return structure.status();
  in.structure = *structure;
  RETURN_IF_ERROR(ReadMatrix(request, reader, in.a));
  for (int i = 0; i < request.times_size(); ++i) {
    if (!std::isfinite(request.times(i))) {
      return InvalidField(absl::StrCat("times[", i, "]"), absl::StrCat(request.times(i)), "a finite number");
    }
    if (request.times(i) < 0 && in.structure == MatrixStructure::kGenerator) {
      return InvalidField(absl::StrCat("times[", i, "]"), absl::StrCat(request.times(i)),
                          "a number of at least 0, since a generator times a negative number is none");
    }
    in.times.push_back(request.times(i));
  }
  return in;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Operation>> DecodeMatrixExp(absl::Span<const WireSlice> slices,
                                                           runtime::BufferPool& pool) {
  v1::MatrixExpRequest request;
  absl::StatusOr<WireRequest> wire = WireRequest::Parse(slices, request);
  if (!wire.ok()) return wire.status();
  FieldReader reader(*wire, pool);
  absl::StatusOr<MatrixExpInputs> inputs = ReadInputs(request, reader);
  if (!inputs.ok()) return inputs.status();
  if (reader.wire_dtype() == DType::kFloat64) return std::make_unique<MatrixExpOperation<double>>(*std::move(inputs));
  return std::make_unique<MatrixExpOperation<float>>(*std::move(inputs));
}

}  // namespace attend::rpc
