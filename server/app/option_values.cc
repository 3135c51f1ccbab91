#include "server/app/option_values.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/logging/logger.h"
#include "server/metrics/host_port.h"

namespace attend::app {
namespace {

struct Unit {
  absl::string_view name;
  int shift;
};
constexpr std::array<Unit, 5> kUnits = {{{"t", 40}, {"g", 30}, {"m", 20}, {"k", 10}, {"", 0}}};

absl::Status Refused(absl::string_view text, absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat("got \"", text, "\"; allowed: ", allowed));
}

// "", "b", "k", "kb", "kib", ...: the power of two, in any case.
std::optional<int> ShiftOf(absl::string_view suffix) {
  const std::string lower = absl::AsciiStrToLower(suffix);
  absl::string_view letter = lower;
  absl::ConsumeSuffix(&letter, "b");
  if (letter.size() == 2) absl::ConsumeSuffix(&letter, "i");
  for (const Unit& unit : kUnits) {
    if (letter == unit.name) return unit.shift;
  }
  return std::nullopt;
}

std::optional<uint64_t> ParseBytes(absl::string_view text) {
  const auto digits_end = std::find_if_not(text.begin(), text.end(), absl::ascii_isdigit);
  const absl::string_view digits = text.substr(0, static_cast<size_t>(digits_end - text.begin()));
  const std::optional<int> shift = ShiftOf(absl::StripLeadingAsciiWhitespace(text.substr(digits.size())));
  uint64_t count;
  if (!shift || !absl::SimpleAtoi(digits, &count)) return std::nullopt;
  if (count > (std::numeric_limits<uint64_t>::max() >> *shift)) return std::nullopt;
  return count << *shift;
}

// What sockaddr_un holds beside its final zero.
constexpr size_t kMostSocketPath = 107;

// gRPC reads the address as a URI, in which some characters mean something else; "//" would begin a host.
bool IsSocketPath(absl::string_view path) {
  const auto plain = [](unsigned char c) { return absl::ascii_isgraph(c) && !absl::StrContains(",%?#", c); };
  return !path.empty() && path.size() <= kMostSocketPath && !absl::StartsWith(path, "//") &&
         std::all_of(path.begin(), path.end(), plain);
}

}  // namespace

absl::StatusOr<std::string> BytesValue(absl::string_view text, uint64_t least, uint64_t most) {
  const std::optional<uint64_t> bytes = ParseBytes(absl::StripAsciiWhitespace(text));
  if (bytes && *bytes >= least && *bytes <= most) return absl::StrCat(*bytes);
  return Refused(text,
                 absl::StrCat("bytes, such as 1048576 or 64MiB, from ", BytesText(least), " to ", BytesText(most)));
}

std::string BytesText(uint64_t bytes) {
  for (const Unit& unit : kUnits) {
    const bool whole = unit.shift > 0 && bytes > 0 && bytes % (uint64_t{1} << unit.shift) == 0;
    if (whole) return absl::StrCat(bytes >> unit.shift, absl::AsciiStrToUpper(unit.name), "iB");
  }
  return absl::StrCat(bytes);
}

absl::StatusOr<std::string> WholeNumberValue(absl::string_view text, int least, int most) {
  int value;
  if (absl::SimpleAtoi(text, &value) && value >= least && value <= most) return absl::StrCat(value);
  return Refused(text, absl::StrCat("a whole number from ", least, " to ", most));
}

absl::StatusOr<std::string> SecondsValue(absl::string_view text, double most) {
  double value;
  if (absl::SimpleAtod(text, &value) && value >= 0 && value <= most) {
    return std::string(absl::StripAsciiWhitespace(text));
  }
  return Refused(text, absl::StrCat("seconds from 0 to ", most));
}

absl::StatusOr<std::string> BoolValue(absl::string_view text) {
  bool value;
  if (absl::SimpleAtob(absl::StripAsciiWhitespace(text), &value)) return std::string(value ? "true" : "false");
  if (absl::EqualsIgnoreCase(text, "on")) return std::string("true");
  if (absl::EqualsIgnoreCase(text, "off")) return std::string("false");
  return Refused(text, "true or false");
}

absl::StatusOr<std::string> AddressValue(absl::string_view text) {
  const absl::StatusOr<metrics::HostPort> parsed = metrics::ParseHostPort(text);
  if (!parsed.ok()) return parsed.status();
  return std::string(text);
}

absl::StatusOr<std::string> ListenValue(absl::string_view text) {
  constexpr absl::string_view kScheme = "unix:";
  absl::string_view path = text;
  if (!absl::ConsumePrefix(&path, kScheme)) {
    const absl::StatusOr<std::string> address = AddressValue(text);
    if (address.ok()) return address;
    return absl::InvalidArgumentError(absl::StrCat(address.status().message(), "; or unix:PATH"));
  }
  if (absl::StartsWith(path, "///")) path.remove_prefix(2);
  if (IsSocketPath(path)) return absl::StrCat(kScheme, path);
  return Refused(text, absl::StrCat("unix:PATH with a path of at most ", kMostSocketPath,
                                    " bytes, without spaces, commas, %, ? and #"));
}

absl::StatusOr<std::string> FileModeValue(absl::string_view text) {
  constexpr int kAllBits = 0777;
  constexpr size_t kMostDigits = 4;  // "0660"
  const bool octal = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '7'; });
  if (octal && !text.empty() && text.size() <= kMostDigits) {
    int mode = 0;
    for (const char digit : text) mode = mode * 8 + (digit - '0');
    if (mode <= kAllBits) return absl::StrCat(mode);
  }
  return Refused(text, "a file mode in octal, from 0 to 777, such as 660");
}

absl::StatusOr<std::string> OptionalAddressValue(absl::string_view text) {
  if (text.empty() || text == "off") return std::string();
  const absl::StatusOr<std::string> address = AddressValue(text);
  if (address.ok()) return address;
  return absl::InvalidArgumentError(absl::StrCat(address.status().message(), "; or off"));
}

absl::StatusOr<std::string> LogLevelValue(absl::string_view text) {
  if (logging::ParseLevel(text).has_value()) return std::string(text);
  return Refused(text, "trace, debug, info, warn, error or off");
}

}  // namespace attend::app
