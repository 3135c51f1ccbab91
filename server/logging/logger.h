// What operators read: one line per event in logfmt, such as
//
//   ts=2026-01-31T12:34:56.789Z level=warn msg="call failed" method=Attention code=INVALID_ARGUMENT detail="got \"x\""
//
// Whatever bytes a value holds, an event stays one line of printable ASCII: values with anything but plain characters
// are quoted, with \" \\ \n \r \t and \xNN (one byte) in them. Values longer than kMaxValueBytes are cut and end in
// "...". Thread-safe; there is no global logger.
#ifndef ATTEND_SERVER_LOGGING_LOGGER_H_
#define ATTEND_SERVER_LOGGING_LOGGER_H_

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace attend::logging {

inline constexpr size_t kMaxValueBytes = 4096;

enum class Level { kTrace, kDebug, kInfo, kWarn, kError, kOff };

// Takes "trace", "debug", "info", "warn", "error" and "off".
std::optional<Level> ParseLevel(absl::string_view name);

// One key=value. Keys are the program's own: other characters than letters, digits, '_' and '.' become '_'.
struct Field {
  Field(absl::string_view k, absl::string_view v) : key(k), value(v) {}
  Field(absl::string_view k, const char* v) : key(k), value(v) {}
  Field(absl::string_view k, const std::string& v) : key(k), value(v) {}
  Field(absl::string_view k, std::same_as<bool> auto v) : key(k), value(v ? "true" : "false") {}
  template <typename Number>
  requires(std::integral<Number> || std::floating_point<Number>) &&
      (!std::same_as<Number, bool>)Field(absl::string_view k, Number v) : key(k),
  value(absl::StrCat(v)) {}

  std::string key;
  std::string value;
};

class Logger {
 public:
  // Writes what is at or above `level` to `out`, which outlives the logger.
  explicit Logger(Level level, std::FILE* out = stderr);
  ~Logger();

  // For callers that would do work to find out what to say.
  bool Enabled(Level level) const;

  using Fields = std::initializer_list<Field>;
  void Log(Level level, absl::string_view message, Fields fields = {});
  void Trace(absl::string_view message, Fields fields = {}) { Log(Level::kTrace, message, fields); }
  void Debug(absl::string_view message, Fields fields = {}) { Log(Level::kDebug, message, fields); }
  void Info(absl::string_view message, Fields fields = {}) { Log(Level::kInfo, message, fields); }
  void Warn(absl::string_view message, Fields fields = {}) { Log(Level::kWarn, message, fields); }
  void Error(absl::string_view message, Fields fields = {}) { Log(Level::kError, message, fields); }

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attend::logging

#endif  // ATTEND_SERVER_LOGGING_LOGGER_H_
