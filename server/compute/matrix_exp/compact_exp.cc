#include "server/compute/matrix_exp/compact_exp.h"

#include "server/compute/matrix_exp/compact_layout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/compact_exp.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/matrix_exp/compact_solver-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

template <typename T>
bool SolveCompact(const CompactProblem<T>& problem, std::byte* scratch) {
  T* memory = reinterpret_cast<T*>(scratch);
  if (problem.n <= 4) return CompactSolver<hn::CappedTag<T, 4>>(problem, memory).Run();
  if (problem.n <= 8) return CompactSolver<hn::CappedTag<T, 8>>(problem, memory).Run();
  return CompactSolver<hn::CappedTag<T, kVectorEntries<T>>>(problem, memory).Run();
}

bool SolveCompactFloat(const CompactProblem<float>& problem, std::byte* scratch) {
  return SolveCompact(problem, scratch);
}
bool SolveCompactDouble(const CompactProblem<double>& problem, std::byte* scratch) {
  return SolveCompact(problem, scratch);
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(SolveCompactFloat);
HWY_EXPORT(SolveCompactDouble);

template <typename T>
size_t CompactBytes(int64_t n) {
  const int64_t stride = CompactStride<T>(n);
  return static_cast<size_t>(stride * kCompactRows + (stride * n + kCompactGap<T>)*kCompactMatrices) * sizeof(T);
}

template <>
bool CompactExp(const CompactProblem<float>& problem, std::byte* scratch) {
  return HWY_DYNAMIC_DISPATCH(SolveCompactFloat)(problem, scratch);
}

template <>
bool CompactExp(const CompactProblem<double>& problem, std::byte* scratch) {
  return HWY_DYNAMIC_DISPATCH(SolveCompactDouble)(problem, scratch);
}

template size_t CompactBytes<float>(int64_t);
template size_t CompactBytes<double>(int64_t);

}  // namespace attend::compute
#endif  // HWY_ONCE
