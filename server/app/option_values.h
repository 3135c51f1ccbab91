// How the text of one option becomes a value. Each function returns the normalized text, or INVALID_ARGUMENT with what
// came and what is allowed. Thread-safe.
#ifndef ATTEND_SERVER_APP_OPTION_VALUES_H_
#define ATTEND_SERVER_APP_OPTION_VALUES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attend::app {

// "64MiB", "64 mb", "64M" (all binary: 64 * 2^20) or plain bytes, to a decimal number of bytes.
absl::StatusOr<std::string> BytesValue(absl::string_view text, uint64_t least, uint64_t most);

// 268435456 -> "256MiB": the largest unit that leaves a whole number.
std::string BytesText(uint64_t bytes);

absl::StatusOr<std::string> WholeNumberValue(absl::string_view text, int least, int most);

// A finite number of seconds, fractions allowed.
absl::StatusOr<std::string> SecondsValue(absl::string_view text, double most);

// To "true" or "false".
absl::StatusOr<std::string> BoolValue(absl::string_view text);

// HOST:PORT; looks no name up.
absl::StatusOr<std::string> AddressValue(absl::string_view text);

// HOST:PORT, or unix:PATH (unix:///PATH becomes that) for a Unix domain socket; PATH may be relative.
absl::StatusOr<std::string> ListenValue(absl::string_view text);

// A file mode in octal, from 0 to 777, to a decimal number.
absl::StatusOr<std::string> FileModeValue(absl::string_view text);

// HOST:PORT, or "off" or nothing, which become "".
absl::StatusOr<std::string> OptionalAddressValue(absl::string_view text);

absl::StatusOr<std::string> LogLevelValue(absl::string_view text);

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_OPTION_VALUES_H_
