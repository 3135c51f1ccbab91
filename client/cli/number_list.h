// Flags that take numbers separated by commas: --times 0.1,1,2, also as --times 0.1 --times 1,2. Not thread-safe.
#ifndef ATTEND_CLIENT_CLI_NUMBER_LIST_H_
#define ATTEND_CLIENT_CLI_NUMBER_LIST_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attend::cli {

// INVALID_ARGUMENT, with what came and what was expected, where a part is no number: an empty part is none.
absl::StatusOr<std::vector<double>> ParseNumbers(absl::string_view text);
absl::StatusOr<std::vector<int64_t>> ParseWholeNumbers(absl::string_view text);

// A flag LIST; `values` hold what stands without it, and must outlive the parsing. Numbers below `least` are refused,
// and so is NaN where there is a least one.
CLI::Option* AddNumbers(CLI::App& app, const std::string& name, std::vector<double>& values, const std::string& help,
                        double least = -std::numeric_limits<double>::infinity());

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_NUMBER_LIST_H_
