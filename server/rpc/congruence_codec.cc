#include "server/rpc/congruence_codec.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"
#include "server/compute/project/numerical_rank.h"
#include "server/compute/project/project.h"
#include "server/rpc/field_error.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::CongruenceForm;
using compute::DType;
using compute::Tensor;

struct CongruenceInputs {
  DType wire_dtype = DType::kFloat32;
  CongruenceForm form = CongruenceForm::kSequence;
  Tensor e;               // [n, d]
  Tensor a;               // square, or no memory with factors
  Tensor w_query, w_key;  // no memory without factors
  double scale = 1;
};

template <typename T>
class CongruenceOperation final : public Operation {
 public:
  explicit CongruenceOperation(CongruenceInputs inputs) : in_(std::move(inputs)) {
    problem_.form = in_.form;
    problem_.n = in_.e.dim(0);
    problem_.d = in_.e.dim(1);
    problem_.e = in_.e.data<T>();
    problem_.a = in_.a.data<T>();
    problem_.w_query = in_.w_query.data<T>();
    problem_.w_key = in_.w_key.data<T>();
    problem_.d_k = problem_.a != nullptr ? 0 : in_.w_query.dim(1);
    problem_.scale = in_.scale;
  }

  double ResponseBytes() const override {
    const double side = static_cast<double>(OutputSide());
    return side * side * static_cast<double>(compute::SizeOf(in_.wire_dtype));
  }
  std::vector<double> TensorBytes() const override { return {ResponseBytes()}; }
  double WorkspaceBytes(int workers) const override {
    const double unconverted = in_.wire_dtype == compute::DTypeOf<T>() ? 0 : 2 * ResponseBytes();
    const double ranking =
        ChooseRankMethod().has_value() ? compute::RankWorkspaceBytes(InnerSide(), problem_.d_k, workers) : 0;
    return unconverted + std::max(compute::CongruenceWorkspaceBytes(problem_), ranking);
  }
  double Flops() const override { return compute::CongruenceFlops(problem_); }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    output_ = Tensor(compute::DTypeOf<T>(), {OutputSide(), OutputSide()}, pool);
    RETURN_IF_ERROR(compute::CongruenceProjection(executor, pool, problem_, output_.data<T>()));
    return MeasureRank(executor, pool);
  }

  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    if (output_.dtype() != in_.wire_dtype) output_ = compute::ConvertTo(in_.wire_dtype, output_, pool);
    writer.AddTensor(v1::ProjectResponse::kOutputsFieldNumber, std::move(output_));
    if (rank_.has_value()) {
      v1::ProjectReport report;
      report.set_numerical_rank(static_cast<uint32_t>(*rank_));
      report.set_rank_by_qr(*rank_method_ == compute::RankMethod::kPivotedQr);
      writer.AddMessage(v1::ProjectResponse::kReportsFieldNumber, report);
    }
  }

 private:
  // Of A, where that is cheap beside the projection.
  absl::Status MeasureRank(runtime::Executor& executor, runtime::BufferPool& pool) {
    rank_method_ = ChooseRankMethod();
    if (!rank_method_.has_value()) return executor.cancellation().Check();
    const absl::StatusOr<int64_t> rank =
        problem_.a != nullptr
            ? compute::NumericalRank(executor, pool, *rank_method_, problem_.a, InnerSide(), InnerSide())
            : compute::NumericalRankOfProduct(executor, pool, *rank_method_, problem_.w_query, problem_.w_key,
                                              InnerSide(), problem_.d_k);
    if (!rank.ok()) return rank.status();
    rank_ = *rank;
    return absl::OkStatus();
  }

  // The best method that costs at most twice the projection, whose float32 products run at twice the speed of those in
  // double; small matrices are always measured.
  std::optional<compute::RankMethod> ChooseRankMethod() const {
    constexpr int64_t kAlways = 256;
    constexpr double kMost = 2;
    const int64_t side = problem_.a != nullptr ? InnerSide() : std::min(InnerSide(), problem_.d_k);
    const double budget = kMost * Flops() * (sizeof(T) == sizeof(float) ? 0.5 : 1);
    for (const auto method : {compute::RankMethod::kSingularValues, compute::RankMethod::kPivotedQr}) {
      if (side <= kAlways || compute::RankCost(method, InnerSide(), problem_.d_k) <= budget) return method;
    }
    return std::nullopt;
  }

  int64_t InnerSide() const { return in_.form == CongruenceForm::kSequence ? problem_.d : problem_.n; }
  int64_t OutputSide() const { return in_.form == CongruenceForm::kSequence ? problem_.n : problem_.d; }

  const CongruenceInputs in_;
  compute::CongruenceProblem<T> problem_;  // views of in_
  Tensor output_;
  std::optional<compute::RankMethod> rank_method_;
  std::optional<int64_t> rank_;
};

absl::StatusOr<CongruenceForm> ReadForm(v1::Congruence::Form form) {
  switch (form) {
    case v1::Congruence::FORM_UNSPECIFIED:
    case v1::Congruence::FORM_SEQUENCE:
      return CongruenceForm::kSequence;
    case v1::Congruence::FORM_EMBEDDING:
      return CongruenceForm::kEmbedding;
    default:
      return InvalidField("congruence.form", absl::StrCat("the unknown value ", static_cast<int>(form)),
                          "a Form of the contract");
  }
}

// Rows of A, and why.
struct OperandSide {
  int64_t size;
  absl::string_view why;
};
OperandSide SideOf(const CongruenceInputs& in) {
  if (in.form == CongruenceForm::kSequence) return {in.e.dim(1), "d of congruence.e, in the sequence form"};
  return {in.e.dim(0), "n of congruence.e, in the embedding form"};
}

absl::Status ReadFactor(const v1::Tensor* stub, absl::string_view field, FieldReader& reader,
                        const CongruenceInputs& in, Tensor& to) {
  const OperandSide side = SideOf(in);
  RETURN_IF_ERROR(reader.Required(stub, field, "a tensor [d, d_k]", to));
  RETURN_IF_ERROR(CheckRank(to, field, 2, 2));
  RETURN_IF_ERROR(CheckDimension(field, "rows", to.dim(0), side.size, side.why));
  if (to.dim(1) == 0) return InvalidField(field, "0 columns", "d_k of at least 1");
  return absl::OkStatus();
}

absl::Status ReadOperand(const v1::Congruence& congruence, FieldReader& reader, CongruenceInputs& in) {
  switch (congruence.operand_case()) {
    case v1::Congruence::kA: {
      const OperandSide side = SideOf(in);
      RETURN_IF_ERROR(reader.Floating(congruence.a(), "congruence.a", in.a));
      RETURN_IF_ERROR(CheckRank(in.a, "congruence.a", 2, 2));
      RETURN_IF_ERROR(CheckDimension("congruence.a", "rows", in.a.dim(0), side.size, side.why));
      return CheckDimension("congruence.a", "columns", in.a.dim(1), side.size, side.why);
    }
    case v1::Congruence::kFactors: {
      const v1::Factors& factors = congruence.factors();
      RETURN_IF_ERROR(ReadFactor(factors.has_w_query() ? &factors.w_query() : nullptr, "congruence.factors.w_query",
                                 reader, in, in.w_query));
      RETURN_IF_ERROR(ReadFactor(factors.has_w_key() ? &factors.w_key() : nullptr, "congruence.factors.w_key", reader,
                                 in, in.w_key));
      return CheckDimension("congruence.factors.w_key", "columns", in.w_key.dim(1), in.w_query.dim(1),
                            "d_k of congruence.factors.w_query");
    }
    case v1::Congruence::OPERAND_NOT_SET:
      break;
  }
  return InvalidField("congruence.operand", "nothing", "a or factors");
}

absl::Status ReadScale(const v1::Congruence& congruence, CongruenceInputs& in) {
  if (!congruence.has_scale()) {
    const int64_t columns = congruence.has_factors() ? in.w_query.dim(1) : in.e.dim(1);
    in.scale = 1 / std::sqrt(static_cast<double>(columns));
    return absl::OkStatus();
  }
  const absl::StatusOr<double> scale = CheckedScale("congruence.scale", congruence.scale(), in.wire_dtype);
  if (!scale.ok()) return scale.status();
  in.scale = *scale;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Operation>> DecodeCongruence(const v1::Congruence& congruence, FieldReader& reader) {
  CongruenceInputs in;
  const absl::StatusOr<CongruenceForm> form = ReadForm(congruence.form());
  if (!form.ok()) return form.status();
  in.form = *form;
  RETURN_IF_ERROR(
      reader.Required(congruence.has_e() ? &congruence.e() : nullptr, "congruence.e", "a tensor [n, d]", in.e));
  RETURN_IF_ERROR(CheckRank(in.e, "congruence.e", 2, 2));
  if (in.e.dim(1) == 0) return InvalidField("congruence.e", "0 columns", "d of at least 1");
  in.wire_dtype = reader.wire_dtype();
  RETURN_IF_ERROR(ReadOperand(congruence, reader, in));
  RETURN_IF_ERROR(ReadScale(congruence, in));
  if (in.wire_dtype == DType::kFloat64) return std::make_unique<CongruenceOperation<double>>(std::move(in));
  return std::make_unique<CongruenceOperation<float>>(std::move(in));
}

}  // namespace attend::rpc
