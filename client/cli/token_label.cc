#include "client/cli/token_label.h"

#include <utility>

#include <fmt/format.h>

#include "absl/strings/ascii.h"

namespace attend::cli {
namespace {

constexpr std::pair<char, const char*> kNames[] = {
    {'.', "full stop"},   {',', "comma"}, {'\'', "apostrophe"}, {'"', "quote"},  {'?', "question"},
    {'!', "exclamation"}, {':', "colon"}, {';', "semicolon"},   {'-', "hyphen"},
};

}  // namespace

std::string TokenLabel(const std::string& token) {
  if (token.size() != 1 || !absl::ascii_ispunct(static_cast<unsigned char>(token[0]))) return token;
  for (const auto& [mark, name] : kNames) {
    if (token[0] == mark) return name;
  }
  return fmt::format("\u2039{}\u203a", token);
}

}  // namespace attend::cli
