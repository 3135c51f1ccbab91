#include "client/cli/help_formatter.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace attend::cli {

std::string HelpFormatter::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const {
  // The base class ends one group and begins the next with an empty line each.
  return absl::StrReplaceAll(CLI::Formatter::make_help(app, std::move(name), mode), {{"\n\n\n", "\n\n"}});
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  return option->get_type_size() == 0 ? "" : " " + option->get_type_name();
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  std::string text = option->get_description();
  if (option->get_required()) absl::StrAppend(&text, " [required]");
  if (!option->get_default_str().empty()) absl::StrAppend(&text, " [default ", option->get_default_str(), "]");
  if (!option->get_envname().empty()) absl::StrAppend(&text, " [env ", option->get_envname(), "]");
  return text;
}

}  // namespace attend::cli
