#include "client/cli/lie_report.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"

namespace attend::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostLines = 20;

// "not_embeddable" for EMBEDDABILITY_NOT_EMBEDDABLE.
std::string LowerName(const std::string& name, const std::string& prefix) {
  return absl::AsciiStrToLower(name.substr(std::min(name.size(), prefix.size())));
}

std::string VerdictName(v1::Embeddability verdict) {
  return LowerName(v1::Embeddability_Name(verdict), "EMBEDDABILITY_");
}

std::string Table(const std::string& header, int count, const std::function<std::string(int)>& line) {
  std::string table = header + "\n";
  for (int i = 0; i < std::min(count, kMostLines); ++i) {
    table += std::string(absl::StripTrailingAsciiWhitespace(line(i))) + "\n";
  }
  if (count > kMostLines) table += fmt::format("  ... and {} more (--json prints all)\n", count - kMostLines);
  return table;
}

std::string ChainHeader() {
  return fmt::format("{:>5} {:<10} {:>7} {:>6} {:>9} {:>9} {:<16} {:>9}", "#", "stochastic", "classes", "period",
                     "|lambda2|", "gap", "mixes in", "|piS-pi|");
}

std::string ChainCells(int index, const v1::ChainDiagnostics& chain) {
  if (!chain.stochastic()) {
    return fmt::format("{:>5} {:<10} |row sum - 1| {:.1e}, least entry {:.1e}", index, "no", chain.row_sum_error(),
                       chain.min_entry());
  }
  const std::string modulus = chain.has_second_modulus() ? fmt::format("{:.6f}", chain.second_modulus()) : "-";
  return fmt::format("{:>5} {:<10} {:>7} {:>6} {:>9} {:>9} {:<16} {:>9.1e}", index, "yes", chain.closed_classes(),
                     chain.period(), modulus, GapText(chain), MixingText(chain), chain.stationary_residual());
}

template <typename Diagnostics>
std::string GapNote(const Diagnostics& diagnostics) {
  const auto doubted = std::find_if(diagnostics.begin(), diagnostics.end(),
                                    [](const auto& each) { return each.chain().spectral_gap_uncertain(); });
  if (doubted == diagnostics.end()) return "";
  return fmt::format("  ?: the gap is not known to 1%; it may be off by {:.1e} in the first such line\n",
                     doubted->chain().second_modulus_error());
}

}  // namespace

std::string GapText(const v1::ChainDiagnostics& chain) {
  if (!chain.has_spectral_gap()) return "-";
  return fmt::format("{:.3g}{}", chain.spectral_gap(), chain.spectral_gap_uncertain() ? "?" : "");
}

std::string MixingText(const v1::ChainDiagnostics& chain) {
  switch (chain.mixing()) {
    case v1::MIXING_MIXES:
      return chain.mixing_time() == 1 ? "1 step" : fmt::format("{} steps", chain.mixing_time());
    case v1::MIXING_REDUCIBLE:
      return "never: reducible";
    case v1::MIXING_PERIODIC:
      return "never: periodic";
    case v1::MIXING_BEYOND_LIMIT:
      return "over 2^30 steps";
    default:
      return "unknown";
  }
}

std::string DiagnosticsTable(const v1::MatrixExpResponse& response) {
  const std::string header = ChainHeader() + fmt::format("  {:<9} {:>9} {:>10}", "generator", "least", "distance");
  return Table(header, response.diagnostics_size(),
               [&](int i) {
                 const v1::GeneratorDiagnostics& generator = response.diagnostics(i).generator();
                 return ChainCells(i, response.diagnostics(i).chain()) +
                        fmt::format("  {:<9} {:>9.1e} {:>10.3g}", generator.is_generator() ? "yes" : "no",
                                    generator.min_off_diagonal(), generator.distance());
               }) +
         GapNote(response.diagnostics());
}

std::string DiagnosticsTable(const v1::AttentionResponse& response) {
  const bool compares = response.diagnostics_size() > 0 && response.diagnostics(0).has_softmax_max_difference();
  const std::string header = ChainHeader() + (compares ? "  |softmax - S| max, mean" : "");
  return Table(header, response.diagnostics_size(),
               [&](int i) {
                 const v1::AttentionDiagnostics& diagnostics = response.diagnostics(i);
                 std::string line = ChainCells(i, diagnostics.chain());
                 if (compares) {
                   line += fmt::format("  {:.4f}, {:.4f}", diagnostics.softmax_max_difference(),
                                       diagnostics.softmax_mean_difference());
                 }
                 return line;
               }) +
         GapNote(response.diagnostics());
}

std::string LogTable(const v1::MatrixLogResponse& response) {
  const std::string header = fmt::format("{:>5} {:<14} {:>10} {:>5} {:>6} {:>9} {:>10} {:>13}  {}", "#", "verdict",
                                         "norm1", "roots", "degree", "residual", "distance", "|exp(Q)-A|", "why");
  return Table(header, response.reports_size(), [&](int i) {
    const v1::MatrixLogReport& report = response.reports(i);
    if (!report.exists()) {
      return fmt::format("{:>5} {:<14} no real logarithm: {}\n{:>5} {}", i, VerdictName(report.verdict()),
                         report.obstacle(), "", report.reason());
    }
    return fmt::format("{:>5} {:<14} {:>10.3e} {:>5} {:>6} {:>9.1e} {:>10.3g} {:>13.1e}  {}", i,
                       VerdictName(report.verdict()), report.norm1(), report.square_roots(), report.degree(),
                       report.residual(), report.generator().distance(), report.nearest_error(), report.reason());
  });
}

Json GeneratorJson(const v1::GeneratorDiagnostics& generator) {
  return {{"is_generator", generator.is_generator()},
          {"min_off_diagonal", generator.min_off_diagonal()},
          {"max_row_sum", generator.max_row_sum()},
          {"distance", generator.distance()}};
}

Json ChainJson(const v1::ChainDiagnostics& chain) {
  Json json = {
      {"stochastic", chain.stochastic()}, {"min_entry", chain.min_entry()}, {"row_sum_error", chain.row_sum_error()}};
  if (!chain.stochastic()) return json;
  Json eigenvalues = Json::array();
  for (int i = 0; i < chain.eigenvalues_real_size(); ++i) {
    eigenvalues.push_back({chain.eigenvalues_real(i), chain.eigenvalues_imaginary(i)});
  }
  json["closed_classes"] = chain.closed_classes();
  json["period"] = chain.period();
  json["stationary"] = std::vector<double>(chain.stationary().begin(), chain.stationary().end());
  json["stationary_residual"] = chain.stationary_residual();
  json["eigenvalues"] = eigenvalues;
  json["second_modulus"] = chain.has_second_modulus() ? Json(chain.second_modulus()) : Json();
  json["second_modulus_residual"] = chain.second_modulus_residual();
  json["spectral_gap"] = chain.has_spectral_gap() ? Json(chain.spectral_gap()) : Json();
  json["second_modulus_error"] = chain.has_second_modulus_error() ? Json(chain.second_modulus_error()) : Json();
  json["spectral_gap_uncertain"] = chain.spectral_gap_uncertain();
  json["mixing"] = LowerName(v1::Mixing_Name(chain.mixing()), "MIXING_");
  json["mixing_time"] = chain.has_mixing_time() ? Json(chain.mixing_time()) : Json();
  return json;
}

Json DiagnosticsJson(const v1::MatrixExpResponse& response) {
  Json list = Json::array();
  for (const v1::MatrixExpDiagnostics& diagnostics : response.diagnostics()) {
    list.push_back({{"generator", GeneratorJson(diagnostics.generator())}, {"chain", ChainJson(diagnostics.chain())}});
  }
  return list;
}

Json DiagnosticsJson(const v1::AttentionResponse& response) {
  Json list = Json::array();
  for (const v1::AttentionDiagnostics& diagnostics : response.diagnostics()) {
    Json json = {{"chain", ChainJson(diagnostics.chain())}};
    if (diagnostics.has_softmax_max_difference()) {
      json["softmax_max_difference"] = diagnostics.softmax_max_difference();
      json["softmax_mean_difference"] = diagnostics.softmax_mean_difference();
      json["softmax_max_total_variation"] = diagnostics.softmax_max_total_variation();
    }
    list.push_back(json);
  }
  return list;
}

Json LogJson(const v1::MatrixLogResponse& response) {
  Json list = Json::array();
  for (const v1::MatrixLogReport& report : response.reports()) {
    list.push_back({{"exists", report.exists()},
                    {"obstacle", report.obstacle()},
                    {"verdict", VerdictName(report.verdict())},
                    {"reason", report.reason()},
                    {"tolerance", report.tolerance()},
                    {"norm1", report.norm1()},
                    {"square_roots", report.square_roots()},
                    {"degree", report.degree()},
                    {"residual", report.residual()},
                    {"generator", GeneratorJson(report.generator())},
                    {"nearest_error", report.nearest_error()}});
  }
  return list;
}

}  // namespace attend::cli
