#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "server/compute/lie/class_scaling.h"
#include "server/compute/lie/class_spectrum.h"
#include "server/compute/lie/eigenvalue_condition.h"
#include "server/compute/lie/real_schur.h"

namespace attend::compute {
namespace {

constexpr double kRoundoff = 0x1p-53;

double FrobeniusNorm(const Matrix<double>& h) {
  double sum = 0;
  for (int64_t i = 0; i < h.rows; ++i) {
    for (int64_t j = 0; j < h.cols; ++j) sum += h.row(i)[j] * h.row(i)[j];
  }
  return std::sqrt(sum);
}

// The eigenvalue of largest modulus; of a closed class without the one nearest to 1.
std::complex<double> Largest(const std::vector<std::complex<double>>& eigenvalues, bool closed) {
  const size_t none = eigenvalues.size();
  size_t first = none;
  for (size_t i = 0; i < eigenvalues.size() && closed; ++i) {
    if (first == none || std::abs(eigenvalues[i] - 1.0) < std::abs(eigenvalues[first] - 1.0)) first = i;
  }
  std::complex<double> largest = 0;
  for (size_t i = 0; i < eigenvalues.size(); ++i) {
    if (i != first && std::abs(eigenvalues[i]) > std::abs(largest)) largest = eigenvalues[i];
  }
  return largest;
}

void ReversibleEigenvalues(const Matrix<double>& h, std::vector<std::complex<double>>& eigenvalues) {
  const Eigen::Map<Eigen::MatrixXd> matrix(h.data, h.rows, h.rows);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix, Eigen::EigenvaluesOnly);
  for (const double value : solver.eigenvalues()) eigenvalues.emplace_back(value);
}

}  // namespace

absl::Status DenseSpectrum(const ClassProblem& problem, ClassSpectrum& spectrum) {
  const std::vector<int64_t>& states = problem.states.states;
  const Matrix<const double>& s = problem.powers.at(0);
  const auto n = static_cast<int64_t>(states.size());
  if (n == 1) {
    spectrum.eigenvalues = {s.row(states[0])[states[0]]};
    spectrum.modulus = problem.states.closed ? 0 : spectrum.eigenvalues[0].real();
    spectrum.error = static_cast<double>(s.rows) * kRoundoff * spectrum.modulus;  // of the division by the row's sum
    return absl::OkStatus();
  }
  const runtime::Buffer buffer = problem.pool.AllocateArray<double>(static_cast<size_t>(n * n));
  const Matrix<double> h(buffer.as<double>(), n, n);
  const DetailedBalance balance = BalanceOfClass(s, states);
  if (balance.asymmetry <= kReversible) {
    SymmetrizeClass(s, states, h);
    ReversibleEigenvalues(h, spectrum.eigenvalues);
    spectrum.modulus = std::abs(Largest(spectrum.eigenvalues, problem.states.closed));
    spectrum.error = balance.asymmetry + static_cast<double>(n + 8) * kRoundoff;
    return problem.executor.cancellation().Check();
  }
  const std::vector<double> log_weights = ChooseWeights(balance, states, problem.pi);
  ScaleClass(s, states, log_weights, h);
  const double norm = FrobeniusNorm(h);
  // Read column by column it is the transpose, which has the same eigenvalues; and it is overwritten.
  absl::Status done = Eigenvalues(problem.executor, problem.pool, n, h.data, spectrum.eigenvalues);
  if (!done.ok()) return done;
  const std::complex<double> largest = Largest(spectrum.eigenvalues, problem.states.closed);
  ScaleClass(s, states, log_weights, h);
  double condition = 1;
  const Matrix<const double> scaled(h.data, n, n);
  done = EigenvalueCondition(problem.executor.cancellation(), scaled, largest, condition);
  // Backward errors of the QR algorithm are a few units of roundoff of the norm; rows were divided by rounded sums.
  constexpr double kBackward = 8;
  spectrum.modulus = std::abs(largest);
  spectrum.error = condition * kRoundoff * (kBackward * norm + static_cast<double>(n));
  return done;
}

double DenseSpectrumBytes(int64_t n) {
  const auto size = static_cast<double>(n);
  return 16 * size * size + EigenvalueConditionBytes(size) + RealSchurWorkspaceBytes(n) + 128 * size;
}

}  // namespace attend::compute
