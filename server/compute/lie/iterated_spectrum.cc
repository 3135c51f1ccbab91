#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/lie/arnoldi.h"
#include "server/compute/lie/class_scaling.h"
#include "server/compute/lie/class_spectrum.h"

namespace attend::compute {
namespace {

constexpr double kRoundoff = 0x1p-53;
constexpr double kGoodResidual = 1e-10;
constexpr int kMostRestarts = 20;

class Iterated {
 public:
  explicit Iterated(const ClassProblem& problem)
      : problem_(problem),
        states_(problem.states.states),
        n_(static_cast<int64_t>(states_.size())),
        balance_(BalanceOfClass(problem.powers.at(0), states_)),
        log_weights_(ChooseWeights(balance_, states_, problem.pi)),
        buffer_(problem.pool.AllocateArray<double>(static_cast<size_t>(n_ * n_))),
        h_(buffer_.as<double>(), n_, n_) {
    d_.h = Matrix<const double>(h_.data, n_, n_);
    d_.right = d_.left = Eigen::VectorXd::Zero(n_);
  }

  absl::Status Run(ClassSpectrum& spectrum) {
    spectrum.modulus = -1;
    if (problem_.states.closed && !Deflate()) return absl::OkStatus();
    RitzPair right, left;
    if (absl::Status done = FindRight(right); !done.ok()) return done;
    RemoveStationary(d_.right, d_.left, right.vector);
    if (absl::Status done = FindLeft(right, left); !done.ok()) return done;
    RemoveStationary(d_.left, d_.right, left.vector);
    double residual = 0;
    if (absl::Status done = Residual(right, residual); !done.ok()) return done;
    spectrum.modulus = std::abs(right.value);
    spectrum.error = residual * Condition(right, left);
    spectrum.residual = ResidualInChain(right);
    return absl::OkStatus();
  }

 private:
  // Rounding of one product with H, whose norm is 1.
  double ProductRounding() const { return static_cast<double>(n_) * kRoundoff; }

  // The eigenvectors of the eigenvalue 1. False where they are not known.
  bool Deflate() {
    const double largest = *std::max_element(log_weights_.begin(), log_weights_.end());
    for (int64_t i = 0; i < n_; ++i) d_.right(i) = std::exp((log_weights_[static_cast<size_t>(i)] - largest) / 2);
    if (balance_.asymmetry <= kReversible) {
      d_.left = d_.right / d_.right.squaredNorm();
      return true;
    }
    if (problem_.pi.empty()) return false;
    for (int64_t i = 0; i < n_; ++i) {
      const double weight = problem_.pi[static_cast<size_t>(states_[static_cast<size_t>(i)])];
      d_.left(i) = d_.right(i) > 0 ? weight / d_.right(i) : 0;
    }
    return true;
  }

  // What an eigenvector of H has none of, and of D only as far as its eigenvalue stands out from rounding.
  static void RemoveStationary(const Eigen::VectorXd& eigenvector, const Eigen::VectorXd& against,
                               Eigen::VectorXcd& vector) {
    const Eigen::VectorXcd rest = vector - eigenvector * against.cast<std::complex<double>>().dot(vector);
    if (rest.norm() > 1e-8) vector = rest.normalized();
  }

  absl::Status Look(size_t k, bool transposed, const Eigen::VectorXd& start, const ArnoldiGoal& goal, RitzPair& pair) {
    if (absl::Status done = problem_.powers.Reach(k); !done.ok()) return done;
    if (k != scaled_) ScaleClass(problem_.powers.at(k), states_, log_weights_, h_);
    scaled_ = k;
    d_.transposed = transposed;
    return Arnoldi(problem_.executor, problem_.pool, d_, start, goal, pair);
  }

  // What makes the gap known to 1e-6 of itself where the eigenvalue is well conditioned.
  double GoodResidual(const RitzPair& pair) const {
    return std::max(2 * ProductRounding(), std::min(kGoodResidual, 1e-6 * (1 - std::abs(pair.value))));
  }

  absl::Status FindRight(RitzPair& pair) {
    constexpr double kFastMixing = 0.3;  // below, powers lose the eigenvalue in rounding before they tell it apart
    Eigen::VectorXd start(n_);
    for (int64_t i = 0; i < n_; ++i) start(i) = std::cos(static_cast<double>(i * i % 9973));
    ArnoldiGoal goal;
    goal.residual = ProductRounding();
    if (absl::Status done = Look(0, false, start, goal, pair); !done.ok()) return done;
    RitzPair far = pair;
    for (size_t k = 0; pair.residual > GoodResidual(pair) && std::abs(pair.value) >= kFastMixing;) {
      k = NextPower(k, std::abs(pair.value));
      if (k > kMostSquarings || std::abs(far.value) < 0.05) break;
      if (absl::Status done = Look(k, false, RealStart(pair), goal, far); !done.ok()) return done;
      deepest_ = k;
      if (absl::Status done = Look(0, false, RealStart(far), goal, pair); !done.ok()) return done;
    }
    goal.most_restarts = kMostRestarts;
    goal.residual = GoodResidual(pair);
    if (pair.residual <= goal.residual) return absl::OkStatus();
    return Look(0, false, RealStart(pair), goal, pair);
  }

  // About 1 / gap steps: there eigenvalues that lie apart in units of the gap are factors apart.
  static size_t NextPower(size_t k, double modulus) {
    const double gap = std::max(1 - modulus, 0x1p-30);
    return std::max(k + 2, static_cast<size_t>(std::ceil(-std::log2(gap))));
  }

  // The left eigenvector that belongs to `right`, from the same powers.
  absl::Status FindLeft(const RitzPair& right, RitzPair& left) {
    ArnoldiGoal goal;
    goal.residual = ProductRounding();
    Eigen::VectorXd start = RealStart(right);
    if (deepest_ > 0) {
      if (absl::Status done = Look(deepest_, true, start, goal, left); !done.ok()) return done;
      start = RealStart(left);
    }
    goal.nearest = right.value;
    goal.most_restarts = 3;
    goal.residual = std::max(goal.residual, right.residual);
    return Look(0, true, start, goal, left);
  }

  double Condition(const RitzPair& right, const RitzPair& left) const {
    if (balance_.asymmetry <= kReversible) return 1;
    // Of a complex pair, the left vector found may belong to either value.
    const double along =
        std::max(std::abs(left.vector.dot(right.vector)), std::abs((left.vector.transpose() * right.vector)(0)));
    return along > 0 ? 1 / along : std::numeric_limits<double>::infinity();
  }

  // ||D x - mu x||, measured on the scaled matrix, with its rounding and what it lacks of symmetry.
  absl::Status Residual(const RitzPair& pair, double& residual) {
    Eigen::VectorXd from, real(n_), imaginary(n_);
    d_.transposed = false;
    from = pair.vector.real();
    if (absl::Status done = d_.Apply(problem_.executor, from.data(), real.data()); !done.ok()) return done;
    from = pair.vector.imag();
    if (absl::Status done = d_.Apply(problem_.executor, from.data(), imaginary.data()); !done.ok()) return done;
    double squares = 0;
    for (int64_t i = 0; i < n_; ++i) {
      squares += std::norm(std::complex<double>(real(i), imaginary(i)) - pair.value * pair.vector(i));
    }
    residual = std::sqrt(squares) + ProductRounding();
    if (balance_.asymmetry <= kReversible) residual += balance_.asymmetry;
    return absl::OkStatus();
  }

  // ||S x - mu x|| of the unit x that the scaled vector stands for, with its rounding.
  double ResidualInChain(const RitzPair& pair) const {
    Eigen::ArrayXd log_size(n_);
    for (int64_t i = 0; i < n_; ++i) {
      log_size(i) = std::log(std::abs(pair.vector(i))) - log_weights_[static_cast<size_t>(i)] / 2;
    }
    log_size -= log_size.maxCoeff();
    Eigen::VectorXcd x = Eigen::VectorXcd::Zero(n_);
    for (int64_t i = 0; i < n_; ++i) {
      if (const double size = std::abs(pair.vector(i)); size > 0) x(i) = pair.vector(i) / size * std::exp(log_size(i));
    }
    x.normalize();
    const Matrix<const double>& s = problem_.powers.at(0);
    double squares = 0;
    for (int64_t i = 0; i < n_; ++i) {
      const double* row = s.row(states_[static_cast<size_t>(i)]);
      std::complex<double> sum = -pair.value * x(i);
      for (int64_t j = 0; j < n_; ++j) sum += row[states_[static_cast<size_t>(j)]] * x(j);
      squares += std::norm(sum);
    }
    return std::sqrt(squares) + ProductRounding();
  }

  const ClassProblem& problem_;
  const std::vector<int64_t>& states_;
  const int64_t n_;
  const DetailedBalance balance_;
  const std::vector<double> log_weights_;
  const runtime::Buffer buffer_;
  const Matrix<double> h_;  // the scaled class of S^(2^scaled_)
  DeflatedMatrix d_;
  size_t scaled_ = kMostSquarings + 1;  // nothing yet
  size_t deepest_ = 0;                  // the last power that FindRight looked at
};

}  // namespace

absl::Status IteratedSpectrum(const ClassProblem& problem, ClassSpectrum& spectrum) {
  return Iterated(problem).Run(spectrum);
}

double IteratedSpectrumBytes(int64_t n) {
  const auto size = static_cast<double>(n);
  return 8 * size * size + ArnoldiWorkspaceBytes(n) + 256 * size;
}

}  // namespace attend::compute
