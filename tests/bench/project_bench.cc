#include "tests/bench/project_bench.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/compute/project/algebra.h"
#include "server/compute/project/low_rank.h"
#include "server/compute/project/project.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/machine.h"
#include "tests/bench/timing.h"

namespace attend::bench {
namespace {

constexpr double kSecondsEach = 2;

void Require(const absl::Status& status) {
  if (!status.ok()) std::abort();
}

// outputs[i] = x w[i]: `count` weights of [d, e].
void BenchLinear(int64_t rows, int64_t d, int64_t e, int count, Figures& figures) {
  const std::vector<float> x = RandomValues(static_cast<size_t>(rows * d), 1);
  std::vector<std::vector<float>> w, outputs;
  compute::LinearProblem<float> problem{x.data(), rows, d, {}};
  std::vector<float*> to;
  w.reserve(static_cast<size_t>(count));
  outputs.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    w.push_back(RandomValues(static_cast<size_t>(d * e), 2 + static_cast<uint32_t>(i)));
    outputs.emplace_back(static_cast<size_t>(rows * e));
    problem.weights.push_back({w.back().data(), nullptr, e});
    to.push_back(outputs.back().data());
  }
  runtime::ComputePool one(1);
  runtime::BufferPool buffers;
  SgemmPeak peak;
  const auto run = [&] {
    RunAsCall(one,
              [&](runtime::Executor& executor) { Require(compute::LinearProjection(executor, buffers, problem, to)); });
  };
  const int repetitions = RepetitionsFor(kSecondsEach, run);
  const auto medians = MedianSecondsInTurns(std::min(repetitions, 40), {run, [&] { peak.Run(); }});
  figures.Add(absl::StrCat("project.linear.", rows, "x", d, "x", e, "x", count, ".1t.share_of_peak"),
              compute::LinearFlops(problem) / medians[0] / peak.flops_per_second(), "ratio");
}

template <typename T>
void BenchGenerator(int64_t n, Figures& figures) {
  const std::vector<float> values = RandomValues(static_cast<size_t>(n * n), 1);
  const std::vector<T> m(values.begin(), values.end());
  std::vector<T> output(m.size());
  std::vector<compute::AlgebraReport> reports;
  runtime::ComputePool one(1);
  runtime::BufferPool buffers;
  const auto run = [&] {
    RunAsCall(one, [&](runtime::Executor& executor) {
      const compute::AlgebraProblem<T> problem{compute::AlgebraTarget::kGenerator, 1, n, m.data()};
      Require(compute::AlgebraProjection(executor, buffers, problem, output.data(), reports));
    });
  };
  const auto copy = [&] { std::memcpy(output.data(), m.data(), m.size() * sizeof(T)); };
  const auto medians = MedianSecondsInTurns(RepetitionsFor(kSecondsEach, run), {run, copy});
  const std::string name = absl::StrCat("algebra.generator.f", 8 * sizeof(T), ".n", n, ".1t");
  figures.Add(absl::StrCat(name, ".ms"), medians[0] * 1e3, "ms");
  figures.Add(absl::StrCat(name, ".over_copy"), medians[0] / medians[1], "ratio");
}

// Normal numbers plus, with `decay` below 1, forty directions that stand out of them.
std::vector<double> LowRankMatrix(int64_t n, double decay) {
  constexpr int64_t kDirections = 40;
  const auto noise = RandomValues(static_cast<size_t>(n * n), 1);
  std::vector<double> a(noise.begin(), noise.end());
  if (decay == 1) return a;
  const auto left = RandomValues(static_cast<size_t>(n * kDirections), 2);
  const auto right = RandomValues(static_cast<size_t>(n * kDirections), 3);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double x = 0;
      for (int64_t k = 0; k < kDirections; ++k) {
        x += std::pow(decay, static_cast<double>(k)) * left[i * kDirections + k] * right[j * kDirections + k];
      }
      a[i * n + j] = 1e-3 * a[i * n + j] + x;
    }
  }
  return a;
}

template <typename T>
void BenchOneLowRank(int64_t n, int64_t rank, double decay, Figures& figures) {
  const std::vector<double> values = LowRankMatrix(n, decay);
  const std::vector<T> a(values.begin(), values.end());
  runtime::ComputePool one(1);
  runtime::BufferPool buffers;
  compute::LowRankResult result;
  const auto run = [&] {
    RunAsCall(one, [&](runtime::Executor& executor) {
      const compute::LowRankProblem<T> problem{1, n, n, a.data(), rank, 1};
      Require(compute::LowRankProjection(executor, buffers, problem, result));
    });
  };
  std::vector<double> times;
  const int repetitions = std::min(20, RepetitionsFor(kSecondsEach, run));
  for (int i = 0; i < repetitions; ++i) times.push_back(Seconds(run));
  const std::string name =
      absl::StrCat("low_rank.", decay == 1 ? "flat" : "decaying", ".f", 8 * sizeof(T), ".n", n, "r", rank, ".1t");
  figures.Add(name + ".ms", Median(std::move(times)) * 1e3, "ms");
  figures.Add(name + ".distance_over_best", result.reports[0].distance_over_best, "ratio");
}

}  // namespace

void BenchProject(Figures& figures) {
  for (int64_t d : {512, 768, 1024}) BenchLinear(1024, d, d, 3, figures);
  BenchLinear(1024, 768, 64, 3, figures);
  BenchLinear(64, 768, 768, 3, figures);
  for (int64_t n : {64, 1024}) BenchGenerator<double>(n, figures);
  BenchGenerator<float>(1024, figures);
}

void BenchLowRank(Figures& figures) {
  for (int64_t rank : {16, 512}) BenchOneLowRank<double>(512, rank, 1, figures);
  for (double decay : {0.9, 1.0}) BenchOneLowRank<double>(2048, 16, decay, figures);
  BenchOneLowRank<float>(2048, 16, 1, figures);
}

}  // namespace attend::bench
