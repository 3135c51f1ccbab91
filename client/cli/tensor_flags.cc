#include "client/cli/tensor_flags.h"

#include "absl/strings/str_join.h"
#include "client/lib/tensor.h"

namespace attend::cli {

CLI::Option* AddChoice(CLI::App& app, const std::string& name, std::string& value,
                       const std::vector<std::string>& choices, const std::string& help) {
  // The validator's own description would print the choices a second time.
  return app.add_option(name, value, help)
      ->type_name(absl::StrJoin(choices, "|"))
      ->check(CLI::IsMember(choices).description(""));
}

void InputTypeFlag::Declare(CLI::App& app, const std::string& group) {
  AddChoice(app, "--as", name_, {"float32", "float64", "bfloat16", "float16"}, "Convert floating inputs before sending")
      ->group(group);
}

std::optional<v1::DataType> InputTypeFlag::dtype() const {
  absl::StatusOr<v1::DataType> dtype = client::ParseDataType(name_);
  return dtype.ok() ? std::optional<v1::DataType>(*dtype) : std::nullopt;
}

}  // namespace attend::cli
