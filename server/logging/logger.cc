#include "server/logging/logger.h"

#include <array>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "spdlog/logger.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/base_sink.h"

namespace attend::logging {
namespace {

constexpr std::array<absl::string_view, 6> kLevelNames = {"trace", "debug", "info", "warn", "error", "off"};

spdlog::level::level_enum SpdlogLevel(Level level) {
  switch (level) {
    case Level::kTrace:
      return spdlog::level::trace;
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
    case Level::kOff:
      break;
  }
  return spdlog::level::off;
}

// One write per line, flushed at once: the last words before a crash matter most.
class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(std::FILE* out) : out_(out) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::fwrite(line.data(), 1, line.size(), out_);
    std::fflush(out_);
  }
  void flush_() override { std::fflush(out_); }

 private:
  std::FILE* const out_;
};

bool IsPlain(char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '"' && c != '\\' && c != '='; }

void AppendQuoted(absl::string_view value, std::string& line) {
  constexpr char kHex[] = "0123456789abcdef";
  line += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line += {'\\', c};
    } else if (c == '\n') {
      line += "\\n";
    } else if (c == '\r') {
      line += "\\r";
    } else if (c == '\t') {
      line += "\\t";
    } else if (absl::ascii_isprint(byte)) {
      line += c;
    } else {
      line += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  line += '"';
}

void AppendValue(absl::string_view value, std::string& line) {
  std::string cut;
  if (value.size() > kMaxValueBytes) {
    cut = absl::StrCat(value.substr(0, kMaxValueBytes), "...");
    value = cut;
  }
  bool plain = !value.empty();
  for (const char c : value) plain = plain && IsPlain(c);
  if (plain) {
    absl::StrAppend(&line, value);
  } else {
    AppendQuoted(value, line);
  }
}

void AppendField(const Field& field, std::string& line) {
  line += ' ';
  if (field.key.empty()) line += '_';
  for (const char c : field.key) {
    const bool allowed = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
    line += allowed ? c : '_';
  }
  line += '=';
  AppendValue(field.value, line);
}

}  // namespace

std::optional<Level> ParseLevel(absl::string_view name) {
  for (size_t level = 0; level < kLevelNames.size(); ++level) {
    if (name == kLevelNames[level]) return static_cast<Level>(level);
  }
  return std::nullopt;
}

class Logger::Impl {
 public:
  Impl(Level level, std::FILE* out) : logger_("attend", std::make_shared<FileSink>(out)) {
    logger_.set_formatter(std::make_unique<spdlog::pattern_formatter>("ts=%Y-%m-%dT%H:%M:%S.%eZ %v",
                                                                      spdlog::pattern_time_type::utc, "\n"));
    logger_.set_level(SpdlogLevel(level));
  }

  spdlog::logger& logger() { return logger_; }

 private:
  spdlog::logger logger_;
};

Logger::Logger(Level level, std::FILE* out) : impl_(std::make_unique<Impl>(level, out)) {}

Logger::~Logger() = default;

bool Logger::Enabled(Level level) const {
  return level != Level::kOff && impl_->logger().should_log(SpdlogLevel(level));
}

void Logger::Log(Level level, absl::string_view message, Fields fields) {
  if (!Enabled(level)) return;
  std::string line = absl::StrCat("level=", kLevelNames[static_cast<size_t>(level)], " msg=");
  AppendValue(message, line);
  for (const Field& field : fields) AppendField(field, line);
  impl_->logger().log(SpdlogLevel(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace attend::logging
