#include "tests/bench/expm_bench.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "tests/bench/expm_matrices.h"
#include "tests/bench/expm_peers.h"
#include "tests/bench/machine.h"
#include "tests/bench/python_peer.h"
#include "tests/bench/timing.h"

namespace attend::bench {
namespace {

constexpr double kSecondsEach = 1.5;

template <typename T>
constexpr const char* kType = std::is_same_v<T, float> ? "f32" : "f64";

// Our exp of a batch, on the calling thread.
template <typename T>
class ExpmSetup {
 public:
  ExpmSetup(int64_t batch, int64_t n, std::vector<T> a, std::vector<double> times = {1.0})
      : a_(std::move(a)), out_(a_.size() * times.size()) {
    problem_.batch = batch;
    problem_.n = n;
    problem_.a = a_.data();
    problem_.times = std::move(times);
    result_.result = out_.data();
  }

  void Run() {
    runtime::InlineExecutor executor(cancellation_);
    if (!compute::MatrixExp(executor, pool_, problem_, result_).ok()) std::abort();
  }

  const std::vector<T>& a() const { return a_; }
  std::vector<T>& out() { return out_; }

 private:
  std::vector<T> a_;
  std::vector<T> out_;
  runtime::Cancellation cancellation_;
  runtime::BufferPool pool_;
  compute::MatrixExpProblem<T> problem_;
  compute::MatrixExpResult<T> result_;
};

std::string BatchName(int64_t batch, int64_t n) {
  return batch == 1 ? absl::StrCat("n", n) : absl::StrCat(batch, "x", n, "x", n);
}

// Times of ours and of the peers, in turns.
template <typename T>
void BenchGeneral(int64_t batch, int64_t n, PythonPeer& python, Figures& figures) {
  ExpmSetup<T> setup(batch, n, NormalMatrices<T>(batch, n));
  python.Load(batch, n, setup.a());
  const bool has_scipy = python.Run("scipy").has_value();
  const bool has_torch = python.Run("torch").has_value();
  const bool with_eigen = batch > 1;
  std::vector<double> ours, scipy, torch, eigen;
  const int repetitions = RepetitionsFor(kSecondsEach / 3, [&] { setup.Run(); });
  for (int i = 0; i < std::min(repetitions, 50); ++i) {
    ours.push_back(ThreadSeconds([&] { setup.Run(); }));
    if (has_scipy) scipy.push_back(*python.Run("scipy"));
    if (has_torch) torch.push_back(*python.Run("torch"));
    if (with_eigen) eigen.push_back(ThreadSeconds([&] { EigenExp(batch, n, setup.a().data(), setup.out().data()); }));
  }
  const std::string name = absl::StrCat("expm.", kType<T>, ".", BatchName(batch, n), ".1t");
  const double seconds = Median(ours);
  figures.Add(absl::StrCat(name, ".ms"), seconds * 1e3, "ms");
  if (has_scipy) figures.Add(absl::StrCat(name, ".vs_scipy"), Median(scipy) / seconds, "ratio");
  if (has_torch) figures.Add(absl::StrCat(name, ".vs_torch"), Median(torch) / seconds, "ratio");
  if (with_eigen) figures.Add(absl::StrCat(name, ".vs_eigen"), Median(eigen) / seconds, "ratio");
  if (!has_scipy) std::printf("%s: no python3-scipy to compare with\n", name.c_str());
}

// The products of exp alone, against the machine's peak in turns with them.
void BenchProducts(int64_t n, Figures& figures) {
  SgemmPeak peak;
  const std::vector<float> a = NormalMatrices<float>(1, n);
  std::vector<float> c(a.size());
  const auto run = [&] {
    const compute::Operand<float> operand(a.data(), n, n, n);
    if (!compute::Gemm(1.0f, operand, operand, 0.0f, compute::Matrix<float>(c.data(), n, n)).ok()) std::abort();
  };
  std::vector<double> times;
  const int repetitions = RepetitionsFor(kSecondsEach, run);
  for (int i = 0; i < repetitions; ++i) {
    if (i % std::max(repetitions / 10, 1) == 0) peak.Run();
    times.push_back(ThreadSeconds(run));
  }
  const double flops = 2 * std::pow(static_cast<double>(n), 3);
  figures.Add(absl::StrCat("expm.f32.n", n, ".products.share_of_peak"),
              flops / Median(std::move(times)) / peak.flops_per_second(), "ratio");
}

// A generator, and what it takes in times of a general matrix of the size.
template <typename T>
void BenchGenerator(int64_t n, Figures& figures) {
  ExpmSetup<T> generator(1, n, RandomGenerator<T>(n));
  ExpmSetup<T> general(1, n, NormalMatrices<T>(1, n));
  std::vector<double> ours, theirs;
  for (int i = 0; i < 9; ++i) {
    ours.push_back(ThreadSeconds([&] { generator.Run(); }));
    theirs.push_back(ThreadSeconds([&] { general.Run(); }));
  }
  const std::string name = absl::StrCat("expm.generator.", kType<T>, ".n", n, ".1t");
  figures.Add(absl::StrCat(name, ".ms"), Median(ours) * 1e3, "ms");
  figures.Add(absl::StrCat(name, ".over_general"), Median(ours) / Median(theirs), "ratio");
}

// A generator at times 1 to 8 in one call, in times of a call at time 1.
void BenchGeneratorTimes(int64_t n, Figures& figures) {
  ExpmSetup<double> several(1, n, RandomGenerator<double>(n), {1, 2, 3, 4, 5, 6, 7, 8});
  ExpmSetup<double> one(1, n, RandomGenerator<double>(n));
  std::vector<double> ours, alone;
  for (int i = 0; i < 9; ++i) {
    ours.push_back(ThreadSeconds([&] { several.Run(); }));
    alone.push_back(ThreadSeconds([&] { one.Run(); }));
  }
  figures.Add(absl::StrCat("expm.generator.f64.n", n, "x8times.1t.over_one_time"), Median(ours) / Median(alone),
              "ratio");
}

}  // namespace

void BenchExpm(Figures& figures) {
  PythonPeer python;
  BenchGeneral<double>(1024, 8, python, figures);
  BenchGeneral<float>(1024, 8, python, figures);
  BenchGeneral<double>(256, 64, python, figures);
  BenchGeneral<float>(256, 64, python, figures);
  BenchGeneral<double>(1, 256, python, figures);
  BenchGeneral<float>(1, 256, python, figures);
  BenchGeneral<double>(1, 1024, python, figures);
  BenchGeneral<float>(1, 1024, python, figures);
  for (int64_t n : {256, 512, 1024}) BenchProducts(n, figures);
  BenchGenerator<double>(512, figures);
  BenchGenerator<float>(512, figures);
  BenchGeneratorTimes(256, figures);
}

}  // namespace attend::bench
