// The figures of one benchmark run, and how they are written. Not thread-safe.
#ifndef ATTEND_TESTS_BENCH_FIGURES_H_
#define ATTEND_TESTS_BENCH_FIGURES_H_

#include <string>
#include <vector>

namespace attend::bench {

struct Figure {
  std::string name;  // "attention.1x8x1024x64.1t.share_of_peak"
  double value = 0;
  std::string unit;  // "ratio", "GFLOP/s", "ms", "MiB"
};

class Figures {
 public:
  // Keeps a figure and prints it.
  void Add(const std::string& name, double value, const std::string& unit);

  // Writes {"figures": [{"name", "value", "unit"}]}. Figures that the file already has and this run did not measure
  // stay. False where the file cannot be written.
  bool WriteTo(const std::string& path) const;

 private:
  std::vector<Figure> figures_;
};

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_FIGURES_H_
