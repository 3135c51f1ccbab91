// Loops over arrays with the widest vectors that this CPU has, chosen when the program runs. Thread-safe.
//
// Sums are taken in an order that depends on the count and the instruction set alone. No alignment is required.
#ifndef ATTEND_SERVER_COMPUTE_VECTOR_MATH_H_
#define ATTEND_SERVER_COMPUTE_VECTOR_MATH_H_

#include <cstdint>

namespace attend::compute {

// x = exp(x). Relative error at most 2e-7 in float, 2 units in the last place in double; +infinity on overflow.
void Exp(float* x, int64_t count);
void Exp(double* x, int64_t count);

// x = log(1 + exp(x)), accurate for large |x| of either sign; 0 for -infinity.
void Softplus(float* x, int64_t count);
void Softplus(double* x, int64_t count);

// x = tanh(x), never past 1 in magnitude. Relative error at most 3.5e-7 in float, 4 units in the last place in double.
void Tanh(float* x, int64_t count);
void Tanh(double* x, int64_t count);

// x = max(x, 0).
void Relu(float* x, int64_t count);
void Relu(double* x, int64_t count);

// x = factor * exp(x - shift). REQUIRES: x <= shift, shift finite. What is no normal number becomes 0.
void ExpShifted(float* x, float shift, float factor, int64_t count);
void ExpShifted(double* x, double shift, double factor, int64_t count);

// x = factor * x. Returns whether every result is finite.
bool Scale(float* x, float factor, int64_t count);
bool Scale(double* x, double factor, int64_t count);

float Sum(const float* x, int64_t count);
double Sum(const double* x, int64_t count);

// -sum p log p, with 0 log 0 = 0. REQUIRES: p >= 0.
float Entropy(const float* p, int64_t count);
double Entropy(const double* p, int64_t count);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_VECTOR_MATH_H_
