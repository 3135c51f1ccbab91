// The golden cases of this folder, as tests read them. Both functions end the test program with a message on stderr
// where a file or a tensor is not as README.md describes it: nothing can be tested without it.
#ifndef ATTEND_TESTS_GOLDEN_GOLDEN_H_
#define ATTEND_TESTS_GOLDEN_GOLDEN_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace attend::golden {

struct GoldenTensor {
  std::vector<int64_t> shape;
  std::vector<double> data;  // row-major, the product of `shape` elements
};

// The file of that name in tests/golden, such as "attention.json".
nlohmann::json LoadGolden(const std::string& file);

// {"shape": [...], "data": [...]}; the strings "-inf", "inf" and "nan" stand for what JSON has no number for.
GoldenTensor ParseTensor(const nlohmann::json& tensor);

}  // namespace attend::golden

#endif  // ATTEND_TESTS_GOLDEN_GOLDEN_H_
