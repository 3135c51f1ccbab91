#include "server/compute/lie/second_eigenvalue.h"

#include <algorithm>
#include <tuple>

namespace attend::compute {
namespace {

void SortByModulus(std::vector<std::complex<double>>& eigenvalues) {
  std::sort(eigenvalues.begin(), eigenvalues.end(), [](const auto& a, const auto& b) {
    return std::make_tuple(-std::abs(a), -a.real(), -a.imag()) < std::make_tuple(-std::abs(b), -b.real(), -b.imag());
  });
}

// The largest of all classes. Any other of them may in truth be larger, by its own error.
class LargestOfClasses {
 public:
  void Add(const ClassSpectrum& own) {
    known_ = known_ && own.modulus >= 0;
    most_ = std::max(most_, own.modulus + own.error);
    if (own.modulus < largest_.modulus) return;
    largest_ = own;
  }
  void Write(Spectrum& spectrum) const {
    spectrum.second_modulus = known_ ? std::min(largest_.modulus, 1.0) : -1;
    spectrum.error = known_ ? std::min(std::max(largest_.error, most_ - largest_.modulus), 1.0) : 0;
    spectrum.residual = known_ ? largest_.residual : 0;
  }

 private:
  ClassSpectrum largest_;
  double most_ = 0;
  bool known_ = true;
};

}  // namespace

absl::Status SpectrumOfChain(runtime::Executor& executor, runtime::BufferPool& pool, StepPowers& powers,
                             const ChainStructure& structure, const std::vector<double>& pi, Spectrum& spectrum) {
  const bool by_structure = structure.closed_classes > 1 || structure.period > 1;
  const bool lists_all = powers.at(0).rows <= kLargestSpectrum;
  LargestOfClasses largest;
  for (const CommunicatingClass& states : structure.classes) {
    if (by_structure && !lists_all) break;
    const bool dense = static_cast<int64_t>(states.states.size()) <= kLargestSpectrum;
    const ClassProblem problem{executor, pool, powers, states, pi};
    ClassSpectrum own;
    absl::Status done = dense ? DenseSpectrum(problem, own) : IteratedSpectrum(problem, own);
    if (!done.ok()) return done;
    if (lists_all) {
      spectrum.eigenvalues.insert(spectrum.eigenvalues.end(), own.eigenvalues.begin(), own.eigenvalues.end());
    }
    largest.Add(own);
  }
  SortByModulus(spectrum.eigenvalues);
  if (by_structure) {
    spectrum.second_modulus = 1;
  } else {
    largest.Write(spectrum);
  }
  return absl::OkStatus();
}

double SpectrumWorkspaceBytes(int64_t n) {
  const double dense = DenseSpectrumBytes(std::min(n, kLargestSpectrum));
  return n <= kLargestSpectrum ? dense : std::max(dense, IteratedSpectrumBytes(n));
}

}  // namespace attend::compute
