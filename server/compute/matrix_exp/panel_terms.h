// What the actions do with a tile of a product while it is in the cache. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PANEL_TERMS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_PANEL_TERMS_H_

#include <cstdint>

namespace attend::compute {

// A term of a Taylor polynomial: rows of one panel of columns (column_panels.h), [rows, width] each.
struct TaylorTerm {
  int64_t rows = 0;
  int64_t width = 0;
  double scale = 0;
  double* term = nullptr;          // *= scale
  double* sum = nullptr;           // += term
  double* term_largest = nullptr;  // [width] = largest |entry| of each column
  double* sum_largest = nullptr;   // [width]
};
void AddTaylorTerm(const TaylorTerm& term);

// A term of uniformization, v = P v, from the sums of q P v: rows of one panel, [rows, width] each. Every function
// returns the largest |entry| of what is named.
struct UniformTerm {
  int64_t rows = 0;
  int64_t width = 0;
  double rate = 1;    // q
  double weight = 0;  // of this term in the sum
  const double* before = nullptr;
  double* value = nullptr;
  double* sum = nullptr;  // sum + rest += weight value, exactly but for what rest rounds
  double* rest = nullptr;
};

// value: q P v, rounded, on entry. `diagonal_rests` [rows]: what the diagonal of q P lost to rounding. value - before.
double AddUniformTerm(const UniformTerm& term, const double* diagonal_rests);
// The same, the largest of value itself.
double AddSmallUniformTerm(const UniformTerm& term, const double* diagonal_rests);
// grid and rest: the two parts of q P v on entry, then value split on a grid of 2^-26. value - before.
double AddSplitUniformTerm(const UniformTerm& term, double* grid, double* low);

// Entries of v = hi + lo on a grid of 2^-26, and what remains.
void SplitOnGrid(int64_t count, const double* hi, const double* lo, double* grid, double* rest, double* value);
// sum + rest += weight value.
void AddWeighted(int64_t count, double weight, const double* value, double* sum, double* rest);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_PANEL_TERMS_H_
