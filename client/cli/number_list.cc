#include "client/cli/number_list.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace attend::cli {
namespace {

template <typename Number, typename Parse>
absl::StatusOr<std::vector<Number>> ParseParts(absl::string_view text, Parse parse, const char* expected) {
  std::vector<Number> numbers;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    if (!parse(part, &numbers.emplace_back())) {
      return absl::InvalidArgumentError(absl::StrCat("got \"", text, "\", expected ", expected));
    }
  }
  return numbers;
}

// CLI11 drops empty parts of a list that it splits itself, so it is given the whole text.
void Append(const std::string& name, const std::string& text, double least, std::vector<double>& values) {
  const absl::StatusOr<std::vector<double>> numbers = ParseNumbers(text);
  if (!numbers.ok()) throw CLI::ValidationError(name, std::string(numbers.status().message()));
  const bool bounded = least > -std::numeric_limits<double>::infinity();
  if (bounded && !std::all_of(numbers->begin(), numbers->end(), [least](double x) { return x >= least; })) {
    throw CLI::ValidationError(name, absl::StrCat("got \"", text, "\", expected numbers of at least ", least));
  }
  values.insert(values.end(), numbers->begin(), numbers->end());
}

}  // namespace

absl::StatusOr<std::vector<double>> ParseNumbers(absl::string_view text) {
  const auto parse = [](absl::string_view part, double* number) { return absl::SimpleAtod(part, number); };
  return ParseParts<double>(text, parse, "numbers, such as 0.1,1,2");
}

absl::StatusOr<std::vector<int64_t>> ParseWholeNumbers(absl::string_view text) {
  const auto parse = [](absl::string_view part, int64_t* number) { return absl::SimpleAtoi(part, number); };
  return ParseParts<int64_t>(text, parse, "whole numbers, such as 3,5");
}

CLI::Option* AddNumbers(CLI::App& app, const std::string& name, std::vector<double>& values, const std::string& help,
                        double least) {
  const CLI::callback_t take = [name, &values, least](const CLI::results_t& texts) {
    values.clear();
    for (const std::string& text : texts) Append(name, text, least, values);
    return true;
  };
  return app.add_option(name, take, help)
      ->type_name("LIST")
      ->default_str(absl::StrJoin(values, ","))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace attend::cli
