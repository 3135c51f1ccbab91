#include "server/compute/lie/arnoldi.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace attend::compute {
namespace {

constexpr int64_t kSteps = 96;
constexpr int kRestarts = 20;
constexpr double kGoodResidual = 1e-10;

double Dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

struct RitzPair {
  double modulus = 0;
  double residual = 0;
  Eigen::VectorXcd combination;  // of the basis' rows
};

class Iteration {
 public:
  Iteration(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
            const std::vector<double>& pi)
      : executor_(executor),
        s_(s),
        pi_(pi),
        n_(s.rows),
        steps_(std::min(kSteps, n_)),
        buffer_(pool.AllocateArray<double>(static_cast<size_t>((steps_ + 1) * n_))),
        basis_(buffer_.as<double>(), steps_ + 1, n_) {}

  absl::Status Run(double& modulus, double& residual) {
    for (int64_t i = 0; i < n_; ++i) basis_.row(0)[i] = std::cos(static_cast<double>(i * i % 9973));
    for (int restart = 0; restart < kRestarts; ++restart) {
      RitzPair pair;
      if (absl::Status done = Expand(pair); !done.ok()) return done;
      modulus = pair.modulus;
      residual = pair.residual;
      if (residual <= kGoodResidual) break;
      Restart(pair);
    }
    return absl::OkStatus();
  }

 private:
  static constexpr int64_t kTileRows = 64;

  // to = D from.
  absl::Status Apply(const double* from, double* to) {
    const double mean = Dot(pi_.data(), from, n_);
    const int64_t tiles = (n_ + kTileRows - 1) / kTileRows;
    const double tile_flops = 2.0 * static_cast<double>(kTileRows * n_);
    return executor_.ForEachTile(tiles, tile_flops, [&](int64_t tile, int) {
      const int64_t end = std::min(n_, (tile + 1) * kTileRows);
      for (int64_t i = tile * kTileRows; i < end; ++i) to[i] = Dot(s_.row(i), from, n_) - mean;
      return absl::OkStatus();
    });
  }

  // Twice, since once leaves what cancellation brings back (Giraud, Langou, Rozloznik and van den Eshof 2005).
  void Orthogonalize(int64_t step, Eigen::MatrixXd& h) {
    double* next = basis_.row(step + 1);
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t k = 0; k <= step; ++k) {
        const double share = Dot(basis_.row(k), next, n_);
        h(k, step) += share;
        for (int64_t i = 0; i < n_; ++i) next[i] -= share * basis_.row(k)[i];
      }
    }
  }

  absl::Status Expand(RitzPair& pair) {
    const double length = std::sqrt(Dot(basis_.row(0), basis_.row(0), n_));
    for (int64_t i = 0; i < n_; ++i) basis_.row(0)[i] /= length;
    Eigen::MatrixXd h = Eigen::MatrixXd::Zero(steps_, steps_);
    double beyond = 0;
    int64_t step = 0;
    for (; step < steps_; ++step) {
      if (absl::Status done = Apply(basis_.row(step), basis_.row(step + 1)); !done.ok()) return done;
      Orthogonalize(step, h);
      beyond = std::sqrt(Dot(basis_.row(step + 1), basis_.row(step + 1), n_));
      if (beyond < 1e-14) break;  // the basis spans an invariant subspace
      if (step + 1 < steps_) h(step + 1, step) = beyond;
      for (int64_t i = 0; i < n_; ++i) basis_.row(step + 1)[i] /= beyond;
    }
    pair = Largest(h.topLeftCorner(std::min(step + 1, steps_), std::min(step + 1, steps_)), beyond);
    return absl::OkStatus();
  }

  static RitzPair Largest(const Eigen::MatrixXd& h, double beyond) {
    const Eigen::EigenSolver<Eigen::MatrixXd> solver(h);
    Eigen::Index at = 0;
    RitzPair pair;
    pair.modulus = solver.eigenvalues().cwiseAbs().maxCoeff(&at);
    pair.combination = solver.eigenvectors().col(at).normalized();
    pair.residual = beyond * std::abs(pair.combination(pair.combination.size() - 1));
    return pair;
  }

  // The real and the imaginary part of the Ritz vector, added: both of a pair's directions stay in the basis.
  void Restart(const RitzPair& pair) {
    std::vector<double> sum(static_cast<size_t>(n_), 0.0);
    for (Eigen::Index k = 0; k < pair.combination.size(); ++k) {
      const double share = pair.combination(k).real() + pair.combination(k).imag();
      for (int64_t i = 0; i < n_; ++i) sum[static_cast<size_t>(i)] += share * basis_.row(k)[i];
    }
    std::copy(sum.begin(), sum.end(), basis_.row(0));
  }

  runtime::Executor& executor_;
  const Matrix<const double>& s_;
  const std::vector<double>& pi_;
  const int64_t n_;
  const int64_t steps_;
  const runtime::Buffer buffer_;
  const Matrix<double> basis_;  // [steps + 1, n], orthonormal rows
};

}  // namespace

absl::Status LargestModulus(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                            const std::vector<double>& pi, double& modulus, double& residual) {
  return Iteration(executor, pool, s, pi).Run(modulus, residual);
}

double ArnoldiWorkspaceBytes(int64_t n) {
  constexpr auto kRows = static_cast<double>(kSteps + 2);
  return 8 * (kRows * static_cast<double>(n) + 8 * kRows * kRows);
}

}  // namespace attend::compute
