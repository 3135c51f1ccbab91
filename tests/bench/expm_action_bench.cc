#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "tests/bench/expm_bench.h"
#include "tests/bench/expm_matrices.h"
#include "tests/bench/python_peer.h"
#include "tests/bench/timing.h"

namespace attend::bench {
namespace {

constexpr int64_t kSize = 1024;
constexpr int64_t kColumns = 64;
constexpr int kRepetitions = 9;

// Our exp(a) b on the calling thread.
template <typename T>
class ActionSetup {
 public:
  ActionSetup(const std::vector<T>& a, const std::vector<T>& b) : out_(b.size()) {
    problem_.batch = 1;
    problem_.n = kSize;
    problem_.a = a.data();
    problem_.times = {1.0};
    problem_.p = static_cast<int64_t>(b.size()) / kSize;
    problem_.apply_to = b.data();
    result_.result = out_.data();
  }

  void Run() {
    runtime::InlineExecutor executor(cancellation_);
    if (!compute::MatrixExp(executor, pool_, problem_, result_).ok()) std::abort();
  }

 private:
  std::vector<T> out_;
  runtime::Cancellation cancellation_;
  runtime::BufferPool pool_;
  compute::MatrixExpProblem<T> problem_;
  compute::MatrixExpResult<T> result_;
};

template <typename T>
std::vector<T> Columns(T lowest, int64_t p = kColumns) {
  std::mt19937 random(2);
  std::uniform_real_distribution<T> uniform(lowest, 1);
  std::vector<T> b(static_cast<size_t>(kSize * p));
  for (T& x : b) x = uniform(random);
  return b;
}

template <typename T>
void BenchAction(const std::string& kind, const std::vector<T>& a, const std::vector<T>& b, PythonPeer& python,
                 Figures& figures) {
  const int64_t p = static_cast<int64_t>(b.size()) / kSize;
  ActionSetup<T> setup(a, b);
  python.Load(1, kSize, a);
  python.LoadVectors(p, b);
  const bool has_scipy = python.Run("multiply").has_value();
  setup.Run();
  std::vector<double> ours, scipy;
  for (int i = 0; i < kRepetitions; ++i) {
    ours.push_back(ThreadSeconds([&] { setup.Run(); }));
    if (has_scipy) scipy.push_back(*python.Run("multiply"));
  }
  const std::string name = absl::StrCat("expm.action.", kind, "n", kSize, "p", p, ".1t");
  figures.Add(absl::StrCat(name, ".ms"), Median(ours) * 1e3, "ms");
  if (has_scipy) figures.Add(absl::StrCat(name, ".vs_scipy"), Median(scipy) / Median(ours), "ratio");
  if (!has_scipy) std::printf("%s: no python3-scipy to compare with\n", name.c_str());
}

template <typename T>
std::vector<T> Times(double factor, std::vector<T> a) {
  for (T& x : a) x = static_cast<T>(static_cast<double>(x) * factor);
  return a;
}

// Brings |a|_1 to `norm`.
template <typename T>
std::vector<T> OfNormOne(const std::vector<T>& a, double norm) {
  double largest = 0;
  for (int64_t j = 0; j < kSize; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < kSize; ++i) sum += std::fabs(static_cast<double>(a[static_cast<size_t>(i * kSize + j)]));
    largest = std::max(largest, sum);
  }
  return Times(norm / largest, a);
}

}  // namespace

void BenchExpmAction(Figures& figures) {
  PythonPeer python;
  const std::vector<double> general = NormalMatrices<double>(1, kSize);  // spectral radius 1
  const std::vector<double> signed_columns = Columns(-1.0);
  BenchAction("", OfNormOne(general, 3), signed_columns, python, figures);
  BenchAction("", OfNormOne(general, 3), Columns(-1.0, 1), python, figures);
  BenchAction("norm30.", OfNormOne(general, 30), signed_columns, python, figures);
  BenchAction("radius3.", Times(3, general), signed_columns, python, figures);
  BenchAction("radius10.", Times(10, general), signed_columns, python, figures);
  const std::vector<float> general_f32 = NormalMatrices<float>(1, kSize);
  BenchAction("f32.", OfNormOne(general_f32, 3), Columns(-1.0f), python, figures);
  BenchAction("f32.", OfNormOne(general_f32, 3), Columns(-1.0f, 1), python, figures);
  BenchAction("f32.radius10.", Times(10, general_f32), Columns(-1.0f), python, figures);
  const std::vector<double> generator = RandomGenerator<double>(kSize);
  BenchAction("generator.", generator, signed_columns, python, figures);
  BenchAction("generator.positive.", generator, Columns(0.0), python, figures);
  BenchAction("generator.rate10.", Times(10, generator), signed_columns, python, figures);
  BenchAction("generator.f32.", RandomGenerator<float>(kSize), Columns(-1.0f), python, figures);
}

}  // namespace attend::bench
