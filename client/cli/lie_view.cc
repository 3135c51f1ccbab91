#include "client/cli/lie_view.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "client/cli/ranking.h"
#include "client/lib/convert.h"
#include "client/lib/tensor.h"

namespace attend::cli {
namespace {

constexpr int64_t kHeadColumns = 64;
constexpr int64_t kModel = 256;

v1::AttentionRequest AttentionOf(const Street& street) {
  v1::AttentionRequest request;
  *request.mutable_tokens() = street.layer;
  request.mutable_score()->mutable_scaled_dot_product();
  request.add_return_outputs(v1::ATTENTION_OUTPUT_WEIGHTS);
  request.add_return_outputs(v1::ATTENTION_OUTPUT_SCORES);
  request.set_output_dtype(v1::DATA_TYPE_FLOAT64);
  request.set_diagnostics(true);
  return request;
}

double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

// As the server's generator_exp makes it: rates off the diagonal, rows that sum to 0.
std::vector<double> GeneratorsOf(const std::vector<double>& scores, size_t n) {
  std::vector<double> generators(scores.size());
  for (size_t row = 0; row < scores.size() / n; ++row) {
    double sum = 0;
    for (size_t j = 0; j < n; ++j) {
      if (j == row % n) continue;
      sum += generators[row * n + j] = Softplus(scores[row * n + j]);
    }
    generators[row * n + row % n] = -sum;
  }
  return generators;
}

// Asks one thing after the other and remembers the first failure.
class Asker {
 public:
  Asker(const client::Client& client, const Street& street, const std::vector<double>& times, double beside_time)
      : client_(client), street_(street), n_(street.tokens.size()) {
    view_.times = times;
    view_.beside_time = beside_time;
    for (const std::string& token : street.tokens) view_.tokens.push_back(PlainToken(token));
    view_.heads.resize(Street::kHeads);
  }

  absl::StatusOr<LieView> Ask() {
    const v1::Tensor scores = AskAttention();
    const std::vector<double> wide = Numbers(scores, Street::kHeads);
    if (status_.ok()) AskNearest(scores);
    if (status_.ok()) AskFlow(GeneratorsOf(wide, n_));
    if (status_.ok()) AskLogarithm();
    if (status_.ok()) AskRanks();
    if (!status_.ok()) return status_;
    return std::move(view_);
  }

 private:
  std::vector<int64_t> MatrixShape() const {
    return {Street::kHeads, static_cast<int64_t>(n_), static_cast<int64_t>(n_)};
  }
  std::vector<double> Part(const std::vector<double>& all, size_t index) const {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(index * n_ * n_);
    return {begin, begin + static_cast<std::ptrdiff_t>(n_ * n_)};
  }

  template <typename Response>
  Response Take(absl::StatusOr<Response> response) {
    if (response.ok()) return *std::move(response);
    if (status_.ok()) status_ = response.status();
    return Response();
  }
  void Expect(bool good, const char* what) {
    if (status_.ok() && !good) status_ = absl::InternalError(fmt::format("the answer has not one {} per matrix", what));
  }
  // Of `count` matrices [n, n].
  std::vector<double> Numbers(const v1::Tensor& tensor, size_t count) {
    if (!status_.ok()) return {};
    std::vector<double> numbers = Take(client::WidenToDoubles(tensor));
    Expect(numbers.size() == count * n_ * n_, "result");
    return numbers;
  }

  // Softmax, exp(G) and exp(tG); returns the scores [heads, n, n].
  v1::Tensor AskAttention() {
    v1::AttentionRequest request = AttentionOf(street_);
    const v1::AttentionResponse softmax = Take(client_.Attention(request));
    v1::GeneratorExp& generator_exp = *request.mutable_normalization()->mutable_generator_exp();
    generator_exp.set_rate(v1::GeneratorExp::RATE_SOFTPLUS);
    const v1::AttentionResponse action = Take(client_.Attention(request));
    generator_exp.set_time(view_.beside_time);
    const v1::AttentionResponse beside = Take(client_.Attention(request));
    const std::vector<double> softmax_weights = Numbers(softmax.weights(), Street::kHeads);
    const std::vector<double> beside_weights = Numbers(beside.weights(), Street::kHeads);
    for (const v1::AttentionResponse* response : {&softmax, &action, &beside}) {
      Expect(response->diagnostics_size() == Street::kHeads, "diagnosis");
    }
    if (!status_.ok()) return {};
    for (int h = 0; h < Street::kHeads; ++h) {
      LieView::Head& head = view_.heads[static_cast<size_t>(h)];
      head.softmax = softmax.diagnostics(h);
      head.action = action.diagnostics(h);
      head.beside = beside.diagnostics(h);
      head.softmax_weights = Part(softmax_weights, static_cast<size_t>(h));
      head.beside_weights = Part(beside_weights, static_cast<size_t>(h));
    }
    return softmax.scores();
  }

  void AskNearest(const v1::Tensor& scores) {
    v1::ProjectRequest request;
    *request.mutable_algebra()->mutable_m() = scores;
    request.mutable_algebra()->set_target(v1::AlgebraProjection::TARGET_GENERATOR);
    const v1::ProjectResponse response = Take(client_.Project(request));
    Expect(response.reports_size() == Street::kHeads, "distance");
    for (int h = 0; status_.ok() && h < Street::kHeads; ++h) {
      view_.heads[static_cast<size_t>(h)].score_distance = response.reports(h).distance();
    }
  }

  void AskFlow(const std::vector<double>& generators) {
    v1::MatrixExpRequest request;
    *request.mutable_a() = client::MakeTensor(MatrixShape(), absl::MakeConstSpan(generators)).value();
    request.mutable_times()->Add(view_.times.begin(), view_.times.end());
    request.set_diagnostics(true);
    const v1::MatrixExpResponse response = Take(client_.MatrixExp(request));
    const size_t count = view_.times.size() * Street::kHeads;
    const std::vector<double> numbers = Numbers(response.result(), count);
    Expect(static_cast<size_t>(response.diagnostics_size()) == count, "diagnosis");
    for (size_t i = 0; status_.ok() && i < count; ++i) {
      LieView::Head& head = view_.heads[i % Street::kHeads];
      head.generator = response.diagnostics(static_cast<int>(i)).generator();
      head.flow.push_back(response.diagnostics(static_cast<int>(i)).chain());
      head.flow_weights.push_back(Part(numbers, i));
    }
  }

  void AskLogarithm() {
    std::vector<double> weights;
    for (const LieView::Head& head : view_.heads) {
      weights.insert(weights.end(), head.softmax_weights.begin(), head.softmax_weights.end());
    }
    // As float32, which they were computed in: the verdict then allows for its rounding.
    const std::vector<float> rounded(weights.begin(), weights.end());
    v1::MatrixLogRequest request;
    *request.mutable_a() = client::MakeTensor(MatrixShape(), absl::MakeConstSpan(rounded)).value();
    const v1::MatrixLogResponse response = Take(client_.MatrixLog(request));
    Expect(response.reports_size() == Street::kHeads, "report");
    for (int h = 0; status_.ok() && h < Street::kHeads; ++h) {
      view_.heads[static_cast<size_t>(h)].logarithm = response.reports(h);
    }
  }

  v1::Tensor HeadColumns(const v1::Tensor& w, int head) {
    const std::vector<float> all = Take(client::ReadFloats(w));
    if (!status_.ok()) return {};
    const auto begin = static_cast<size_t>(head * kHeadColumns);
    const std::vector<float> part = Columns(all, Street::kHeads * kHeadColumns, begin, begin + kHeadColumns);
    return client::MakeTensor({kModel, kHeadColumns}, absl::MakeConstSpan(part)).value();
  }

  void AskRanks() {
    for (int h = 0; status_.ok() && h < Street::kHeads; ++h) {
      v1::ProjectRequest request;
      v1::Congruence& congruence = *request.mutable_congruence();
      *congruence.mutable_e() = street_.layer.x();
      *congruence.mutable_factors()->mutable_w_query() = HeadColumns(street_.layer.w_q(), h);
      *congruence.mutable_factors()->mutable_w_key() = HeadColumns(street_.layer.w_k(), h);
      const v1::ProjectResponse response = Take(client_.Project(request));
      Expect(response.reports_size() == 1, "rank");
      if (status_.ok()) view_.heads[static_cast<size_t>(h)].rank = response.reports(0).numerical_rank();
    }
  }

  const client::Client& client_;
  const Street& street_;
  const size_t n_;
  LieView view_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<LieView> LookAtLayer(const client::Client& client, const Street& street,
                                    const std::vector<double>& times, double beside_time) {
  return Asker(client, street, times, beside_time).Ask();
}

}  // namespace attend::cli
