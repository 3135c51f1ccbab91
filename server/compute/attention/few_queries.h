// The two products of a tile with few queries: each key and value is read once and meets all queries on its way, so
// that memory sets the pace and not the packing that a blocked product begins with. Thread-safe for distinct results.
//
// Sums run in an order that the shapes and the instruction set decide.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_FEW_QUERIES_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_FEW_QUERIES_H_

#include "server/compute/gemm.h"

namespace attend::compute {

// Up to this many rows these products are faster than Gemm's (measured: keys of 64 and 128 columns).
inline constexpr int64_t kFewQueries = 8;

// scores [rows, keys] = scale * queries [rows, d] keys [keys, d]^T
void ScoresOfFew(float scale, const Matrix<const float>& queries, const Matrix<const float>& keys,
                 const Matrix<float>& scores);
void ScoresOfFew(double scale, const Matrix<const double>& queries, const Matrix<const double>& keys,
                 const Matrix<double>& scores);

// output [rows, d_value] += weights [rows, keys] values [keys, d_value]
void AddValuesToFew(const Matrix<const float>& weights, const Matrix<const float>& values, const Matrix<float>& output);
void AddValuesToFew(const Matrix<const double>& weights, const Matrix<const double>& values,
                    const Matrix<double>& output);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_FEW_QUERIES_H_
