// How an attention request matches queries with keys: the score, its parameters, and the positions.
#ifndef ATTEND_SERVER_RPC_ATTENTION_SCORE_H_
#define ATTEND_SERVER_RPC_ATTENTION_SCORE_H_

#include "absl/status/statusor.h"
#include "attend/v1/attend.pb.h"
#include "server/compute/attention/problem.h"
#include "server/compute/tensor.h"
#include "server/rpc/attention_inputs.h"
#include "server/rpc/field_reader.h"

namespace attend::rpc {

enum class ScoreKind { kDotProduct, kAdditive, kBilinear };

// Tensors that the kind does not have own no memory; the others are of the inputs' dtype.
struct ScoreSettings {
  ScoreKind kind = ScoreKind::kDotProduct;
  double scale = 1;
  compute::Tensor w_query;  // [h, d]      additive
  compute::Tensor w_key;    // [h, d_key]  additive
  compute::Tensor w_score;  // [h]         additive
  compute::Tensor w;        // [d, d_key]  bilinear
};

absl::Status ReadScore(const v1::Score& score, const AttentionInputs& inputs, FieldReader& reader, ScoreSettings& to);

// The score in T, with views of the settings' tensors.
template <typename T>
compute::Score<T> ScoreOf(const ScoreSettings& settings) {
  switch (settings.kind) {
    case ScoreKind::kAdditive:
      return compute::AdditiveScore<T>{settings.w_score.dim(0), settings.w_query.data<T>(), settings.w_key.data<T>(),
                                       settings.w_score.data<T>()};
    case ScoreKind::kBilinear:
      return compute::BilinearScore<T>{settings.w.data<T>()};
    case ScoreKind::kDotProduct:
      break;
  }
  return compute::DotProductScore{};
}

absl::StatusOr<compute::Position> ReadPosition(const v1::Position& position, const AttentionInputs& inputs);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_ATTENTION_SCORE_H_
