#include "server/compute/lie/arnoldi.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

namespace attend::compute {
namespace {

constexpr int64_t kSteps = 128;
constexpr int64_t kFirstLook = 16;    // steps before the first look at the residual, then twice as many each time
constexpr double kInvariant = 1e-14;  // what is left of a new direction where the basis spans an invariant subspace
constexpr int64_t kTileRows = 64;

// In an order of its own, for SIMD: the same bits wherever the vectors lie.
double Dot(const double* a, const double* b, int64_t n) {
  constexpr int64_t kLanes = 8;
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < n; ++i) sums[i % kLanes] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

class Iteration {
 public:
  Iteration(runtime::Executor& executor, runtime::BufferPool& pool, const DeflatedMatrix& d, const ArnoldiGoal& goal)
      : executor_(executor),
        d_(d),
        goal_(goal),
        n_(d.h.rows),
        steps_(std::min(kSteps, n_)),
        buffer_(pool.AllocateArray<double>(static_cast<size_t>((steps_ + 1) * n_))),
        basis_(buffer_.as<double>(), steps_ + 1, n_) {}

  absl::Status Run(const Eigen::VectorXd& start, RitzPair& pair) {
    Eigen::VectorXd from = start;
    for (int restart = 0; restart < goal_.most_restarts; ++restart) {
      if (absl::Status done = Expand(from, pair); !done.ok()) return done;
      if (pair.residual <= goal_.residual) break;
      from = RealStart(pair);
    }
    return absl::OkStatus();
  }

 private:
  // Twice, since once leaves what cancellation brings back (Giraud, Langou, Rozloznik and van den Eshof 2005).
  void Orthogonalize(int64_t step, Eigen::MatrixXd& projected) {
    double* next = basis_.row(step + 1);
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t k = 0; k <= step; ++k) {
        const double share = Dot(basis_.row(k), next, n_);
        projected(k, step) += share;
        for (int64_t i = 0; i < n_; ++i) next[i] -= share * basis_.row(k)[i];
      }
    }
  }

  absl::Status Expand(const Eigen::VectorXd& from, RitzPair& pair) {
    Eigen::Map<Eigen::VectorXd>(basis_.row(0), n_) = from.normalized();
    Eigen::MatrixXd projected = Eigen::MatrixXd::Zero(steps_ + 1, steps_);
    int64_t look = kFirstLook;
    for (int64_t step = 0; step < steps_; ++step) {
      if (absl::Status done = d_.Apply(executor_, basis_.row(step), basis_.row(step + 1)); !done.ok()) return done;
      Orthogonalize(step, projected);
      const double beyond = std::sqrt(Dot(basis_.row(step + 1), basis_.row(step + 1), n_));
      projected(step + 1, step) = beyond;
      const bool invariant = beyond < kInvariant;
      if (invariant || step + 1 == look || step + 1 == steps_) {
        look *= 2;
        pair = Wanted(projected.topLeftCorner(step + 1, step + 1), beyond);
        if (invariant || pair.residual <= goal_.residual) break;
      }
      for (int64_t i = 0; i < n_; ++i) basis_.row(step + 1)[i] /= beyond;
    }
    return absl::OkStatus();
  }

  RitzPair Wanted(const Eigen::MatrixXd& projected, double beyond) const {
    const Eigen::EigenSolver<Eigen::MatrixXd> solver(projected);
    Eigen::Index at = 0;
    if (goal_.nearest.has_value()) {
      (solver.eigenvalues().array() - *goal_.nearest).abs().minCoeff(&at);
    } else {
      solver.eigenvalues().cwiseAbs().maxCoeff(&at);
    }
    const Eigen::VectorXcd combination = solver.eigenvectors().col(at).normalized();
    RitzPair pair;
    pair.value = solver.eigenvalues()(at);
    pair.residual = beyond * std::abs(combination(combination.size() - 1));
    pair.vector = Eigen::VectorXcd::Zero(n_);
    for (Eigen::Index k = 0; k < combination.size(); ++k) {
      pair.vector += combination(k) * Eigen::Map<const Eigen::VectorXd>(basis_.row(k), n_);
    }
    pair.vector.normalize();
    return pair;
  }

  runtime::Executor& executor_;
  const DeflatedMatrix& d_;
  const ArnoldiGoal& goal_;
  const int64_t n_;
  const int64_t steps_;
  const runtime::Buffer buffer_;
  const Matrix<double> basis_;  // [steps + 1, n], orthonormal rows
};

}  // namespace

absl::Status DeflatedMatrix::Apply(runtime::Executor& executor, const double* from, double* to) const {
  const int64_t n = h.rows;
  const Eigen::VectorXd& out = transposed ? left : right;
  const double share = Dot((transposed ? right : left).data(), from, n);
  const int64_t tiles = (n + kTileRows - 1) / kTileRows;
  return executor.ForEachTile(tiles, 2.0 * static_cast<double>(kTileRows * n), [&](int64_t tile, int) {
    const int64_t begin = tile * kTileRows;
    const int64_t end = std::min(n, begin + kTileRows);
    for (int64_t i = begin; i < end; ++i) to[i] = -share * out(i);
    if (transposed) {
      for (int64_t k = 0; k < n; ++k) {
        for (int64_t i = begin; i < end; ++i) to[i] += from[k] * h.row(k)[i];
      }
    } else {
      for (int64_t i = begin; i < end; ++i) to[i] += Dot(h.row(i), from, n);
    }
    return absl::OkStatus();
  });
}

absl::Status Arnoldi(runtime::Executor& executor, runtime::BufferPool& pool, const DeflatedMatrix& d,
                     const Eigen::VectorXd& start, const ArnoldiGoal& goal, RitzPair& pair) {
  return Iteration(executor, pool, d, goal).Run(start, pair);
}

Eigen::VectorXd RealStart(const RitzPair& pair) { return pair.vector.real() + pair.vector.imag(); }

double ArnoldiWorkspaceBytes(int64_t n) {
  constexpr auto kRows = static_cast<double>(kSteps + 1);
  constexpr double kVectors = 32;
  return 8 * ((kRows + kVectors) * static_cast<double>(n) + 12 * kRows * kRows);
}

}  // namespace attend::compute
