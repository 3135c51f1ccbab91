#include "server/rpc/low_rank_codec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"
#include "server/compute/project/low_rank.h"
#include "server/compute/shortest_text.h"
#include "server/rpc/field_error.h"
#include "server/rpc/leading_dimensions.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::DType;
using compute::Tensor;

struct LowRankInputs {
  DType wire_dtype = DType::kFloat32;
  int64_t batch = 0;
  Tensor a;                     // [..., n, m]
  std::optional<int64_t> rank;  // or
  double energy = 1;
  double most_over_best = 1 + 1e-4;
};

v1::ProjectReport ToWire(const compute::LowRankReport& report) {
  v1::ProjectReport wire;
  wire.set_distance(report.distance);
  wire.set_numerical_rank(static_cast<uint32_t>(report.numerical_rank));
  wire.set_rank_is_least(report.rank_is_least);
  wire.set_energy(report.energy);
  wire.set_residual(report.residual);
  wire.set_randomized(report.randomized);
  wire.set_distance_over_best(report.distance_over_best);
  return wire;
}

template <typename T>
class LowRankOperation final : public Operation {
 public:
  explicit LowRankOperation(LowRankInputs inputs) : in_(std::move(inputs)) {
    problem_.batch = in_.batch;
    problem_.n = in_.a.dim(in_.a.rank() - 2);
    problem_.m = in_.a.dim(in_.a.rank() - 1);
    problem_.a = in_.a.data<T>();
    problem_.rank = in_.rank;
    problem_.energy = in_.energy;
    problem_.most_over_best = in_.most_over_best;
    problem_.answered = in_.wire_dtype;
  }

  // By energy, the rank may turn out to be any.
  double ResponseBytes() const override {
    constexpr double kReportBytes = 48;  // at most, serialized
    return static_cast<double>(in_.batch) * kReportBytes +
           ResultElements() * static_cast<double>(compute::SizeOf(in_.wire_dtype));
  }
  std::vector<double> TensorBytes() const override {
    if (!problem_.rank.has_value()) return {};
    const double per_row = static_cast<double>(in_.batch) * static_cast<double>(*problem_.rank) *
                           static_cast<double>(compute::SizeOf(in_.wire_dtype));
    return {per_row * static_cast<double>(problem_.n), per_row, per_row * static_cast<double>(problem_.m)};
  }
  double WorkspaceBytes(int workers) const override {
    const double unconverted = in_.wire_dtype == compute::DTypeOf<T>() ? 0 : ResultElements() * sizeof(T);
    return unconverted + compute::LowRankWorkspaceBytes(problem_, workers);
  }
  double Flops() const override { return result_.flops > 0 ? result_.flops : compute::LowRankFlops(problem_); }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    return compute::LowRankProjection(executor, pool, problem_, result_);
  }

  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    const int64_t rank = result_.vt.dim(1);
    AddOutput(result_.u, {problem_.n, rank}, pool, writer);
    AddOutput(result_.singular_values, {rank}, pool, writer);
    AddOutput(result_.vt, {rank, problem_.m}, pool, writer);
    for (const compute::LowRankReport& report : result_.reports) {
      writer.AddMessage(v1::ProjectResponse::kReportsFieldNumber, ToWire(report));
    }
  }

 private:
  double ResultElements() const {
    const auto n = static_cast<double>(problem_.n), m = static_cast<double>(problem_.m);
    const double rank = problem_.rank.has_value() ? static_cast<double>(*problem_.rank) : std::min(n, m);
    return static_cast<double>(in_.batch) * rank * (n + 1 + m);
  }

  // `tensor` [batch, ...] with the caller's leading dimensions, in the caller's dtype.
  void AddOutput(Tensor& tensor, std::initializer_list<int64_t> matrix, runtime::BufferPool& pool, WireWriter& writer) {
    Tensor shaped(tensor.dtype(), WithLeadingDimensions(in_.a, matrix), tensor.TakeBuffer());
    if (shaped.dtype() != in_.wire_dtype) shaped = compute::ConvertTo(in_.wire_dtype, shaped, pool);
    writer.AddTensor(v1::ProjectResponse::kOutputsFieldNumber, std::move(shaped));
  }

  const LowRankInputs in_;
  compute::LowRankProblem<T> problem_;  // a view of in_
  compute::LowRankResult result_;
};

absl::Status ReadSize(const v1::LowRankProjection& low_rank, LowRankInputs& in) {
  const int64_t n = in.a.dim(in.a.rank() - 2), m = in.a.dim(in.a.rank() - 1), most = std::min(n, m);
  switch (low_rank.size_case()) {
    case v1::LowRankProjection::kRank:
      in.rank = low_rank.rank();
      if (*in.rank <= most && *in.rank >= std::min<int64_t>(1, most)) return absl::OkStatus();
      return InvalidField("low_rank.rank", absl::StrCat(*in.rank),
                          most == 0 ? std::string("0: the matrices are empty")
                                    : absl::StrCat("1 to ", most, ", the smaller side of ", n, " x ", m));
    case v1::LowRankProjection::kEnergy:
      in.energy = low_rank.energy();
      if (in.energy > 0 && in.energy <= 1) return absl::OkStatus();
      return InvalidField("low_rank.energy", compute::ShortestText(in.energy), "a number above 0 and at most 1");
    case v1::LowRankProjection::SIZE_NOT_SET:
      break;
  }
  return InvalidField("low_rank.size", "nothing", "rank or energy");
}

absl::Status ReadMostOverBest(const v1::LowRankProjection& low_rank, LowRankInputs& in) {
  if (!low_rank.has_max_distance_over_best()) return absl::OkStatus();
  in.most_over_best = low_rank.max_distance_over_best();
  if (in.most_over_best >= 1 && std::isfinite(in.most_over_best)) return absl::OkStatus();
  return InvalidField("low_rank.max_distance_over_best", compute::ShortestText(in.most_over_best),
                      "a number of at least 1");
}

// LAPACK counts with 32 bits, and squares the smaller side for its workspace.
absl::Status CheckSides(const Tensor& a) {
  constexpr int64_t kMost = 24 * 1024;
  const int64_t n = a.dim(a.rank() - 2), m = a.dim(a.rank() - 1);
  const bool fits = std::min(n, m) <= kMost && std::max(n, m) <= std::numeric_limits<int>::max() / 64;
  if (fits || n == 0 || m == 0) return absl::OkStatus();
  return InvalidField("low_rank.a.shape", compute::ShapeToString(a.shape()),
                      absl::StrCat("a smaller side of at most ", kMost, ", a larger one of at most ",
                                   std::numeric_limits<int>::max() / 64));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Operation>> DecodeLowRank(const v1::LowRankProjection& low_rank, FieldReader& reader) {
  LowRankInputs in;
  RETURN_IF_ERROR(
      reader.Required(low_rank.has_a() ? &low_rank.a() : nullptr, "low_rank.a", "a tensor [..., n, m]", in.a));
  RETURN_IF_ERROR(CheckRank(in.a, "low_rank.a", 2, compute::kMaxDimensions));
  RETURN_IF_ERROR(CheckSides(in.a));
  in.batch = MatricesOf(in.a);
  RETURN_IF_ERROR(ReadSize(low_rank, in));
  RETURN_IF_ERROR(ReadMostOverBest(low_rank, in));
  in.wire_dtype = reader.wire_dtype();
  if (in.wire_dtype == DType::kFloat64) return std::make_unique<LowRankOperation<double>>(std::move(in));
  return std::make_unique<LowRankOperation<float>>(std::move(in));
}

}  // namespace attend::rpc
