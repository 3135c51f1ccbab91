#include "server/rpc/matrix_log_codec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/lie/logarithm.h"
#include "server/compute/lie/matrix_log.h"
#include "server/rpc/field_error.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/leading_dimensions.h"
#include "server/rpc/lie_reports.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::DType;
using compute::Tensor;

struct MatrixLogInputs {
  Tensor a;  // [..., n, n]
  int64_t batch = 0;
  bool nearest_generator = false;
};

template <typename T>
class MatrixLogOperation final : public Operation {
 public:
  explicit MatrixLogOperation(MatrixLogInputs inputs) : in_(std::move(inputs)) {
    problem_.batch = in_.batch;
    problem_.n = in_.a.dim(in_.a.rank() - 1);
    problem_.a = in_.a.data<T>();
  }

  double ResponseBytes() const override {
    constexpr double kReportBytes = 512;  // at most, serialized
    return (in_.nearest_generator ? 2 : 1) * static_cast<double>(in_.a.bytes()) +
           kReportBytes * static_cast<double>(in_.batch);
  }
  std::vector<double> TensorBytes() const override {
    return std::vector<double>(in_.nearest_generator ? 2 : 1, static_cast<double>(in_.a.bytes()));
  }
  double WorkspaceBytes(int workers) const override {
    return compute::MatrixLogWorkspaceBytes(problem_.batch, problem_.n, workers);
  }
  double Flops() const override { return compute::MatrixLogFlops(problem_.n, result_.reports); }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    output_ = Tensor(compute::DTypeOf<T>(), in_.a.shape(), pool);
    result_.result = output_.data<T>();
    if (in_.nearest_generator) {
      nearest_ = Tensor(compute::DTypeOf<T>(), in_.a.shape(), pool);
      result_.nearest_generator = nearest_.data<T>();
    }
    return compute::MatrixLog(executor, pool, problem_, result_);
  }

  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    writer.AddTensor(v1::MatrixLogResponse::kResultFieldNumber, std::move(output_));
    if (in_.nearest_generator) {
      writer.AddTensor(v1::MatrixLogResponse::kNearestGeneratorFieldNumber, std::move(nearest_));
    }
    for (const compute::MatrixLogReport& report : result_.reports) {
      writer.AddMessage(v1::MatrixLogResponse::kReportsFieldNumber, WireOf(report));
    }
  }

 private:
  const MatrixLogInputs in_;
  compute::MatrixLogProblem<T> problem_;  // views of in_
  compute::MatrixLogResult<T> result_;
  Tensor output_, nearest_;
};

absl::StatusOr<MatrixLogInputs> ReadInputs(const v1::MatrixLogRequest& request, FieldReader& reader) {
  MatrixLogInputs in;
  RETURN_IF_ERROR(reader.Required(request.has_a() ? &request.a() : nullptr, "a", "a tensor [..., n, n]", in.a));
  if (reader.wire_dtype() != DType::kFloat32 && reader.wire_dtype() != DType::kFloat64) {
    return InvalidField("a.dtype", compute::NameOf(reader.wire_dtype()), "FLOAT32 or FLOAT64");
  }
  RETURN_IF_ERROR(CheckRank(in.a, "a", 2, compute::kMaxDimensions));
  const int64_t n = in.a.dim(in.a.rank() - 1);
  RETURN_IF_ERROR(CheckDimension("a", "columns", n, in.a.dim(in.a.rank() - 2), "as many as rows"));
  if (n > compute::kLargestLogarithm) {
    return InvalidField("a", absl::StrCat(n, " columns"), absl::StrCat("at most ", compute::kLargestLogarithm));
  }
  in.batch = MatricesOf(in.a);
  in.nearest_generator = request.nearest_generator();
  return in;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Operation>> DecodeMatrixLog(const RequestBytes& slices, runtime::BufferPool& pool) {
  v1::MatrixLogRequest request;
  absl::StatusOr<WireRequest> wire = WireRequest::Parse(slices, request);
  if (!wire.ok()) return wire.status();
  FieldReader reader(*wire, pool);
  absl::StatusOr<MatrixLogInputs> inputs = ReadInputs(request, reader);
  if (!inputs.ok()) return inputs.status();
  if (reader.wire_dtype() == DType::kFloat64) return std::make_unique<MatrixLogOperation<double>>(*std::move(inputs));
  return std::make_unique<MatrixLogOperation<float>>(*std::move(inputs));
}

}  // namespace attend::rpc
