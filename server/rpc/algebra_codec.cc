#include "server/rpc/algebra_codec.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"
#include "server/compute/project/algebra.h"
#include "server/rpc/field_error.h"
#include "server/rpc/leading_dimensions.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::AlgebraTarget;
using compute::DType;
using compute::Tensor;

struct AlgebraInputs {
  DType wire_dtype = DType::kFloat32;
  AlgebraTarget target = AlgebraTarget::kGenerator;
  int64_t batch = 0;
  Tensor m;  // [..., n, n]
};

template <typename T>
class AlgebraOperation final : public Operation {
 public:
  explicit AlgebraOperation(AlgebraInputs inputs) : in_(std::move(inputs)) {
    problem_.target = in_.target;
    problem_.batch = in_.batch;
    problem_.n = in_.m.dim(in_.m.rank() - 1);
    problem_.m = in_.m.data<T>();
  }

  double ResponseBytes() const override {
    constexpr double kReportBytes = 24;  // at most, serialized
    return TensorBytes().front() + kReportBytes * static_cast<double>(in_.batch);
  }
  std::vector<double> TensorBytes() const override {
    return {static_cast<double>(in_.m.size()) * static_cast<double>(compute::SizeOf(in_.wire_dtype))};
  }
  double WorkspaceBytes(int workers) const override {
    const double unconverted = in_.wire_dtype == compute::DTypeOf<T>() ? 0 : static_cast<double>(in_.m.bytes());
    return unconverted + compute::AlgebraWorkspaceBytes(problem_, workers);
  }
  double Flops() const override { return compute::AlgebraFlops(problem_); }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    output_ = Tensor(compute::DTypeOf<T>(), in_.m.shape(), pool);
    return compute::AlgebraProjection(executor, pool, problem_, output_.data<T>(), reports_);
  }

  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    if (output_.dtype() != in_.wire_dtype) output_ = compute::ConvertTo(in_.wire_dtype, output_, pool);
    writer.AddTensor(v1::ProjectResponse::kOutputsFieldNumber, std::move(output_));
    for (const compute::AlgebraReport& report : reports_) {
      v1::ProjectReport wire;
      wire.set_distance(report.distance);
      wire.set_residual(report.residual);
      writer.AddMessage(v1::ProjectResponse::kReportsFieldNumber, wire);
    }
  }

 private:
  const AlgebraInputs in_;
  compute::AlgebraProblem<T> problem_;  // a view of in_
  Tensor output_;
  std::vector<compute::AlgebraReport> reports_;
};

absl::StatusOr<AlgebraTarget> ReadTarget(v1::AlgebraProjection::Target target) {
  switch (target) {
    case v1::AlgebraProjection::TARGET_UNSPECIFIED:
      return InvalidField("algebra.target", "nothing", "a Target: there is no default");
    case v1::AlgebraProjection::TARGET_GENERATOR:
      return AlgebraTarget::kGenerator;
    case v1::AlgebraProjection::TARGET_ZERO_ROW_SUM:
      return AlgebraTarget::kZeroRowSum;
    case v1::AlgebraProjection::TARGET_ZERO_ROW_SUM_DIAGONAL:
      return AlgebraTarget::kZeroRowSumDiagonal;
    case v1::AlgebraProjection::TARGET_SKEW_SYMMETRIC:
      return AlgebraTarget::kSkewSymmetric;
    case v1::AlgebraProjection::TARGET_SYMMETRIC:
      return AlgebraTarget::kSymmetric;
    case v1::AlgebraProjection::TARGET_TRACELESS:
      return AlgebraTarget::kTraceless;
    default:
      return InvalidField("algebra.target", absl::StrCat("the unknown value ", static_cast<int>(target)),
                          "a Target of the contract");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Operation>> DecodeAlgebra(const v1::AlgebraProjection& algebra, FieldReader& reader) {
  AlgebraInputs in;
  const absl::StatusOr<AlgebraTarget> target = ReadTarget(algebra.target());
  if (!target.ok()) return target.status();
  in.target = *target;
  RETURN_IF_ERROR(reader.Required(algebra.has_m() ? &algebra.m() : nullptr, "algebra.m", "a tensor [..., n, n]", in.m));
  RETURN_IF_ERROR(CheckRank(in.m, "algebra.m", 2, compute::kMaxDimensions));
  const int last = in.m.rank() - 1;
  RETURN_IF_ERROR(CheckDimension("algebra.m", "columns", in.m.dim(last), in.m.dim(last - 1), "as many as rows"));
  in.batch = MatricesOf(in.m);
  in.wire_dtype = reader.wire_dtype();
  if (in.wire_dtype == DType::kFloat64) return std::make_unique<AlgebraOperation<double>>(std::move(in));
  return std::make_unique<AlgebraOperation<float>>(std::move(in));
}

}  // namespace attend::rpc
