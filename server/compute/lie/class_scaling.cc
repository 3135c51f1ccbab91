#include "server/compute/lie/class_scaling.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attend::compute {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The states of one class as a matrix of their own.
class ClassView {
 public:
  ClassView(const Matrix<const double>& s, const std::vector<int64_t>& states) : s_(s), states_(states) {}

  int64_t size() const { return static_cast<int64_t>(states_.size()); }
  double at(int64_t i, int64_t j) const {
    return s_.row(states_[static_cast<size_t>(i)])[states_[static_cast<size_t>(j)]];
  }
  // Without underflow of the product.
  double Both(int64_t i, int64_t j) const { return std::sqrt(at(i, j)) * std::sqrt(at(j, i)); }
  // In two steps: the factor alone may overflow where the product does not.
  double Scaled(int64_t i, int64_t j, const std::vector<double>& log_weights) const {
    const double entry = at(i, j);
    if (entry == 0) return 0;
    const double root = std::exp((log_weights[static_cast<size_t>(i)] - log_weights[static_cast<size_t>(j)]) / 4);
    return entry * root * root;
  }

 private:
  const Matrix<const double>& s_;
  const std::vector<int64_t>& states_;
};

// False where the tree does not reach every state.
bool WeighAlongTree(const ClassView& view, std::vector<double>& log_weights) {
  const int64_t n = view.size();
  log_weights.assign(static_cast<size_t>(n), 0.0);
  std::vector<double> strongest(static_cast<size_t>(n), 0.0);
  std::vector<int64_t> parent(static_cast<size_t>(n), -1);
  std::vector<char> in_tree(static_cast<size_t>(n), 0);
  int64_t next = 0;
  for (int64_t joined = 0; joined < n; ++joined) {
    const int64_t from = next;
    in_tree[static_cast<size_t>(from)] = 1;
    if (const int64_t above = parent[static_cast<size_t>(from)]; above >= 0) {
      log_weights[static_cast<size_t>(from)] =
          log_weights[static_cast<size_t>(above)] + std::log(view.at(above, from)) - std::log(view.at(from, above));
    }
    next = -1;
    for (int64_t to = 0; to < n; ++to) {
      if (in_tree[static_cast<size_t>(to)] != 0) continue;
      if (const double both = view.Both(from, to); both > strongest[static_cast<size_t>(to)]) {
        strongest[static_cast<size_t>(to)] = both;
        parent[static_cast<size_t>(to)] = from;
      }
      if (next < 0 || strongest[static_cast<size_t>(to)] > strongest[static_cast<size_t>(next)]) next = to;
    }
    if (next >= 0 && strongest[static_cast<size_t>(next)] == 0) return false;
  }
  return true;
}

}  // namespace

DetailedBalance BalanceOfClass(const Matrix<const double>& s, const std::vector<int64_t>& states) {
  const ClassView view(s, states);
  DetailedBalance balance;
  if (!WeighAlongTree(view, balance.log_weights)) {
    balance.asymmetry = kInfinity;
    return balance;
  }
  for (int64_t i = 0; i < view.size(); ++i) {
    double sum = 0;
    for (int64_t j = 0; j < view.size(); ++j) {
      sum += std::fabs(view.Scaled(i, j, balance.log_weights) - view.Scaled(j, i, balance.log_weights));
    }
    balance.asymmetry = std::isfinite(sum) ? std::max(balance.asymmetry, sum / 2) : kInfinity;
    if (balance.asymmetry == kInfinity) break;
  }
  return balance;
}

std::vector<double> ChooseWeights(const DetailedBalance& balance, const std::vector<int64_t>& states,
                                  const std::vector<double>& pi) {
  constexpr double kNearlySymmetric = 0.01;
  if (balance.asymmetry < kNearlySymmetric) return balance.log_weights;
  std::vector<double> log_weights(states.size(), 0.0);
  for (size_t i = 0; i < states.size() && !pi.empty(); ++i) {
    log_weights[i] = std::log(std::max(pi[static_cast<size_t>(states[i])], 1e-300));
  }
  return log_weights;
}

void ScaleClass(const Matrix<const double>& s, const std::vector<int64_t>& states,
                const std::vector<double>& log_weights, const Matrix<double>& h) {
  const ClassView view(s, states);
  for (int64_t i = 0; i < view.size(); ++i) {
    for (int64_t j = 0; j < view.size(); ++j) h.row(i)[j] = view.Scaled(i, j, log_weights);
  }
}

void SymmetrizeClass(const Matrix<const double>& s, const std::vector<int64_t>& states, const Matrix<double>& h) {
  const ClassView view(s, states);
  for (int64_t i = 0; i < view.size(); ++i) {
    for (int64_t j = 0; j <= i; ++j) h.row(i)[j] = h.row(j)[i] = view.Both(i, j);
  }
}

}  // namespace attend::compute
