// Debian's OpenBLAS holds LAPACK, but its packages hold no C header for it: the routines are declared here, with the
// lengths of their character arguments at the end, as gfortran passes them.
#include "server/compute/lie/lapack_nonsymmetric.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "server/compute/library_threads.h"

extern "C" {
void dgeev_(const char* jobvl, const char* jobvr, const int* n, double* a, const int* lda, double* wr, double* wi,
            double* vl, const int* ldvl, double* vr, const int* ldvr, double* work, const int* lwork, int* info, size_t,
            size_t);
void dgees_(const char* jobvs, const char* sort, const void* select, const int* n, double* a, const int* lda, int* sdim,
            double* wr, double* wi, double* vs, const int* ldvs, double* work, const int* lwork, int* bwork, int* info,
            size_t, size_t);
}

namespace attend::compute {
namespace {

constexpr int64_t kWorkRows = 66;  // the widest block that LAPACK's routines choose, and two rows

struct Workspace {
  explicit Workspace(int64_t n)
      : real(static_cast<size_t>(n)), imaginary(static_cast<size_t>(n)), work(static_cast<size_t>(kWorkRows * n)) {}

  std::vector<std::complex<double>> Values() const {
    std::vector<std::complex<double>> values;
    for (size_t i = 0; i < real.size(); ++i) values.emplace_back(real[i], imaginary[i]);
    return values;
  }

  std::vector<double> real, imaginary, work;
};

absl::Status Converged(int info) {
  if (info == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the eigenvalues do not converge: LAPACK's info is ", info));
}

}  // namespace

absl::Status Eigenvalues(int64_t n, double* a, std::vector<std::complex<double>>& values) {
  values.clear();
  if (n == 0) return absl::OkStatus();
  UseOneThread();
  Workspace space(n);
  const int size = static_cast<int>(n), work = static_cast<int>(space.work.size()), one = 1;
  int info = 0;
  double unused = 0;
  dgeev_("N", "N", &size, a, &size, space.real.data(), space.imaginary.data(), &unused, &one, &unused, &one,
         space.work.data(), &work, &info, 1, 1);
  values = space.Values();
  return Converged(info);
}

absl::Status RealSchur(int64_t n, double* a, double* q, std::vector<std::complex<double>>& values) {
  values.clear();
  if (n == 0) return absl::OkStatus();
  UseOneThread();
  Workspace space(n);
  const int size = static_cast<int>(n), work = static_cast<int>(space.work.size());
  int sorted = 0, info = 0, unused = 0;
  dgees_("V", "N", nullptr, &size, a, &size, &sorted, space.real.data(), space.imaginary.data(), q, &size,
         space.work.data(), &work, &unused, &info, 1, 1);
  values = space.Values();
  return Converged(info);
}

double LapackNonsymmetricWorkspaceBytes(int64_t n) {
  return 8 * static_cast<double>(kWorkRows + 4) * static_cast<double>(n);
}

}  // namespace attend::compute
