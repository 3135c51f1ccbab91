#include "server/app/options.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "server/app/option_values.h"

namespace attend::app {
namespace {

constexpr const char* kProgram = "attend-server";
constexpr int kBadUsage = 2;
constexpr size_t kHelpColumn = 36;

constexpr int kMaxThreads = 1024;
constexpr uint64_t kLeastMessageBytes = uint64_t{1} << 10;
constexpr uint64_t kMostMessageBytes = std::numeric_limits<int32_t>::max();  // gRPC counts a message's bytes in int
constexpr uint64_t kMostMemoryBytes = uint64_t{1} << 50;
constexpr int kMostCalls = 1000000;
constexpr double kMostGraceSeconds = 86400;

constexpr const char* kFooter =
    "Every flag can also come from the environment (--log_level from ATTEND_LOG_LEVEL) and, all but\n"
    "--config, from the --config file, one `name = value` per line. A flag wins over the environment,\n"
    "the environment over the file, the file over the default.\n"
    "Sizes take the suffixes KiB, MiB, GiB, TiB (K, M, G, T mean the same).\n"
    "\n"
    "Exit codes: 0 after a clean stop, --help and --version; 1 where the server cannot start; 2 for\n"
    "an option that cannot be; 3 where calls had not ended five seconds after the grace.";

std::string EnvironmentName(absl::string_view name) {
  return absl::StrCat("ATTEND_", absl::AsciiStrToUpper(absl::StripPrefix(name, "--")));
}

const char* FromEnvironment(absl::string_view name) {
  const char* value = std::getenv(EnvironmentName(name).c_str());
  return value != nullptr && *value != '\0' ? value : nullptr;
}

// The library lets the file win over the environment: what the environment sets is taken out of the file.
class EnvironmentFirstConfig final : public CLI::ConfigTOML {
 public:
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> read = CLI::ConfigTOML::from_config(input);
    const auto set_elsewhere = [](const CLI::ConfigItem& item) {
      return FromEnvironment(absl::StripPrefix(item.name, "no-")) != nullptr;
    };
    read.erase(std::remove_if(read.begin(), read.end(), set_elsewhere), read.end());
    return read;
  }
};

// The library would print the negative name as "--no-x{false}".
class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kHelpColumn); }

  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    return CLI::detail::find_and_replace(CLI::Formatter::make_option_name(option, is_positional), "{false}", "");
  }
};

using ParseValue = std::function<absl::StatusOr<std::string>(absl::string_view)>;

// What every option has: its place in the help, its variable, and a parser that says what is allowed.
void Describe(CLI::Option* option, absl::string_view name, const std::string& placeholder, ParseValue parse) {
  option->type_name(placeholder)->option_text(placeholder)->envname(EnvironmentName(name))->take_last();
  option->transform(CLI::Validator(
      [parse = std::move(parse)](std::string& text) {
        absl::StatusOr<std::string> value = parse(text);
        if (!value.ok()) return std::string(value.status().message());
        text = *std::move(value);
        return std::string();
      },
      ""));
}

struct Text {
  const char* group;        // a heading of the help
  const char* name;         // "--listen"
  std::string placeholder;  // "HOST:PORT"
  std::string help;         // lines of up to 63 columns
};

template <typename T>
CLI::Option* AddValue(CLI::App& app, const Text& text, T& field, ParseValue parse) {
  CLI::Option* option = app.add_option(text.name, field, text.help)->group(text.group);
  Describe(option, text.name, text.placeholder, std::move(parse));
  return option;
}

void AddAddresses(CLI::App& app, Options& options) {
  AddValue(app,
           {"Addresses", "--listen", "HOST:PORT",
            absl::StrCat("gRPC; port 0: any free one; or unix:PATH, a Unix domain\nsocket. Default ", options.listen)},
           options.listen, ListenValue);
  AddValue(app,
           {"Addresses", "--socket_mode", "MODE",
            absl::StrFormat("File mode of that socket, in octal: who may write to it may\ncall. Default %o",
                            options.socket_mode)},
           options.socket_mode, FileModeValue);
  AddValue(app,
           {"Addresses", "--metrics_listen", "HOST:PORT",
            absl::StrCat("HTTP with /metrics, /healthz and /readyz;\nport 0: any free one; off: none. Default ",
                         options.metrics_listen)},
           options.metrics_listen, OptionalAddressValue);
  Describe(app.add_flag("--reflection,!--no-reflection", options.reflection,
                        "Tell clients the API (gRPC server reflection).\nDefault true")
               ->group("Addresses"),
           "--reflection", "[=BOOL]", BoolValue);
  AddValue(app,
           {"Addresses", "--shared_memory_dir", "DIR",
            "Callers on this host may give tensors and take results in\n"
            "files of this directory, such as /dev/shm/attend. Default off"},
           options.shared_memory_dir, [](absl::string_view text) -> absl::StatusOr<std::string> {
             return std::string(text == "off" ? "" : text);
           });
}

void AddCallLimits(CLI::App& app, Options& options) {
  AddValue(app,
           {"Resources", "--max_calls", "N",
            absl::StrCat("Calls admitted at once; others wait. Default ", options.max_calls)},
           options.max_calls, [](absl::string_view text) { return WholeNumberValue(text, 1, kMostCalls); });
  AddValue(app,
           {"Resources", "--max_queue", "N",
            absl::StrCat("Calls that wait to be admitted; more are refused as BUSY.\nDefault ", options.max_queue)},
           options.max_queue, [](absl::string_view text) { return WholeNumberValue(text, 0, kMostCalls); });
}

// Returns the option of assumed_message_bytes, whose default depends on another.
CLI::Option* AddResources(CLI::App& app, Options& options) {
  Describe(app.add_flag("--compression,!--no-compression", options.compression,
                        "Take compressed messages. A small one may inflate to any size\n"
                        "before it is counted: off where callers are strangers.\n"
                        "Default true")
               ->group("Resources"),
           "--compression", "[=BOOL]", BoolValue);
  AddValue(app,
           {"Resources", "--compute_threads", "N",
            "Threads that compute. Default 0: as many as the cgroup's CPU\nquota and the affinity mask allow"},
           options.compute_threads, [](absl::string_view text) { return WholeNumberValue(text, 0, kMaxThreads); });
  AddValue(
      app,
      {"Resources", "--max_message_bytes", "BYTES",
       absl::StrCat("The largest request or response, below 2GiB. Default ", BytesText(options.max_message_bytes))},
      options.max_message_bytes,
      [](absl::string_view text) { return BytesValue(text, kLeastMessageBytes, kMostMessageBytes); });
  AddValue(app,
           {"Resources", "--memory_budget", "BYTES",
            "For all calls together. Default 0: half of the cgroup's limit\nor of the machine's memory"},
           options.memory_budget_bytes, [](absl::string_view text) { return BytesValue(text, 0, kMostMemoryBytes); });
  return AddValue(
      app,
      {"Resources", "--assumed_message_bytes", "BYTES",
       absl::StrCat("Reserved for a call that does not say its size. Default ",
                    BytesText(options.assumed_message_bytes), ",\nor --max_message_bytes where that is less")},
      options.assumed_message_bytes, [](absl::string_view text) { return BytesValue(text, 0, kMostMessageBytes); });
}

void AddOperation(CLI::App& app, Options& options) {
  AddValue(
      app,
      {"Life cycle", "--transfer_timeout_seconds", "S",
       absl::StrCat(
           "A caller that takes longer to send or to take a message, with\nfour seconds more per MiB (of "
           "--assumed_message_bytes where it\n"
           "does not state its size), or takes nothing of a full\nconnection for S, is given up. 0: never. Default ",
           options.transfer_timeout_seconds)},
      options.transfer_timeout_seconds, [](absl::string_view text) { return SecondsValue(text, kMostGraceSeconds); });
  AddValue(app,
           {"Life cycle", "--shutdown_grace_seconds", "S",
            absl::StrCat("Calls in flight get this long after SIGTERM. Default ", options.shutdown_grace_seconds)},
           options.shutdown_grace_seconds,
           [](absl::string_view text) { return SecondsValue(text, kMostGraceSeconds); });
  AddValue(app,
           {"Logs", "--log_level", "LEVEL",
            absl::StrCat("trace, debug, info, warn, error or off; lines go to stderr.\nDefault ", options.log_level)},
           options.log_level, LogLevelValue);
}

void AddGeneral(CLI::App& app) {
  app.set_help_flag("-h,--help", "Print this and exit")->group("General");
  app.set_version_flag("--version", absl::StrCat(kProgram, " ", ATTEND_VERSION), "Print the version and exit")
      ->group("General");
  CLI::Option* config = app.set_config("--config", "", "Read options from this TOML or INI file")->group("General");
  config->option_text("FILE")->take_last();
  if (const char* file = FromEnvironment("--config")) config->default_str(file)->required();
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.config_formatter(std::make_shared<EnvironmentFirstConfig>());
}

// The library's words about files do not say where the file came from.
std::string Explain(const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::FileError*>(&error) != nullptr) return absl::StrCat("--config: ", error.what());
  if (dynamic_cast<const CLI::ConfigError*>(&error) == nullptr) return error.what();
  absl::string_view unknown = error.what();
  if (!absl::ConsumePrefix(&unknown, "INI was not able to parse ")) return absl::StrCat("--config: ", unknown);
  return absl::StrCat("--config: no option is named \"", absl::CHexEscape(unknown), "\"");
}

ExitRequest Refuse(absl::string_view why) {
  std::cerr << kProgram << ": " << why << "\nTry: " << kProgram << " --help" << std::endl;
  return {kBadUsage};
}

std::variant<Options, ExitRequest> Parse(int argc, const char* const* argv) {
  Options options;
  CLI::App app("Serves attention, matrix exponentials and projections over gRPC.", kProgram);
  app.formatter(std::make_shared<HelpFormatter>());
  app.footer(kFooter);
  AddGeneral(app);
  AddAddresses(app, options);
  const CLI::Option* assumed = AddResources(app, options);
  AddCallLimits(app, options);
  AddOperation(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& stop) {
    if (stop.get_exit_code() == 0) return ExitRequest{app.exit(stop)};  // --help and --version
    return Refuse(Explain(stop));
  }
  if (assumed->count() == 0) {
    options.assumed_message_bytes = std::min(options.assumed_message_bytes, options.max_message_bytes);
  } else if (options.assumed_message_bytes > options.max_message_bytes) {
    return Refuse(absl::StrCat("--assumed_message_bytes: got ", BytesText(options.assumed_message_bytes),
                               "; allowed: up to --max_message_bytes, which is ",
                               BytesText(options.max_message_bytes)));
  }
  return options;
}

}  // namespace

std::variant<Options, ExitRequest> ParseOptions(int argc, const char* const* argv) {
  try {
    return Parse(argc, argv);
  } catch (const std::exception& error) {  // the library throws others than its own on some malformed files
    return Refuse(error.what());
  }
}

}  // namespace attend::app
