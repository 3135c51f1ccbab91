#include "server/compute/lie/triangular_log.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace attend::compute {
namespace {

using Complex = std::complex<double>;

// Largest ||X||_1 for which the approximant of degree m has a backward error of at most 2^-53 (Al-Mohy and Higham 2012,
// table 2.1).
constexpr std::array<double, 7> kTheta = {1.59e-5, 2.31e-3, 1.94e-2, 6.21e-2, 1.28e-1, 2.06e-1, 2.88e-1};
constexpr int kMostRoots = 100;  // a double's exponent allows some 12 for the diagonal; the rest is far from normal

// Plain arithmetic: operator* of std::complex looks for infinities.
Complex Times(const Complex& a, const Complex& b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

// to[0, count) -= factor * from[0, count).
void Subtract(const Complex& factor, const Complex* from, int64_t count, Complex* to) {
  for (int64_t i = 0; i < count; ++i) to[i] -= Times(factor, from[i]);
}

// Nodes and weights of Gauss and Legendre's quadrature on [0, 1], by Newton's iteration on the polynomial.
struct Quadrature {
  explicit Quadrature(int degree) {
    for (int i = 0; i < degree; ++i) {
      double x = std::cos(std::numbers::pi * (i + 0.75) / (degree + 0.5));
      double slope = 1;
      for (int pass = 0; pass < 8; ++pass) {
        double previous = 1, value = x;
        for (int k = 2; k <= degree; ++k) {
          const double next = ((2 * k - 1) * x * value - (k - 1) * previous) / k;
          previous = value;
          value = next;
        }
        slope = degree * (x * value - previous) / (x * x - 1);
        x -= value / slope;
      }
      nodes.push_back((1 + x) / 2);
      weights.push_back(1 / ((1 - x * x) * slope * slope));
    }
  }
  std::vector<double> nodes, weights;
};

class TriangularLogarithm {
 public:
  TriangularLogarithm(const runtime::Cancellation& cancelled, runtime::BufferPool& pool, int64_t n, Complex* t)
      : cancelled_(cancelled),
        n_(n),
        t_(t),
        root_buffer_(pool.AllocateArray<Complex>(size())),
        sum_buffer_(pool.AllocateArray<Complex>(size())),
        term_buffer_(pool.AllocateArray<Complex>(size())),
        root_(root_buffer_.as<Complex>()),
        less_one_(static_cast<size_t>(n)) {}

  absl::Status Run(LogarithmCost& cost) {
    std::copy_n(t_, size(), root_);
    int roots = 0;
    SubtractOneFromDiagonal(roots);
    while (NormLessOne() > kTheta.back() && roots < kMostRoots) {
      if (absl::Status wanted = cancelled_.Check(); !wanted.ok()) return wanted;
      TakeRoot();
      SubtractOneFromDiagonal(++roots);
    }
    const auto fits = std::lower_bound(kTheta.begin(), kTheta.end() - 1, NormLessOne());
    cost.square_roots = static_cast<uint32_t>(roots);
    cost.degree = static_cast<uint32_t>(fits - kTheta.begin()) + 1;
    for (int64_t i = 0; i < n_; ++i) root_[at(i, i)] = less_one_[static_cast<size_t>(i)];
    if (absl::Status done = SumFractions(static_cast<int>(cost.degree)); !done.ok()) return done;
    Finish(std::ldexp(1.0, roots));
    return absl::OkStatus();
  }

 private:
  size_t size() const { return static_cast<size_t>(n_ * n_); }
  size_t at(int64_t i, int64_t j) const { return static_cast<size_t>(i + j * n_); }

  // t^(1/2^roots) - 1 = (t - 1) / prod_k (1 + t^(1/2^k)), k from 1 to roots: nothing cancels.
  void SubtractOneFromDiagonal(int roots) {
    for (int64_t i = 0; i < n_; ++i) {
      Complex root = t_[at(i, i)];
      Complex result = root - 1.0;
      for (int k = 0; k < roots; ++k) {
        root = std::sqrt(root);
        result /= 1.0 + root;
      }
      less_one_[static_cast<size_t>(i)] = result;
    }
  }

  double NormLessOne() const {
    double largest = 0;
    for (int64_t j = 0; j < n_; ++j) {
      double sum = std::abs(less_one_[static_cast<size_t>(j)]);
      for (int64_t i = 0; i < j; ++i) sum += std::abs(root_[at(i, j)]);
      largest = std::max(largest, sum);
    }
    return largest;
  }

  // root_ becomes its principal square root, column by column from the bottom up (Bjoerck and Hammarling 1983).
  void TakeRoot() {
    for (int64_t j = 0; j < n_; ++j) {
      Complex* column = root_ + j * n_;
      column[j] = std::sqrt(column[j]);
      for (int64_t i = j - 1; i >= 0; --i) {
        column[i] /= root_[at(i, i)] + column[j];
        Subtract(column[i], root_ + i * n_, i, column);
      }
    }
  }

  // sum_k w_k X (I + x_k X)^-1 with X = root_.
  absl::Status SumFractions(int degree) {
    const Quadrature quadrature(degree);
    Complex* sum = sum_buffer_.as<Complex>();
    std::fill_n(sum, size(), Complex(0));
    for (int k = 0; k < degree; ++k) {
      if (absl::Status wanted = cancelled_.Check(); !wanted.ok()) return wanted;
      AddFraction(quadrature.nodes[static_cast<size_t>(k)], quadrature.weights[static_cast<size_t>(k)], sum);
    }
    return absl::OkStatus();
  }

  void AddFraction(double node, double weight, Complex* sum) {
    Complex* shifted = term_buffer_.as<Complex>();
    for (int64_t j = 0; j < n_; ++j) {
      for (int64_t i = 0; i <= j; ++i) shifted[at(i, j)] = node * root_[at(i, j)] + (i == j ? 1.0 : 0.0);
    }
    std::vector<Complex> column(static_cast<size_t>(n_));
    for (int64_t j = 0; j < n_; ++j) {
      std::copy_n(root_ + j * n_, j + 1, column.data());
      for (int64_t i = j; i >= 0; --i) {
        const Complex solved = column[static_cast<size_t>(i)] / shifted[at(i, i)];
        sum[at(i, j)] += weight * solved;
        Subtract(solved, shifted + i * n_, i, column.data());
      }
    }
  }

  // t_ = scale * the sum, but for what closed formulas say.
  void Finish(double scale) {
    const Complex* sum = sum_buffer_.as<Complex>();
    for (int64_t i = 0; i + 1 < n_; ++i) {
      t_[at(i, i + 1)] = Times(t_[at(i, i + 1)], LogDifference(t_[at(i, i)], t_[at(i + 1, i + 1)]));
    }
    for (int64_t j = 0; j < n_; ++j) {
      for (int64_t i = 0; i + 1 < j; ++i) t_[at(i, j)] = scale * sum[at(i, j)];
      t_[at(j, j)] = std::log(t_[at(j, j)]);
    }
  }

  // (log b - log a) / (b - a), for any distance of the two.
  static Complex LogDifference(const Complex& a, const Complex& b) {
    if (a == b) return 1.0 / a;
    const Complex log_a = std::log(a), log_b = std::log(b);
    if (std::abs(a) < std::abs(b) / 2 || std::abs(b) < std::abs(a) / 2) return (log_b - log_a) / (b - a);
    const Complex ratio = (b - a) / (b + a);
    const double windings = std::ceil(((log_b - log_a).imag() - std::numbers::pi) / (2 * std::numbers::pi));
    return (2.0 * std::atanh(ratio) + Complex(0, 2 * std::numbers::pi * windings)) / (b - a);
  }

  const runtime::Cancellation& cancelled_;
  const int64_t n_;
  Complex* const t_;
  const runtime::Buffer root_buffer_, sum_buffer_, term_buffer_;
  Complex* const root_;            // t^(1/2^roots); at last minus the identity
  std::vector<Complex> less_one_;  // the diagonal of that minus the identity
};

}  // namespace

absl::Status TriangularLog(const runtime::Cancellation& cancelled, runtime::BufferPool& pool, int64_t n,
                           std::complex<double>* t, LogarithmCost& cost) {
  return TriangularLogarithm(cancelled, pool, n, t).Run(cost);
}

}  // namespace attend::compute
