#include "client/cli/report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/lib/status.h"
#include "client/lib/tensor.h"

namespace attend::cli {
namespace {

using Json = nlohmann::ordered_json;

// Floating-point operations per second; a call that did next to nothing has no rate worth a number.
constexpr double kWorthNaming = 1e8;

// Three significant digits without an exponent, for numbers in [1, 1000).
std::string ThreeDigits(double number) {
  return fmt::format("{:.{}f}", number, number < 9.995 ? 2 : number < 99.95 ? 1 : 0);
}

double FlopsPerSecond(const v1::CallStats& stats) {
  return stats.compute_seconds() > 0 ? stats.flops() / stats.compute_seconds() : 0;
}

}  // namespace

std::string DurationText(double seconds) {
  if (seconds >= 0.9995) return ThreeDigits(seconds) + " s";
  if (seconds >= 0.9995e-3) return ThreeDigits(seconds * 1e3) + " ms";
  return fmt::format("{:.0f} us", seconds * 1e6);
}

std::string BytesText(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string StatsLine(const v1::CallStats& stats, double round_trip_seconds) {
  std::string line = fmt::format("server: waited {}, decoded {}, computed {}", DurationText(stats.queue_seconds()),
                                 DurationText(stats.decode_seconds()), DurationText(stats.compute_seconds()));
  if (const double rate = FlopsPerSecond(stats); rate >= kWorthNaming)
    line += fmt::format(" ({:.3g} GFLOP/s)", rate / 1e9);
  if (stats.peak_bytes() > 0) line += ", held " + BytesText(static_cast<double>(stats.peak_bytes()));
  return line + fmt::format("; round trip {}\n", DurationText(round_trip_seconds));
}

Json StatsJson(const v1::CallStats& stats, double round_trip_seconds) {
  return {{"queue_seconds", stats.queue_seconds()},     {"decode_seconds", stats.decode_seconds()},
          {"compute_seconds", stats.compute_seconds()}, {"flops", stats.flops()},
          {"peak_bytes", stats.peak_bytes()},           {"round_trip_seconds", round_trip_seconds}};
}

std::string TensorLine(absl::string_view name, const v1::Tensor& tensor, const std::string& path) {
  return fmt::format("{:<9} {} {}{}\n", std::string(name), client::ShapeText(tensor),
                     client::DataTypeName(client::EffectiveDataType(tensor)),
                     path.empty() ? " (not written)" : " -> " + (path == "-" ? "stdout" : path));
}

Json TensorJson(const v1::Tensor& tensor, const std::string& path) {
  return {{"shape", std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end())},
          {"dtype", client::DataTypeName(client::EffectiveDataType(tensor))},
          {"file", path.empty() ? Json(nullptr) : Json(path)}};
}

std::string ErrorText(const absl::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message(), "\n",
                      client::ErrorDetailsText(client::DecodeErrorDetails(status)));
}

Json ErrorJson(const absl::Status& status, int exit_code) {
  const client::ErrorDetails details = client::DecodeErrorDetails(status);
  Json error = {{"code", absl::StatusCodeToString(status.code())}, {"message", std::string(status.message())}};
  error["fields"] = Json::array();
  for (const client::FieldViolation& violation : details.violations) {
    error["fields"].push_back({{"field", violation.field}, {"description", violation.description}});
  }
  if (!details.reason.empty()) error["reason"] = details.reason;
  if (!details.domain.empty()) error["domain"] = details.domain;
  if (!details.metadata.empty()) error["metadata"] = details.metadata;
  if (details.retry_delay.has_value()) error["retry_delay_seconds"] = absl::ToDoubleSeconds(*details.retry_delay);
  return {{"ok", false}, {"exit_code", exit_code}, {"error", error}};
}

std::string StructureName(v1::Structure structure) {
  constexpr absl::string_view kPrefix = "STRUCTURE_";
  const std::string name = v1::Structure_Name(structure);
  return name.empty() ? absl::StrCat("unknown(", static_cast<int>(structure), ")")
                      : absl::AsciiStrToLower(absl::string_view(name).substr(kPrefix.size()));
}

}  // namespace attend::cli
