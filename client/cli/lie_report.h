// Chains, generators and logarithms as tables for people and as JSON. Pure functions, thread-safe.
#ifndef ATTEND_CLIENT_CLI_LIE_REPORT_H_
#define ATTEND_CLIENT_CLI_LIE_REPORT_H_

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "attend/v1/attend.pb.h"

namespace attend::cli {

// One line per matrix, and a header; at most 20 lines, and one on gaps that are marked uncertain.
std::string DiagnosticsTable(const v1::MatrixExpResponse& response);
std::string DiagnosticsTable(const v1::AttentionResponse& response);
std::string LogTable(const v1::MatrixLogResponse& response);

nlohmann::ordered_json DiagnosticsJson(const v1::MatrixExpResponse& response);
nlohmann::ordered_json DiagnosticsJson(const v1::AttentionResponse& response);
nlohmann::ordered_json LogJson(const v1::MatrixLogResponse& response);
nlohmann::ordered_json ChainJson(const v1::ChainDiagnostics& chain);
nlohmann::ordered_json GeneratorJson(const v1::GeneratorDiagnostics& generator);

// "0.125", "0.000256?" where it is uncertain, "-" where it is not known.
std::string GapText(const v1::ChainDiagnostics& chain);

// "12 steps", "never: periodic", ...
std::string MixingText(const v1::ChainDiagnostics& chain);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_LIE_REPORT_H_
