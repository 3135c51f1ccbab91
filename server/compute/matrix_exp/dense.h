// Matrices of doubles in the pool's memory, and how others get into and out of them. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_DENSE_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_DENSE_H_

#include <cstdint>

#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"

namespace attend::compute {

// Owns [rows, cols], contiguous. The entries start unspecified. Move-only; not thread-safe.
class Dense {
 public:
  Dense() = default;
  Dense(int64_t rows, int64_t cols, runtime::BufferPool& pool)
      : rows_(rows), cols_(cols), buffer_(pool.AllocateArray<double>(static_cast<size_t>(rows * cols))) {}

  double* data() const { return buffer_.as<double>(); }
  Matrix<double> view() const { return Matrix<double>(data(), rows_, cols_); }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t size() const { return rows_ * cols_; }

 private:
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  runtime::Buffer buffer_;
};

// to = a 2^-exponent with the largest entry in [1/2, 1); returns the exponent, 0 for zero.
template <typename T>
int LoadScaled(const Matrix<const T>& a, const Matrix<double>& to);

// to = a
template <typename T>
void Load(const Matrix<const T>& a, const Matrix<double>& to);

// to = a 2^exponent rounded to T. False where an entry is not finite in T (a NaN included).
template <typename T>
bool Store(const Matrix<double>& a, int64_t exponent, const Matrix<T>& to);

void SetZero(const Matrix<double>& a);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_DENSE_H_
