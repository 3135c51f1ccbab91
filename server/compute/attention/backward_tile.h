// One tile of scores on its way back through the softmax. Thread-safe for distinct tiles.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_BACKWARD_TILE_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_BACKWARD_TILE_H_

#include <cstdint>

#include "server/compute/attention/mask.h"
#include "server/compute/attention/softmax_tile.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// What the forward pass and the output's gradient say of each row of the tile.
template <typename T>
struct RowGradients {
  const T* lse = nullptr;    // [rows] -infinity where the row sees no key
  const T* rest = nullptr;   // [rows] what rounding took from lse (see lse_rest.h); null: all 0
  const T* delta = nullptr;  // [rows] output . grad_output: the weights' share in every gradient of the row
};

// Replaces scores [rows, cols] by the weights exp(score - lse - rest), and the gradients of the weights by those of the
// masked scores: weight * (gradient - delta). Both are 0 where hidden, whatever the score and the gradient are there.
// `mask` is null where it would change nothing. With a softcap, cap_slopes (a tile like the others) takes the
// derivative of each capped score by the raw one, 0 where hidden; without, it is not read. REQUIRES: scores and
// gradients are tiles of one shape and stride >= cols + kTilePadding.
void SoftmaxBackwardTile(const Matrix<float>& scores, const Matrix<float>& gradients, const TileMask<float>* mask,
                         const RowGradients<float>& rows, float* cap_slopes);
void SoftmaxBackwardTile(const Matrix<double>& scores, const Matrix<double>& gradients, const TileMask<double>* mask,
                         const RowGradients<double>& rows, double* cap_slopes);

// a = a * b, element by element. REQUIRES: tiles of one shape, as above.
void MultiplyTile(const Matrix<float>& a, const Matrix<float>& b);
void MultiplyTile(const Matrix<double>& a, const Matrix<double>& b);

// a . b
float Dot(const float* a, const float* b, int64_t count);
double Dot(const double* a, const double* b, int64_t count);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_BACKWARD_TILE_H_
