#include "tests/bench/figures.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

namespace attend::bench {
namespace {

nlohmann::ordered_json OldFigures(const std::string& path) {
  std::ifstream in(path);
  const auto report = nlohmann::ordered_json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!report.is_object() || !report.contains("figures") || !report["figures"].is_array()) {
    return nlohmann::ordered_json::array();
  }
  return report["figures"];
}

}  // namespace

void Figures::Add(const std::string& name, double value, const std::string& unit) {
  figures_.push_back({name, value, unit});
  std::printf("%-58s %10.4g %s\n", name.c_str(), value, unit.c_str());
  std::fflush(stdout);
}

bool Figures::WriteTo(const std::string& path) const {
  auto figures = nlohmann::ordered_json::array();
  for (const auto& old : OldFigures(path)) {
    const std::string name = old.value("name", "");
    const bool measured_again =
        std::any_of(figures_.begin(), figures_.end(), [&](const Figure& figure) { return figure.name == name; });
    if (!measured_again) figures.push_back(old);
  }
  for (const Figure& figure : figures_) {
    figures.push_back({{"name", figure.name}, {"value", figure.value}, {"unit", figure.unit}});
  }
  std::ofstream out(path);
  out << nlohmann::ordered_json{{"figures", figures}}.dump(1) << "\n";
  return out.good();
}

}  // namespace attend::bench
