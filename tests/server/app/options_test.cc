#include "server/app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_split.h"

namespace attend::app {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kVariables[] = {
    "ATTEND_CONFIG",         "ATTEND_LISTEN",     "ATTEND_SOCKET_MODE",           "ATTEND_SHARED_MEMORY_DIR",
    "ATTEND_METRICS_LISTEN", "ATTEND_REFLECTION", "ATTEND_COMPUTE_THREADS",       "ATTEND_MAX_MESSAGE_BYTES",
    "ATTEND_MEMORY_BUDGET",  "ATTEND_LOG_LEVEL",  "ATTEND_ASSUMED_MESSAGE_BYTES", "ATTEND_SHUTDOWN_GRACE_SECONDS",
    "ATTEND_MAX_CALLS",      "ATTEND_MAX_QUEUE",  "ATTEND_COMPRESSION",           "ATTEND_TRANSFER_TIMEOUT_SECONDS"};

// Parses with the environment and files that a test makes, and none of the machine's.
class OptionsTest : public ::testing::Test {
 protected:
  OptionsTest() {
    ClearEnvironment();
    std::string name = ::testing::TempDir() + "options_XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~OptionsTest() override {
    ClearEnvironment();
    std::filesystem::remove_all(folder_);
  }

  static void Set(const char* variable, const std::string& value) { setenv(variable, value.c_str(), 1); }
  std::string File(const std::string& text) {
    const std::string path = folder_ + "/attend.toml";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  static std::variant<Options, ExitRequest> Parse(const std::vector<std::string>& flags) {
    std::vector<const char*> arguments = {"attend-server"};
    for (const std::string& flag : flags) arguments.push_back(flag.c_str());
    return ParseOptions(static_cast<int>(arguments.size()), arguments.data());
  }
  static Options MustParse(const std::vector<std::string>& flags) {
    const std::variant<Options, ExitRequest> parsed = Parse(flags);
    EXPECT_TRUE(std::holds_alternative<Options>(parsed));
    return std::holds_alternative<Options>(parsed) ? std::get<Options>(parsed) : Options{};
  }

  // What a refusal or --help prints.
  struct Exit {
    int code = -1;
    std::string out, err;
  };
  static Exit MustExit(const std::vector<std::string>& flags) {
    Exit exit;
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const std::variant<Options, ExitRequest> parsed = Parse(flags);
    exit.out = ::testing::internal::GetCapturedStdout();
    exit.err = ::testing::internal::GetCapturedStderr();
    if (std::holds_alternative<ExitRequest>(parsed)) exit.code = std::get<ExitRequest>(parsed).code;
    return exit;
  }
  static void ExpectRefused(const std::vector<std::string>& flags, const std::vector<std::string>& words) {
    const Exit exit = MustExit(flags);
    EXPECT_EQ(exit.code, 2) << ::testing::PrintToString(flags);
    EXPECT_EQ(exit.out, "");
    for (const std::string& word : words) EXPECT_THAT(exit.err, HasSubstr(word));
  }

 private:
  static void ClearEnvironment() {
    for (const char* variable : kVariables) unsetenv(variable);
  }

  std::string folder_;
};

TEST_F(OptionsTest, DefaultsStandWithoutFlags) {
  const Options options = MustParse({});
  EXPECT_EQ(options.listen, "0.0.0.0:50051");
  EXPECT_EQ(options.socket_mode, 0660);
  EXPECT_EQ(options.shared_memory_dir, "");
  EXPECT_EQ(options.metrics_listen, "0.0.0.0:9464");
  EXPECT_TRUE(options.reflection);
  EXPECT_EQ(options.compute_threads, 0);
  EXPECT_EQ(options.max_message_bytes, uint64_t{256} << 20);
  EXPECT_EQ(options.memory_budget_bytes, 0u);
  EXPECT_EQ(options.assumed_message_bytes, uint64_t{16} << 20);
  EXPECT_EQ(options.max_calls, 64);
  EXPECT_EQ(options.max_queue, 1024);
  EXPECT_EQ(options.transfer_timeout_seconds, 60);
  EXPECT_EQ(options.shutdown_grace_seconds, 10);
  EXPECT_EQ(options.log_level, "info");
}

void ExpectAllChanged(const Options& options) {
  EXPECT_EQ(options.listen, "[::1]:1");
  EXPECT_EQ(options.socket_mode, 0600);
  EXPECT_EQ(options.shared_memory_dir, "/dev/shm/a");
  EXPECT_EQ(options.metrics_listen, "");
  EXPECT_FALSE(options.reflection);
  EXPECT_EQ(options.compute_threads, 3);
  EXPECT_EQ(options.max_message_bytes, uint64_t{64} << 20);
  EXPECT_EQ(options.memory_budget_bytes, uint64_t{1} << 30);
  EXPECT_EQ(options.assumed_message_bytes, 4096u);
  EXPECT_EQ(options.max_calls, 7);
  EXPECT_EQ(options.max_queue, 9);
  EXPECT_EQ(options.transfer_timeout_seconds, 1.5);
  EXPECT_EQ(options.shutdown_grace_seconds, 0.5);
  EXPECT_EQ(options.log_level, "debug");
}

TEST_F(OptionsTest, EveryOptionIsAFlag) {
  constexpr absl::string_view kFlags =
      "--listen [::1]:1 --socket_mode 600 --shared_memory_dir /dev/shm/a --metrics_listen off --no-reflection "
      "--compute_threads 3 --max_message_bytes=64MiB --memory_budget 1GiB --assumed_message_bytes 4096 --max_calls 7 "
      "--max_queue 9 --transfer_timeout_seconds=1.5 --shutdown_grace_seconds 0.5 --log_level=debug";
  ExpectAllChanged(MustParse(absl::StrSplit(kFlags, ' ')));
}

TEST_F(OptionsTest, EveryOptionIsAnEnvironmentVariable) {
  Set("ATTEND_LISTEN", "[::1]:1");
  Set("ATTEND_SOCKET_MODE", "600");
  Set("ATTEND_SHARED_MEMORY_DIR", "/dev/shm/a");
  Set("ATTEND_METRICS_LISTEN", "off");
  Set("ATTEND_REFLECTION", "false");
  Set("ATTEND_COMPUTE_THREADS", "3");
  Set("ATTEND_MAX_MESSAGE_BYTES", "64MiB");
  Set("ATTEND_MEMORY_BUDGET", "1GiB");
  Set("ATTEND_ASSUMED_MESSAGE_BYTES", "4096");
  Set("ATTEND_MAX_CALLS", "7");
  Set("ATTEND_MAX_QUEUE", "9");
  Set("ATTEND_TRANSFER_TIMEOUT_SECONDS", "1.5");
  Set("ATTEND_SHUTDOWN_GRACE_SECONDS", "0.5");
  Set("ATTEND_LOG_LEVEL", "debug");
  ExpectAllChanged(MustParse({}));
}

constexpr const char* kFile =
    "# how we run it\n"
    "listen = \"[::1]:1\"\n"
    "socket_mode = \"600\"\n"
    "shared_memory_dir = \"/dev/shm/a\"\n"
    "metrics_listen = \"off\"  # nobody scrapes\n"
    "reflection = false\n"
    "\n"
    "compute_threads = 3\n"
    "max_message_bytes = \"64MiB\"\n"
    "memory_budget = 1GiB\n"
    "assumed_message_bytes = 4096\n"
    "max_calls = 7\n"
    "max_queue = 9\n"
    "transfer_timeout_seconds = 1.5\n"
    "shutdown_grace_seconds = 0.5\n"
    "log_level = \"debug\"\n";

TEST_F(OptionsTest, EveryOptionCanStandInTheFile) { ExpectAllChanged(MustParse({"--config", File(kFile)})); }

TEST_F(OptionsTest, TheFileCanBeNamedByTheEnvironment) {
  Set("ATTEND_CONFIG", File(kFile));
  ExpectAllChanged(MustParse({}));
}

TEST_F(OptionsTest, FlagWinsOverEnvironmentOverFileOverDefault) {
  const std::string file = File("compute_threads = 3\nlog_level = \"warn\"\nreflection = false\nlisten = \"h:3\"\n");
  Set("ATTEND_COMPUTE_THREADS", "4");
  Set("ATTEND_LOG_LEVEL", "error");
  Set("ATTEND_REFLECTION", "true");
  const Options options = MustParse({"--config", file, "--compute_threads", "5"});
  EXPECT_EQ(options.compute_threads, 5) << "flag, environment and file";
  EXPECT_EQ(options.log_level, "error") << "environment and file";
  EXPECT_TRUE(options.reflection) << "environment and file";
  EXPECT_EQ(options.listen, "h:3") << "file and default";
  EXPECT_EQ(options.shutdown_grace_seconds, 10) << "default";
}

TEST_F(OptionsTest, FlagWinsOverFileForBooleans) {
  EXPECT_TRUE(MustParse({"--config", File("reflection = false\n"), "--reflection"}).reflection);
  EXPECT_FALSE(MustParse({"--config", File("reflection = true\n"), "--no-reflection"}).reflection);
  Set("ATTEND_REFLECTION", "off");
  EXPECT_TRUE(MustParse({"--reflection"}).reflection);
  EXPECT_TRUE(MustParse({}).compression);
  EXPECT_FALSE(MustParse({"--no-compression"}).compression);
  EXPECT_FALSE(MustParse({"--config", File("compression = false\n")}).compression);
  EXPECT_TRUE(MustParse({"--reflection=true"}).reflection);
  EXPECT_FALSE(MustParse({}).reflection);
}

TEST_F(OptionsTest, TheNegativeNameWorksInTheFileToo) {
  const std::string file = File("no-reflection = true\n");
  EXPECT_FALSE(MustParse({"--config", file}).reflection);
  Set("ATTEND_REFLECTION", "true");
  EXPECT_TRUE(MustParse({"--config", file}).reflection);
}

TEST_F(OptionsTest, AnEmptyVariableCountsAsUnset) {
  Set("ATTEND_COMPUTE_THREADS", "");
  EXPECT_EQ(MustParse({"--config", File("compute_threads = 3\n")}).compute_threads, 3);
}

TEST_F(OptionsTest, TheLastOfARepeatedFlagCounts) {
  EXPECT_EQ(MustParse({"--compute_threads", "1", "--compute_threads=2"}).compute_threads, 2);
}

TEST_F(OptionsTest, MetricsCanBeSwitchedOff) {
  EXPECT_EQ(MustParse({"--metrics_listen", "off"}).metrics_listen, "");
  EXPECT_EQ(MustParse({"--metrics_listen", ""}).metrics_listen, "");
  EXPECT_EQ(MustParse({"--metrics_listen", "127.0.0.1:0"}).metrics_listen, "127.0.0.1:0");
}

TEST_F(OptionsTest, TheAssumedSizeIsNeverMoreThanTheLargest) {
  EXPECT_EQ(MustParse({"--max_message_bytes", "1MiB"}).assumed_message_bytes, uint64_t{1} << 20);
  EXPECT_EQ(MustParse({"--max_message_bytes", "1MiB", "--assumed_message_bytes", "1MiB"}).assumed_message_bytes,
            uint64_t{1} << 20);
  ExpectRefused({"--max_message_bytes", "1MiB", "--assumed_message_bytes", "2MiB"},
                {"--assumed_message_bytes", "2MiB", "1MiB"});
}

TEST_F(OptionsTest, CallsAreCountedFromOneAndQueuesFromNone) {
  EXPECT_EQ(MustParse({"--max_queue", "0"}).max_queue, 0);
  ExpectRefused({"--max_calls", "0"}, {"--max_calls", "\"0\"", "1"});
  ExpectRefused({"--max_queue", "-1"}, {"--max_queue", "\"-1\"", "0"});
}

TEST_F(OptionsTest, MessagesStayBelowTwoGibibytes) {
  EXPECT_EQ(MustParse({"--max_message_bytes", "2147483647"}).max_message_bytes, 2147483647u);
  ExpectRefused({"--max_message_bytes", "2GiB"}, {"--max_message_bytes", "\"2GiB\"", "2147483647"});
  ExpectRefused({"--max_message_bytes", "0"}, {"--max_message_bytes", "\"0\"", "from 1KiB"});
}

TEST_F(OptionsTest, BadValuesNameTheFlagWhatCameAndWhatIsAllowed) {
  ExpectRefused({"--listen", "nowhere"}, {"--listen", "\"nowhere\"", "HOST:PORT"});
  ExpectRefused({"--listen", "127.0.0.1:70000"}, {"--listen", "\"127.0.0.1:70000\"", "0 to 65535"});
  ExpectRefused({"--listen", "off"}, {"--listen", "\"off\"", "HOST:PORT"});
  ExpectRefused({"--metrics_listen", "::1:80"}, {"--metrics_listen", "\"::1:80\"", "or off"});
  ExpectRefused({"--listen", "unix:"}, {"--listen", "\"unix:\"", "unix:PATH"});
  ExpectRefused({"--socket_mode", "rw"}, {"--socket_mode", "\"rw\"", "octal"});
  ExpectRefused({"--reflection=maybe"}, {"--reflection", "\"maybe\"", "true or false"});
  ExpectRefused({"--compute_threads", "many"}, {"--compute_threads", "\"many\"", "0 to 1024"});
  ExpectRefused({"--compute_threads", "-1"}, {"--compute_threads", "\"-1\"", "0 to 1024"});
  ExpectRefused({"--memory_budget", "1XB"}, {"--memory_budget", "\"1XB\"", "64MiB"});
  ExpectRefused({"--shutdown_grace_seconds", "nan"}, {"--shutdown_grace_seconds", "\"nan\"", "0 to 86400"});
  ExpectRefused({"--log_level", "loud"}, {"--log_level", "\"loud\"", "trace, debug, info, warn, error or off"});
}

TEST_F(OptionsTest, BadValuesOfTheEnvironmentAndTheFileAreRefusedAlike) {
  ExpectRefused({"--config", File("compute_threads = lots\n")}, {"--compute_threads", "\"lots\"", "0 to 1024"});
  ExpectRefused({"--config", File("reflection = maybe\n")}, {"--reflection", "\"maybe\"", "true or false"});
  Set("ATTEND_LOG_LEVEL", "loud");
  ExpectRefused({}, {"--log_level", "\"loud\"", "trace, debug"});
}

TEST_F(OptionsTest, UnknownFlagsAndMissingValuesAreRefused) {
  ExpectRefused({"--listne", "127.0.0.1:1"}, {"--listne", "--help"});
  ExpectRefused({"127.0.0.1:1"}, {"127.0.0.1:1"});
  ExpectRefused({"--listen"}, {"--listen", "HOST:PORT"});
}

TEST_F(OptionsTest, UnknownNamesInTheFileAreRefused) {
  ExpectRefused({"--config", File("listne = \"127.0.0.1:1\"\n")}, {"--config", "\"listne\""});
  ExpectRefused({"--config", File("[server]\nlisten = \"127.0.0.1:1\"\n")}, {"--config", "server"});
  ExpectRefused({"--config", File("config = \"other.toml\"\n")}, {"--config", "config"});
  ExpectRefused({"--config", File(std::string("\xff\0[[[ = ", 8))}, {"--config"});
}

TEST_F(OptionsTest, AFileThatCannotBeReadIsRefused) {
  ExpectRefused({"--config", "/no/such/file.toml"}, {"--config", "/no/such/file.toml"});
  ExpectRefused({"--config", ::testing::TempDir()}, {"--config"});
  Set("ATTEND_CONFIG", "/no/such/file.toml");
  ExpectRefused({}, {"--config", "/no/such/file.toml"});
}

TEST_F(OptionsTest, HelpListsEveryFlagInGroups) {
  const Exit help = MustExit({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(help.err, "");
  for (const char* group : {"\nGeneral:\n", "\nAddresses:\n", "\nResources:\n", "\nLife cycle:\n", "\nLogs:\n"}) {
    EXPECT_THAT(help.out, HasSubstr(group));
  }
  for (const char* flag :
       {"--help", "--version", "--config FILE", "--compression,--no-compression", "--listen HOST:PORT",
        "--socket_mode MODE", "--shared_memory_dir DIR", "--metrics_listen HOST:PORT", "--reflection,--no-reflection",
        "--compute_threads N", "--max_message_bytes BYTES", "--memory_budget BYTES", "--assumed_message_bytes BYTES",
        "--max_calls N", "--max_queue N", "--transfer_timeout_seconds S", "--shutdown_grace_seconds S",
        "--log_level LEVEL"}) {
    EXPECT_THAT(help.out, HasSubstr(flag));
  }
  EXPECT_THAT(help.out, AllOf(HasSubstr("Default 0.0.0.0:50051"), HasSubstr("Default 256MiB"), HasSubstr("ATTEND_")));
}

TEST_F(OptionsTest, HelpFitsAHundredColumns) {
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(MustExit({"--help"}).out, '\n'))) {
    EXPECT_LE(line.size(), 100u) << line;
  }
}

TEST_F(OptionsTest, HelpWinsOverABadFile) {
  Set("ATTEND_CONFIG", "/no/such/file.toml");
  EXPECT_EQ(MustExit({"--help"}).code, 0);
}

TEST_F(OptionsTest, VersionIsOneLine) {
  const Exit version = MustExit({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, ::testing::MatchesRegex("attend-server [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace attend::app
