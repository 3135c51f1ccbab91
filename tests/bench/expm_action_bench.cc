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
class ActionSetup {
 public:
  ActionSetup(const std::vector<double>& a, const std::vector<double>& b) : out_(b.size()) {
    problem_.batch = 1;
    problem_.n = kSize;
    problem_.a = a.data();
    problem_.times = {1.0};
    problem_.p = kColumns;
    problem_.apply_to = b.data();
    result_.result = out_.data();
  }

  void Run() {
    runtime::InlineExecutor executor(cancellation_);
    if (!compute::MatrixExp(executor, pool_, problem_, result_).ok()) std::abort();
  }

 private:
  std::vector<double> out_;
  runtime::Cancellation cancellation_;
  runtime::BufferPool pool_;
  compute::MatrixExpProblem<double> problem_;
  compute::MatrixExpResult<double> result_;
};

std::vector<double> Columns(double lowest) {
  std::mt19937 random(2);
  std::uniform_real_distribution<double> uniform(lowest, 1);
  std::vector<double> b(static_cast<size_t>(kSize * kColumns));
  for (double& x : b) x = uniform(random);
  return b;
}

void BenchAction(const std::string& kind, const std::vector<double>& a, const std::vector<double>& b,
                 PythonPeer& python, Figures& figures) {
  ActionSetup setup(a, b);
  python.Load(1, kSize, a);
  python.LoadVectors(kColumns, b);
  const bool has_scipy = python.Run("multiply").has_value();
  setup.Run();
  std::vector<double> ours, scipy;
  for (int i = 0; i < kRepetitions; ++i) {
    ours.push_back(ThreadSeconds([&] { setup.Run(); }));
    if (has_scipy) scipy.push_back(*python.Run("multiply"));
  }
  const std::string name = absl::StrCat("expm.action.", kind, "n", kSize, "p", kColumns, ".1t");
  figures.Add(absl::StrCat(name, ".ms"), Median(ours) * 1e3, "ms");
  if (has_scipy) figures.Add(absl::StrCat(name, ".vs_scipy"), Median(scipy) / Median(ours), "ratio");
  if (!has_scipy) std::printf("%s: no python3-scipy to compare with\n", name.c_str());
}

// Brings |a|_1 to `norm`.
std::vector<double> OfNormOne(std::vector<double> a, double norm) {
  double largest = 0;
  for (int64_t j = 0; j < kSize; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < kSize; ++i) sum += std::fabs(a[static_cast<size_t>(i * kSize + j)]);
    largest = std::max(largest, sum);
  }
  for (double& x : a) x *= norm / largest;
  return a;
}

}  // namespace

void BenchExpmAction(Figures& figures) {
  PythonPeer python;
  const std::vector<double> general = NormalMatrices<double>(1, kSize);
  BenchAction("", OfNormOne(general, 3), Columns(-1), python, figures);
  BenchAction("norm30.", OfNormOne(general, 30), Columns(-1), python, figures);
  const std::vector<double> generator = RandomGenerator<double>(kSize);
  BenchAction("generator.", generator, Columns(-1), python, figures);
  BenchAction("generator.positive.", generator, Columns(0), python, figures);
}

}  // namespace attend::bench
