#include "server/logging/logger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace attend::logging {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class LoggerTest : public ::testing::Test {
 protected:
  ~LoggerTest() override { std::fclose(file_); }

  // Everything logged so far.
  std::string Text() {
    std::string text(static_cast<size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    EXPECT_EQ(std::fread(text.data(), 1, text.size(), file_), text.size());
    return text;
  }
  // The one line logged, without its time.
  std::string Line() {
    std::string text = Text();
    EXPECT_TRUE(absl::EndsWith(text, "\n"));
    EXPECT_EQ(text.find('\n'), text.size() - 1) << "more than one line:\n" << text;
    return text.substr(text.find(' ') + 1, text.size() - text.find(' ') - 2);
  }

  std::FILE* file_ = std::tmpfile();
  Logger logger_{Level::kTrace, file_};
};

TEST_F(LoggerTest, WritesTimeLevelMessageAndFields) {
  logger_.Info("server started", {{"address", "0.0.0.0:50051"}, {"threads", 2}});
  // POSIX regular expressions: digits spelled out.
  EXPECT_THAT(Text(), MatchesRegex("ts=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z level=info "
                                   "msg=\"server started\" address=0\\.0\\.0\\.0:50051 threads=2\n"));
}

TEST_F(LoggerTest, TimeIsUtc) {
  const std::time_t before = std::time(nullptr);
  logger_.Info("x");
  const std::time_t after = std::time(nullptr);
  const auto second = [](std::time_t time) {
    char text[32];
    std::tm utc;
    std::strftime(text, sizeof(text), "ts=%Y-%m-%dT%H:%M:%S.", gmtime_r(&time, &utc));
    return std::string(text);
  };
  const std::string text = Text();
  EXPECT_TRUE(absl::StartsWith(text, second(before)) || absl::StartsWith(text, second(after))) << text;
}

TEST_F(LoggerTest, EveryLevelHasItsName) {
  logger_.Trace("a");
  logger_.Debug("b");
  logger_.Info("c");
  logger_.Warn("d");
  logger_.Error("e");
  const std::vector<std::string> lines = absl::StrSplit(Text(), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 5u);
  const char* expected[] = {"level=trace msg=a", "level=debug msg=b", "level=info msg=c", "level=warn msg=d",
                            "level=error msg=e"};
  for (size_t i = 0; i < 5; ++i) EXPECT_TRUE(absl::EndsWith(lines[i], expected[i])) << lines[i];
}

TEST_F(LoggerTest, BelowTheLevelNothingIsWritten) {
  Logger warnings(Level::kWarn, file_);
  warnings.Info("no");
  warnings.Debug("no");
  EXPECT_FALSE(warnings.Enabled(Level::kInfo));
  EXPECT_TRUE(warnings.Enabled(Level::kWarn));
  Logger off(Level::kOff, file_);
  off.Error("no");
  EXPECT_FALSE(off.Enabled(Level::kError));
  EXPECT_FALSE(logger_.Enabled(Level::kOff));
  logger_.Log(Level::kOff, "no");
  EXPECT_EQ(Text(), "");
  warnings.Error("yes");
  EXPECT_THAT(Text(), HasSubstr("level=error msg=yes"));
}

TEST_F(LoggerTest, FieldsOfEveryType) {
  const std::string text = "t";
  logger_.Info("x", {{"s", text},
                     {"v", absl::string_view("view")},
                     {"i", -3},
                     {"u", uint64_t{18446744073709551615u}},
                     {"d", 0.25},
                     {"yes", true},
                     {"no", false}});
  EXPECT_EQ(Line(), "level=info msg=x s=t v=view i=-3 u=18446744073709551615 d=0.25 yes=true no=false");
}

TEST_F(LoggerTest, ValuesAreQuotedWhereTheyMustBe) {
  logger_.Info(
      "",
      {{"empty", ""}, {"space", "a b"}, {"equals", "a=b"}, {"quote", "a\"b"}, {"slash", "a\\b"}, {"brace", "{}%v"}});
  EXPECT_EQ(Line(), R"(level=info msg="" empty="" space="a b" equals="a=b" quote="a\"b" slash="a\\b" brace={}%v)");
}

TEST_F(LoggerTest, ForgedLinesStayOneLine) {
  logger_.Warn("bad\nts=1 level=error msg=forged", {{"v", "\r\n\t\x1b[2J\x7f\xe2\x80\xa8"}});
  EXPECT_EQ(Line(), R"(level=warn msg="bad\nts=1 level=error msg=forged" v="\r\n\t\x1b[2J\x7f\xe2\x80\xa8")");
}

TEST_F(LoggerTest, AnyByteStaysPrintableOnOneLine) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string value(1, static_cast<char>(byte));
    logger_.Info(value, {{value, value}});
  }
  const std::string text = Text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 256);
  for (const char c : text) {
    EXPECT_TRUE(c == '\n' || absl::ascii_isprint(static_cast<unsigned char>(c))) << static_cast<int>(c);
  }
}

TEST_F(LoggerTest, KeysCannotForgeFields) {
  logger_.Info("x", {{"a b=c", 1}, {"", 2}});
  EXPECT_EQ(Line(), "level=info msg=x a_b_c=1 _=2");
}

TEST_F(LoggerTest, LongValuesAreCut) {
  logger_.Info("x", {{"long", std::string(10 * kMaxValueBytes, 'y')}});
  EXPECT_EQ(Line(), "level=info msg=x long=" + std::string(kMaxValueBytes, 'y') + "...");
}

TEST_F(LoggerTest, LinesOfManyThreadsDoNotMix) {
  constexpr int kThreads = 4, kLines = 500;
  const std::string filler(200, 'z');
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kLines; ++n) logger_.Info("m", {{"filler", filler}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = absl::StrSplit(Text(), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), static_cast<size_t>(kThreads * kLines));
  for (const std::string& line : lines) EXPECT_TRUE(absl::EndsWith(line, " level=info msg=m filler=" + filler)) << line;
}

TEST_F(LoggerTest, SeveralLoggersLiveSideBySide) {
  Logger other(Level::kError, file_);
  other.Info("hidden");
  logger_.Info("shown");
  EXPECT_EQ(Line(), "level=info msg=shown");
}

TEST(Level, ParsesItsNames) {
  EXPECT_EQ(ParseLevel("trace"), Level::kTrace);
  EXPECT_EQ(ParseLevel("debug"), Level::kDebug);
  EXPECT_EQ(ParseLevel("info"), Level::kInfo);
  EXPECT_EQ(ParseLevel("warn"), Level::kWarn);
  EXPECT_EQ(ParseLevel("error"), Level::kError);
  EXPECT_EQ(ParseLevel("off"), Level::kOff);
  for (const char* name : {"", "INFO", "warning", "information", "5"})
    EXPECT_EQ(ParseLevel(name), std::nullopt) << name;
}

}  // namespace
}  // namespace attend::logging
