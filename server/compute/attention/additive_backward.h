// The gradient of a tile of additive scores, w_score . tanh(a + b) for query rows a and key rows b. Thread-safe for
// tiles that share no row of a gradient.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_ADDITIVE_BACKWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_ADDITIVE_BACKWARD_H_

#include "server/compute/gemm.h"

namespace attend::compute {

// What is added to, each still without its factor w_score where it has one: that is the same for all rows, and
// multiplied in once at the end.
template <typename T>
struct AdditiveTileGradients {
  Matrix<T> queries;     // [rows, h]  row i += sum over keys of slope * (1 - tanh^2), times w_score at the end
  Matrix<T> keys;        // [cols, h]  likewise over queries
  T* w_score = nullptr;  // [h]        += sum over pairs of slope * tanh
};

// The tanhs are made again from projected queries [rows, h] and projected keys [cols, h]; pairs whose slope is 0 are
// left out. slopes [rows, cols] are those of the scores.
void AdditiveBackwardTile(const Matrix<const float>& queries, const Matrix<const float>& keys,
                          const Matrix<float>& slopes, const AdditiveTileGradients<float>& gradients);
void AdditiveBackwardTile(const Matrix<const double>& queries, const Matrix<const double>& keys,
                          const Matrix<double>& slopes, const AdditiveTileGradients<double>& gradients);

// Floating-point operations of one pair and one of its h terms.
inline constexpr double kAdditiveBackwardTermFlops = 26;

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_ADDITIVE_BACKWARD_H_
