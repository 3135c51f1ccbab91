// Replies and errors, as lines for people and as JSON. Pure functions, thread-safe.
#ifndef ATTEND_CLIENT_CLI_REPORT_H_
#define ATTEND_CLIENT_CLI_REPORT_H_

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "attend/v1/attend.pb.h"

namespace attend::cli {

// "410 us", "3.2 ms", "1.25 s": three significant digits.
std::string DurationText(double seconds);
// "812 B", "4.2 MiB".
std::string BytesText(double bytes);

// One line with a newline: "server: waited 12 us, decoded 80 us, computed 410 us (12.3 GFLOP/s), held 4.2 MiB; ...".
// `round_trip_seconds` is what the client saw.
std::string StatsLine(const v1::CallStats& stats, double round_trip_seconds);
nlohmann::ordered_json StatsJson(const v1::CallStats& stats, double round_trip_seconds);

// One line: "weights   [4, 14, 14] float32 -> w.npy". An empty path: not written.
std::string TensorLine(absl::string_view name, const v1::Tensor& tensor, const std::string& path);
// {"shape": [...], "dtype": "float32", "file": "w.npy"}; "file" is null without a path.
nlohmann::ordered_json TensorJson(const v1::Tensor& tensor, const std::string& path);

// Code, message and the server's details, one finding per line.
std::string ErrorText(const absl::Status& status);
nlohmann::ordered_json ErrorJson(const absl::Status& status, int exit_code);

// "generator" for STRUCTURE_GENERATOR.
std::string StructureName(v1::Structure structure);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_REPORT_H_
