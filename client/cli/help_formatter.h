// How --help looks: flag and its type on the left, words, default and environment variable on the right.
#ifndef ATTEND_CLIENT_CLI_HELP_FORMATTER_H_
#define ATTEND_CLIENT_CLI_HELP_FORMATTER_H_

#include <string>

#include <CLI/CLI.hpp>

namespace attend::cli {

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(32); }

  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_HELP_FORMATTER_H_
