// The one file that includes oneDNN.
#include <omp.h>
#include <dnnl.hpp>

#include "absl/strings/str_cat.h"
#include "server/compute/gemm.h"

namespace attend::compute {
namespace {

// oneDNN would start a team of OpenMP threads for each thread that calls it; ours are one each.
void UseOneThread() {
  thread_local const bool done = [] {
    omp_set_num_threads(1);
    return true;
  }();
  static_cast<void>(done);
}

void Scale(float beta, const Matrix<float>& c) {
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) c.row(i)[j] = beta == 0 ? 0 : beta * c.row(i)[j];
  }
}

}  // namespace

absl::Status Gemm(float alpha, const Operand<float>& a, const Operand<float>& b, float beta, const Matrix<float>& c) {
  if (c.rows == 0 || c.cols == 0) return absl::OkStatus();
  // With alpha = 0 oneDNN multiplies what stands in c by beta, also where that is 0 and c is uninitialized.
  if (a.cols == 0 || alpha == 0) {
    Scale(beta, c);
    return absl::OkStatus();
  }
  UseOneThread();
  const dnnl_status_t status = dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', c.rows, c.cols, a.cols,
                                          alpha, a.data, a.stride, b.data, b.stride, beta, c.data, c.stride);
  if (status == dnnl_success) return absl::OkStatus();
  if (status == dnnl_out_of_memory) return absl::ResourceExhaustedError("no memory for a matrix product");
  return absl::InternalError(absl::StrCat("dnnl_sgemm failed with status ", static_cast<int>(status)));
}

std::string OneDnnVersion() {
  const dnnl_version_t* version = dnnl_version();
  return absl::StrCat(version->major, ".", version->minor, ".", version->patch);
}

std::string OneDnnIsa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "SSE41";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    case dnnl::cpu_isa::avx2_vnni:
      return "AVX2_VNNI";
    case dnnl::cpu_isa::avx512_core:
      return "AVX512_CORE";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX512_CORE_VNNI";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX512_CORE_BF16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "AVX512_CORE_AMX";
    default:
      return "OTHER";
  }
}

}  // namespace attend::compute
