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

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_PANEL_TERMS_H_
