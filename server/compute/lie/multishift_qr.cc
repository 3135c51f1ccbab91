#include "server/compute/lie/multishift_qr.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace attend::compute {
namespace {

using lapack::ActiveRange;

constexpr int64_t kSmall = 75;           // smaller ranges have no sweeps
constexpr int64_t kStagnation = 5;       // iterations without deflation until the window changes
constexpr int64_t kExceptional = 6;      // every how many of those shifts are made up
constexpr int64_t kEnoughDeflated = 14;  // per cent of the window: no sweep before the next look
constexpr int64_t kIterationsPerRow = 30;

struct Sizes {
  int64_t shifts;
  int64_t window;
  int64_t largest_window;
};

int64_t Even(int64_t count) { return count - count % 2; }

// Measured: more shifts at once make sweeps no faster per shift, and look for deflation less often. A sweep costs some
// 0.5 ns per shift and entry: fewer where that takes long.
Sizes SizesFor(int64_t n) {
  const int64_t few = std::clamp<int64_t>(Even(n / 14), 10, 24);
  const int64_t shifts = n <= 768 ? few : std::max<int64_t>(4, Even((int64_t{16} << 20) / (n * n)));
  const int64_t window = n <= 500 ? shifts : 3 * shifts / 2;
  return {std::max<int64_t>(2, Even(std::min(shifts, (n + 6) / 9))),
          std::max<int64_t>(2, std::min(window, (n - 1) / 3)), std::max<int64_t>(2, std::min(4 * window, (n - 1) / 3))};
}

class Iteration {
 public:
  Iteration(runtime::Executor& executor, const lapack::HessenbergQr& qr, const ActiveRange& range, double* work)
      : executor_(executor), qr_(qr), first_(range.begin), end_(range.end), sizes_(SizesFor(qr.h.cols)), work_(work) {}

  absl::Status Run() {
    const int64_t limit = kIterationsPerRow * std::max<int64_t>(10, end_ - first_);
    for (int64_t iteration = 0; end_ > first_; ++iteration) {
      if (auto wanted = executor_.cancellation().Check(); !wanted.ok()) return wanted;
      if (iteration == limit) return absl::InternalError("the eigenvalues do not converge");
      const ActiveRange range{BeginOfBlock(), end_};
      ChooseWindow(range);
      const lapack::Deflation found = lapack::DeflateEarly(qr_, range, window_, work_);
      end_ -= found.deflated;
      if (end_ <= range.begin || !IsSweepDue(range, found)) {
        fruitless_ = 1;
        continue;
      }
      const auto [at, shifts] = ChooseShifts(range.begin, end_ - found.shifts);
      lapack::Sweep(qr_, {range.begin, end_}, at, shifts, work_);
      fruitless_ = found.deflated > 0 ? 1 : fruitless_ + 1;
    }
    return absl::OkStatus();
  }

 private:
  double H(int64_t i, int64_t j) const { return *qr_.h.at(i, j); }

  // Of the last rows that no zero beside the diagonal parts.
  int64_t BeginOfBlock() const {
    int64_t k = end_ - 1;
    while (k > first_ && H(k, k - 1) != 0) --k;
    return k;
  }

  // Without success for a while: wider ones, then narrower again.
  void ChooseWindow(const ActiveRange& range) {
    const int64_t rows = range.end - range.begin;
    const int64_t largest = std::min(rows, sizes_.largest_window);
    window_ = std::min(largest, fruitless_ < kStagnation ? sizes_.window : 2 * window_);
    if (window_ < sizes_.largest_window) {
      if (window_ >= rows - 1) {
        window_ = rows;
      } else {
        const int64_t top = range.end - window_;
        if (std::fabs(H(top, top - 1)) > std::fabs(H(top - 1, top - 2))) ++window_;
      }
    }
    if (fruitless_ < kStagnation) {
      narrower_ = -1;
    } else if (narrower_ >= 0 || window_ >= largest) {
      if (window_ - ++narrower_ < 2) narrower_ = 0;
      window_ -= narrower_;
    }
  }

  bool IsSweepDue(const ActiveRange& range, const lapack::Deflation& found) const {
    if (found.deflated == 0) return true;
    return 100 * found.deflated <= kEnoughDeflated * window_ &&
           end_ - range.begin > std::min(kSmall, sizes_.largest_window);
  }

  // Where they begin, and how many: at most as many as a sweep takes, an even number.
  std::pair<int64_t, int64_t> ChooseShifts(int64_t begin, int64_t at) {
    int64_t wanted = Even(std::min(sizes_.shifts, std::max<int64_t>(2, end_ - 1 - begin)));
    if (fruitless_ % kExceptional == 0) {
      at = end_ - wanted;
      MakeUpShifts(begin, at);
    } else {
      if (end_ - at <= wanted / 2) at = ShiftsOfTrailingBlock(wanted);
      if (end_ - at > wanted) SortShifts(at);
      PairShifts(at);
    }
    if (end_ - at == 2) UseOneIfReal();
    wanted = Even(std::min(wanted, end_ - at));
    return {end_ - wanted, wanted};
  }

  void MakeUpShifts(int64_t begin, int64_t at) {
    for (int64_t i = end_ - 1; i >= std::max(at + 1, begin + 2); i -= 2) {
      const double size = std::fabs(H(i, i - 1)) + std::fabs(H(i - 1, i - 2));
      const double diagonal = 0.75 * size + H(i, i);
      lapack::EigenvaluesOfTwo(diagonal, size, -0.4375 * size, diagonal, qr_.real + i - 1, qr_.imaginary + i - 1);
    }
    if (at == begin) {
      qr_.real[at] = qr_.real[at + 1] = H(at + 1, at + 1);
      qr_.imaginary[at] = qr_.imaginary[at + 1] = 0;
    }
  }

  int64_t ShiftsOfTrailingBlock(int64_t wanted) {
    const int64_t at = end_ - wanted;
    lapack::HessenbergQr block{{work_, wanted, wanted, wanted}, {}, qr_.real + at, qr_.imaginary + at};
    for (int64_t j = 0; j < wanted; ++j) std::copy_n(qr_.h.at(at, at + j), wanted, block.h.at(0, j));
    if (lapack::SmallSchur(block, {0, wanted})) return at;
    const int64_t last = end_ - 1;  // rare
    lapack::EigenvaluesOfTwo(H(last - 1, last - 1), H(last - 1, last), H(last, last - 1), H(last, last),
                             qr_.real + last - 1, qr_.imaginary + last - 1);
    return last - 1;
  }

  // By falling size; pairs, which have one size, stay together.
  void SortShifts(int64_t at) {
    const auto size = [this](int64_t i) { return std::fabs(qr_.real[i]) + std::fabs(qr_.imaginary[i]); };
    bool sorted = false;
    for (int64_t last = end_ - 1; last > at && !sorted; --last) {
      sorted = true;
      for (int64_t i = at; i < last; ++i) {
        if (size(i) >= size(i + 1)) continue;
        sorted = false;
        std::swap(qr_.real[i], qr_.real[i + 1]);
        std::swap(qr_.imaginary[i], qr_.imaginary[i + 1]);
      }
    }
  }

  // From the end on each two are conjugates or both real.
  void PairShifts(int64_t at) {
    for (int64_t i = end_ - 1; i >= at + 2; i -= 2) {
      if (qr_.imaginary[i] == -qr_.imaginary[i - 1]) continue;
      for (double* x : {qr_.real, qr_.imaginary}) std::rotate(x + i - 2, x + i, x + i + 1);
    }
  }

  void UseOneIfReal() {
    const int64_t last = end_ - 1;
    if (qr_.imaginary[last] != 0) return;
    double* const real = qr_.real;
    const bool last_is_nearer = std::fabs(real[last] - H(last, last)) < std::fabs(real[last - 1] - H(last, last));
    (last_is_nearer ? real[last - 1] : real[last]) = last_is_nearer ? real[last] : real[last - 1];
  }

  runtime::Executor& executor_;
  const lapack::HessenbergQr& qr_;
  const int64_t first_;
  int64_t end_;  // of what is not yet deflated
  const Sizes sizes_;
  double* const work_;
  int64_t window_ = 0;
  int64_t narrower_ = -1;
  int64_t fruitless_ = 1;  // iterations since the last deflation, and one
};

int64_t Work(int64_t n) {
  if (n <= kSmall) return 1;
  const Sizes sizes = SizesFor(n);
  return std::max({lapack::DeflationWork(n, sizes.largest_window + 1), lapack::SweepWork(n, sizes.shifts),
                   sizes.shifts * sizes.shifts});
}

}  // namespace

absl::Status SchurOfHessenberg(runtime::Executor& executor, runtime::BufferPool& pool, const lapack::HessenbergQr& qr,
                               const ActiveRange& range) {
  const int64_t n = qr.h.cols;
  for (int64_t i = 0; i < n; ++i) {
    if (i >= range.begin && i < range.end) continue;
    qr.real[i] = *qr.h.at(i, i);
    qr.imaginary[i] = 0;
  }
  if (n <= kSmall) {
    const bool converged = lapack::SmallSchur(qr, range);
    return converged ? absl::OkStatus() : absl::InternalError("the eigenvalues do not converge");
  }
  const runtime::Buffer work = pool.AllocateArray<double>(static_cast<size_t>(Work(n)));
  if (auto done = Iteration(executor, qr, range, work.as<double>()).Run(); !done.ok()) return done;
  // Sweeps leave what underflowed of their bulges.
  for (int64_t j = 0; j + 2 < n; ++j) std::fill_n(qr.h.at(j + 2, j), n - j - 2, 0.0);
  return absl::OkStatus();
}

double MultishiftQrBytes(int64_t n) { return 8 * static_cast<double>(Work(n)); }

}  // namespace attend::compute
