// The additive score of a tile: w_score . tanh(a + b) for every query row a and key row b. Thread-safe.
//
// The projections a = w_query q and b = w_key k are made once per call (see prepare.h); a tile reuses each of them for
// all its partners.
// Source: Bahdanau, Cho and Bengio 2015.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_ADDITIVE_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_ADDITIVE_H_

#include "server/compute/attention/mask.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// scores [rows, cols] of projected queries [rows, h] and projected keys [cols, h]. Pairs outside the band are left out:
// their scores are unspecified.
// REQUIRES: queries and keys are finite; scores.stride >= scores.cols + kTilePadding, and what is past the last column
// may be overwritten.
void AdditiveTile(const Matrix<const float>& queries, const Matrix<const float>& keys, const float* w_score,
                  const KeyBand& band, const Matrix<float>& scores);
void AdditiveTile(const Matrix<const double>& queries, const Matrix<const double>& keys, const double* w_score,
                  const KeyBand& band, const Matrix<double>& scores);

// Floating-point operations of one pair and one of its h terms: an addition, a tanh and a multiply-add.
inline constexpr double kAdditiveTermFlops = 20;

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_ADDITIVE_H_
