#include "client/cli/npy_header.h"

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace attend::cli {
namespace {

// Reads a literal from left to right. Each function consumes what it names and returns false, having consumed an
// unspecified part, where something else stands there.
class Literal {
 public:
  explicit Literal(absl::string_view text) : rest_(text) {}

  bool Character(char wanted) {
    SkipSpace();
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool String(std::string& value) {
    SkipSpace();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return false;
    const size_t end = rest_.find(rest_.front(), 1);
    if (end == absl::string_view::npos) return false;
    value = std::string(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return true;
  }

  bool Boolean(bool& value) {
    SkipSpace();
    for (const bool candidate : {true, false}) {
      const absl::string_view word = candidate ? "True" : "False";
      if (rest_.substr(0, word.size()) != word) continue;
      value = candidate;
      rest_.remove_prefix(word.size());
      return true;
    }
    return false;
  }

  // Python 2 wrote long integers as 5L.
  bool Integer(int64_t& value) {
    SkipSpace();
    size_t digits = 0;
    while (digits < rest_.size() && absl::ascii_isdigit(rest_[digits])) ++digits;
    if (digits == 0 || !absl::SimpleAtoi(rest_.substr(0, digits), &value)) return false;
    rest_.remove_prefix(digits);
    if (!rest_.empty() && rest_.front() == 'L') rest_.remove_prefix(1);
    return true;
  }

  bool Tuple(std::vector<int64_t>& values) {
    values.clear();
    if (!Character('(')) return false;
    while (!Character(')')) {
      int64_t value = 0;
      if (!Integer(value)) return false;
      values.push_back(value);
      if (!Character(',')) return Character(')');
    }
    return true;
  }

  bool AtEnd() {
    SkipSpace();
    return rest_.empty();
  }

 private:
  void SkipSpace() { rest_ = absl::StripLeadingAsciiWhitespace(rest_); }

  absl::string_view rest_;
};

absl::Status ParseEntry(const std::string& key, Literal& literal, NpyDictionary& dictionary) {
  if (key == "descr") {
    if (literal.String(dictionary.descr)) return absl::OkStatus();
    return absl::InvalidArgumentError("the .npy header's descr is not one plain dtype (a record array?)");
  }
  if (key == "fortran_order") {
    if (literal.Boolean(dictionary.fortran_order)) return absl::OkStatus();
    return absl::InvalidArgumentError("the .npy header's fortran_order is neither True nor False");
  }
  if (key == "shape") {
    if (literal.Tuple(dictionary.shape)) return absl::OkStatus();
    return absl::InvalidArgumentError("the .npy header's shape is not a tuple of sizes");
  }
  return absl::InvalidArgumentError(absl::StrCat("the .npy header has an unknown key: ", key));
}

}  // namespace

absl::StatusOr<NpyDictionary> ParseNpyDictionary(absl::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError("the .npy header is not a dictionary");
  Literal literal(text);
  NpyDictionary dictionary;
  std::set<std::string> seen;
  if (!literal.Character('{')) return malformed;
  while (!literal.Character('}')) {
    std::string key;
    if (!literal.String(key) || !literal.Character(':')) return malformed;
    if (absl::Status status = ParseEntry(key, literal, dictionary); !status.ok()) return status;
    seen.insert(key);
    if (literal.Character(',')) continue;
    if (!literal.Character('}')) return malformed;
    break;
  }
  if (!literal.AtEnd()) return malformed;
  if (seen.size() != 3) return absl::InvalidArgumentError("the .npy header lacks descr, fortran_order or shape");
  return dictionary;
}

}  // namespace attend::cli
