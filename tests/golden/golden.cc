#include "tests/golden/golden.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <limits>

namespace attend::golden {
namespace {

[[noreturn]] void Fail(const std::string& message) {
  std::cerr << "golden: " << message << std::endl;
  std::abort();
}

double ParseNumber(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  Fail("not a number: " + value.dump());
}

}  // namespace

nlohmann::json LoadGolden(const std::string& file) {
  const std::string path = std::string(ATTEND_SOURCE_DIR) + "/tests/golden/" + file;
  std::ifstream in(path);
  if (!in) Fail("cannot open " + path);
  nlohmann::json parsed = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) Fail("not JSON: " + path);
  return parsed;
}

GoldenTensor ParseTensor(const nlohmann::json& tensor) {
  GoldenTensor result;
  int64_t elements = 1;
  for (const auto& dim : tensor.at("shape")) {
    result.shape.push_back(dim.get<int64_t>());
    elements *= result.shape.back();
  }
  for (const auto& value : tensor.at("data")) result.data.push_back(ParseNumber(value));
  if (static_cast<int64_t>(result.data.size()) != elements) {
    Fail("a tensor holds " + std::to_string(result.data.size()) + " numbers, its shape " + std::to_string(elements));
  }
  return result;
}

}  // namespace attend::golden
