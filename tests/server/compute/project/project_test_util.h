// What the tests of projections share: numbers to feed them, and the golden cases.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_PROJECT_PROJECT_TEST_UTIL_H_
#define ATTEND_TESTS_SERVER_COMPUTE_PROJECT_PROJECT_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/golden/golden.h"

namespace attend::compute {

template <typename T>
std::vector<T> NormalValues(int64_t count, uint32_t seed, double scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) value = static_cast<T>(scale * normal(random));
  return values;
}

// The projection in expm_project.json whose name begins so.
inline nlohmann::json GoldenProjection(const std::string& name) {
  const nlohmann::json cases = golden::LoadGolden("expm_project.json");
  for (const auto& c : cases["project"]) {
    if (c["name"].get<std::string>().rfind(name, 0) == 0) return c;
  }
  ADD_FAILURE() << "no case " << name;
  return {};
}

template <typename T>
std::vector<T> As(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_PROJECT_PROJECT_TEST_UTIL_H_
