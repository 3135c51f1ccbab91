#include "server/rpc/matrix_exp_codec.h"

#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/lie/chain.h"
#include "server/compute/lie/generator_check.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/compute/shortest_text.h"
#include "server/rpc/field_error.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/leading_dimensions.h"
#include "server/rpc/lie_reports.h"
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
  std::optional<Tensor> apply_to;  // [..., n, p] with a's leading dimensions, or [n, p]
  std::optional<Tensor> grad_output;
  bool apply_to_is_shared = false;
  bool diagnostics = false;

  Shape OutputShape() const {
    Shape shape;
    if (!times.empty()) shape.push_back(static_cast<int64_t>(times.size()));
    shape.insert(shape.end(), a.shape().begin(), a.shape().end());
    if (apply_to) shape.back() = apply_to->shape().back();
    return shape;
  }
};

v1::Structure ToWire(MatrixStructure structure) {
  switch (structure) {
    case MatrixStructure::kGeneral:
      return v1::STRUCTURE_GENERAL;
    case MatrixStructure::kGenerator:
      return v1::STRUCTURE_GENERATOR;
    case MatrixStructure::kSkewSymmetric:
      return v1::STRUCTURE_SKEW_SYMMETRIC;
    case MatrixStructure::kSymmetric:
      return v1::STRUCTURE_SYMMETRIC;
    case MatrixStructure::kTriangular:
      return v1::STRUCTURE_TRIANGULAR;
    case MatrixStructure::kDiagonal:
      return v1::STRUCTURE_DIAGONAL;
  }
  return v1::STRUCTURE_UNSPECIFIED;
}

absl::string_view Definition(MatrixStructure structure) {
  switch (structure) {
    case MatrixStructure::kGeneral:
      return "any matrix";
    case MatrixStructure::kGenerator:
      return "a generator: entries of at least 0 off the diagonal, rows that sum to 0";
    case MatrixStructure::kSkewSymmetric:
      return "a skew-symmetric matrix: 0 on the diagonal, each entry minus its mirror image, exactly";
    case MatrixStructure::kSymmetric:
      return "a symmetric matrix: each entry equal to its mirror image, exactly";
    case MatrixStructure::kTriangular:
      return "a triangular matrix: nothing but 0 below the diagonal, or above it";
    case MatrixStructure::kDiagonal:
      return "a diagonal matrix: nothing but 0 off the diagonal";
  }
  return "a matrix that has it";
}

v1::MatrixExpReport ToWire(const compute::MatrixExpReport& report) {
  v1::MatrixExpReport wire;
  wire.set_structure(ToWire(report.structure));
  wire.set_norm1(report.norm1);
  wire.set_degree(report.degree);
  wire.set_squarings(report.squarings);
  wire.set_products(report.products);
  wire.set_error_bound(report.error_bound);
  wire.set_row_sum_error(report.row_sum_error);
  wire.set_min_entry(report.min_entry);
  wire.set_orthogonality_error(report.orthogonality_error);
  wire.set_action_products(report.action_products);
  return wire;
}

template <typename T>
class MatrixExpOperation final : public Operation {
 public:
  explicit MatrixExpOperation(MatrixExpInputs inputs) : in_(std::move(inputs)) {
    const int64_t n = in_.a.dim(in_.a.rank() - 1);
    problem_.n = n;
    problem_.batch = MatricesOf(in_.a);
    problem_.a = in_.a.data<T>();
    problem_.times = in_.times.empty() ? std::vector<double>{1.0} : in_.times;
    problem_.structure = in_.structure;
    if (in_.apply_to) {
      problem_.apply_to = in_.apply_to->data<T>();
      problem_.p = in_.apply_to->shape().back();
      problem_.apply_to_is_shared = in_.apply_to_is_shared;
    }
    if (in_.grad_output) problem_.grad_output = in_.grad_output->data<T>();
  }

  double ResponseBytes() const override {
    constexpr double kReportBytes = 100;  // at most, serialized
    const auto matrices = static_cast<double>(problem_.times.size()) * static_cast<double>(problem_.batch);
    const std::vector<double> tensors = TensorBytes();
    return std::accumulate(tensors.begin(), tensors.end(), kReportBytes * matrices) + DiagnosticsBytes();
  }
  std::vector<double> TensorBytes() const override {
    const auto matrices = static_cast<double>(problem_.times.size()) * static_cast<double>(problem_.batch);
    std::vector<double> bytes = {matrices * static_cast<double>(problem_.n) *
                                 static_cast<double>(problem_.result_cols()) * sizeof(T)};
    if (in_.grad_output) bytes.push_back(static_cast<double>(in_.a.bytes()));
    if (in_.grad_output && in_.apply_to) bytes.push_back(static_cast<double>(in_.apply_to->bytes()));
    return bytes;
  }
  double WorkspaceBytes(int workers) const override {
    const double diagnostics = in_.diagnostics ? compute::ChainWorkspaceBytes(Results(), problem_.n, workers) : 0;
    return compute::MatrixExpWorkspaceBytes(problem_, workers) + diagnostics;
  }
  double Flops() const override {
    return compute::MatrixExpFlops(problem_.n, problem_.result_cols(), result_.reports) + result_.other_flops;
  }
  bool Brief() const override {
    if (in_.diagnostics || in_.grad_output || in_.apply_to) return false;
    constexpr double kMostProducts = 100;
    const auto n = static_cast<double>(problem_.n);
    const double results = static_cast<double>(problem_.batch) * static_cast<double>(problem_.times.size());
    return results * (kFlopsToBegin + kMostProducts * 2 * n * n * n) <= kBriefFlops;
  }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    output_ = Tensor(compute::DTypeOf<T>(), in_.OutputShape(), pool);
    result_.result = output_.data<T>();
    if (in_.grad_output) {
      grad_a_ = Tensor(compute::DTypeOf<T>(), in_.a.shape(), pool);
      result_.grad_a = grad_a_.data<T>();
    }
    if (in_.grad_output && in_.apply_to) {
      grad_apply_to_ = Tensor(compute::DTypeOf<T>(), in_.apply_to->shape(), pool);
      result_.grad_apply_to = grad_apply_to_.data<T>();
    }
    const absl::Status status = compute::MatrixExp(executor, pool, problem_, result_);
    // The only thing a checked request can still have wrong.
    if (absl::IsInvalidArgument(status)) {
      return InvalidField("structure", status.message(), Definition(*problem_.structure));
    }
    return status.ok() && in_.diagnostics ? Diagnose(executor, pool) : status;
  }

  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    writer.AddTensor(v1::MatrixExpResponse::kResultFieldNumber, std::move(output_));
    if (in_.grad_output) writer.AddTensor(v1::MatrixExpResponse::kGradAFieldNumber, std::move(grad_a_));
    if (in_.grad_output && in_.apply_to) {
      writer.AddTensor(v1::MatrixExpResponse::kGradApplyToFieldNumber, std::move(grad_apply_to_));
    }
    for (const compute::MatrixExpReport& report : result_.reports) {
      writer.AddMessage(v1::MatrixExpResponse::kReportsFieldNumber, ToWire(report));
    }
    for (size_t i = 0; i < chains_.size(); ++i) {
      v1::MatrixExpDiagnostics diagnostics;
      *diagnostics.mutable_generator() = WireOf(generators_[i % generators_.size()]);
      *diagnostics.mutable_chain() = WireOf(chains_[i]);
      writer.AddMessage(v1::MatrixExpResponse::kDiagnosticsFieldNumber, diagnostics);
    }
  }

 private:
  int64_t Results() const { return static_cast<int64_t>(problem_.times.size()) * problem_.batch; }
  double DiagnosticsBytes() const {
    return in_.diagnostics ? static_cast<double>(Results()) * ChainBytes(problem_.n) : 0;
  }
  absl::Status Diagnose(runtime::Executor& executor, runtime::BufferPool& pool) {
    const int64_t n = problem_.n;
    for (int64_t i = 0; i < problem_.batch; ++i) {
      const compute::Matrix<const T> a(problem_.a + i * n * n, n, n);
      generators_.push_back(compute::DiagnoseGenerator(a, nullptr));
    }
    return compute::DiagnoseChains(executor, pool, Results(), n, result_.result, chains_);
  }

  const MatrixExpInputs in_;
  compute::MatrixExpProblem<T> problem_;  // views of in_
  compute::MatrixExpResult<T> result_;
  Tensor output_;
  Tensor grad_a_;
  Tensor grad_apply_to_;
  std::vector<compute::GeneratorDiagnostics> generators_;  // [batch], where wanted
  std::vector<compute::ChainDiagnostics> chains_;          // [times * batch], likewise
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
      return MatrixStructure::kSkewSymmetric;
    case v1::STRUCTURE_SYMMETRIC:
      return MatrixStructure::kSymmetric;
    case v1::STRUCTURE_TRIANGULAR:
      return MatrixStructure::kTriangular;
    case v1::STRUCTURE_DIAGONAL:
      return MatrixStructure::kDiagonal;
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

absl::Status ReadApplyTo(const v1::MatrixExpRequest& request, FieldReader& reader, MatrixExpInputs& in) {
  if (!request.has_apply_to()) return absl::OkStatus();
  Tensor& b = in.apply_to.emplace();
  RETURN_IF_ERROR(reader.Floating(request.apply_to(), "apply_to", b));
  RETURN_IF_ERROR(CheckRank(b, "apply_to", 2, compute::kMaxDimensions - 1));
  RETURN_IF_ERROR(CheckDimension("apply_to", "rows", b.dim(b.rank() - 2), in.a.dim(in.a.rank() - 1), "n of a"));
  in.apply_to_is_shared = b.rank() == 2 && in.a.rank() > 2;
  if (in.apply_to_is_shared) return absl::OkStatus();
  const auto leading = [](const Tensor& tensor) {
    return absl::MakeConstSpan(tensor.shape()).subspan(0, tensor.shape().size() - 2);
  };
  if (leading(b) == leading(in.a)) return absl::OkStatus();
  return InvalidField(
      "apply_to.shape", compute::ShapeToString(b.shape()),
      absl::StrCat("the leading dimensions of a, ", compute::ShapeToString(leading(in.a)), ", or none, to share it"));
}

absl::Status ReadGradOutput(const v1::MatrixExpRequest& request, FieldReader& reader, MatrixExpInputs& in) {
  if (!request.has_grad_output()) return absl::OkStatus();
  Tensor& grad = in.grad_output.emplace();
  RETURN_IF_ERROR(reader.Floating(request.grad_output(), "grad_output", grad));
  const Shape expected = in.OutputShape();
  if (grad.shape() == expected) return absl::OkStatus();
  return InvalidField("grad_output.shape", compute::ShapeToString(grad.shape()),
                      absl::StrCat(compute::ShapeToString(expected), ", that of result"));
}

absl::StatusOr<MatrixExpInputs> ReadInputs(const v1::MatrixExpRequest& request, FieldReader& reader) {
  MatrixExpInputs in;
  if (request.diagnostics() && request.has_apply_to()) {
    return InvalidField("diagnostics", "true with apply_to", "a request for exp(tA), which apply_to does not form");
  }
  in.diagnostics = request.diagnostics();
  absl::StatusOr<std::optional<MatrixStructure>> structure = ReadStructure(request.structure());
  if (!structure.ok()) return structure.status();
  in.structure = *structure;
  RETURN_IF_ERROR(ReadMatrix(request, reader, in.a));
  for (int i = 0; i < request.times_size(); ++i) {
    if (!std::isfinite(request.times(i))) {
      return InvalidField(absl::StrCat("times[", i, "]"), compute::ShortestText(request.times(i)), "a finite number");
    }
    if (request.times(i) < 0 && in.structure == MatrixStructure::kGenerator) {
      return InvalidField(absl::StrCat("times[", i, "]"), compute::ShortestText(request.times(i)),
                          "a number of at least 0, since a generator times a negative number is none");
    }
    in.times.push_back(request.times(i));
  }
  RETURN_IF_ERROR(ReadApplyTo(request, reader, in));
  RETURN_IF_ERROR(ReadGradOutput(request, reader, in));
  return in;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Operation>> DecodeMatrixExp(const RequestBytes& slices, runtime::BufferPool& pool) {
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
