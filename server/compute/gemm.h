// Matrix products: float32 through oneDNN, float64 through OpenBLAS. Thread-safe; each call runs on the calling
// thread alone, and works are split over threads by the callers (see parallel_gemm.h).
#ifndef ATTEND_SERVER_COMPUTE_GEMM_H_
#define ATTEND_SERVER_COMPUTE_GEMM_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// A row-major matrix [rows, cols] in somebody else's memory; row i starts at data + i * stride (in elements).
template <typename T>
struct Matrix {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  Matrix() = default;
  Matrix(T* data_in, int64_t rows_in, int64_t cols_in, int64_t stride_in)
      : data(data_in), rows(rows_in), cols(cols_in), stride(stride_in) {}
  Matrix(T* data_in, int64_t rows_in, int64_t cols_in) : Matrix(data_in, rows_in, cols_in, cols_in) {}

  T* row(int64_t i) const { return data + i * stride; }
};

// What a product reads: a matrix or its transpose. [rows, cols] is the shape after transposing.
template <typename T>
struct Operand {
  const T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // between rows of the memory, before transposing
  bool transposed = false;

  Operand(const T* data_in, int64_t rows_in, int64_t cols_in, int64_t stride_in, bool transposed_in = false)
      : data(data_in), rows(rows_in), cols(cols_in), stride(stride_in), transposed(transposed_in) {}
  Operand(const Matrix<T>& m) : Operand(m.data, m.rows, m.cols, m.stride) {}        // NOLINT: a view of it
  Operand(const Matrix<const T>& m) : Operand(m.data, m.rows, m.cols, m.stride) {}  // NOLINT: a view of it
};

template <typename T>
Operand<T> Transposed(const Operand<T>& a) {
  return Operand<T>(a.data, a.cols, a.rows, a.stride, !a.transposed);
}

// c [m, n] = alpha * a [m, k] * b [k, n] + beta * c. With beta = 0, c need not be initialized; with k = 0 or alpha = 0,
// c = beta * c.
//
// REQUIRES: the shapes agree; c overlaps neither a nor b.
//
// Returns RESOURCE_EXHAUSTED where the library finds no memory, INTERNAL for its other failures.
//
// Trap (measured with oneDNN 2.6.3): a non-transposed b whose stride is a power of two with m <= 128 loses up to half
// the speed; pad such strides by 16 floats.
absl::Status Gemm(float alpha, const Operand<float>& a, const Operand<float>& b, float beta, const Matrix<float>& c);
absl::Status Gemm(double alpha, const Operand<double>& a, const Operand<double>& b, double beta,
                  const Matrix<double>& c);

std::string OneDnnVersion();  // "2.6.3"
std::string OneDnnIsa();      // such as "AVX512_CORE_BF16": what oneDNN uses on this CPU

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_GEMM_H_
