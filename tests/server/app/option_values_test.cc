#include "server/app/option_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace attend::app {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

TEST(OptionValues, BytesTakeBinarySuffixes) {
  const struct {
    const char* text;
    uint64_t bytes;
  } cases[] = {{"0", 0},
               {"1048576", 1 << 20},
               {"7B", 7},
               {"64MiB", 64 << 20},
               {"64 MiB", 64 << 20},
               {" 64mb ", 64 << 20},
               {"64M", 64 << 20},
               {"1KiB", 1024},
               {"3g", uint64_t{3} << 30},
               {"2TiB", uint64_t{2} << 40},
               {"18446744073709551615", kMost},
               {"16777215TiB", uint64_t{16777215} << 40}};
  for (const auto& expected : cases) {
    const absl::StatusOr<std::string> value = BytesValue(expected.text, 0, kMost);
    ASSERT_TRUE(value.ok()) << value.status();
    EXPECT_EQ(*value, std::to_string(expected.bytes)) << expected.text;
  }
}

TEST(OptionValues, BytesRefuseOverflowAndNonsense) {
  for (const char* text : {"", "MiB", "-1", "+1", "1.5MiB", "1e6", "64MiBB", "64iB", "64Mi b", "64XiB", "1 2", "0x10",
                           "18446744073709551616", "16777216TiB", "\xff"}) {
    EXPECT_EQ(BytesValue(text, 0, kMost).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  const absl::Status small = BytesValue("1", 1024, 2048).status();
  EXPECT_THAT(std::string(small.message()), HasSubstr("got \"1\"; allowed: bytes"));
  EXPECT_THAT(std::string(small.message()), HasSubstr("from 1KiB to 2KiB"));
  EXPECT_FALSE(BytesValue("2049", 1024, 2048).ok());
  EXPECT_TRUE(BytesValue("2048", 1024, 2048).ok());
}

TEST(OptionValues, BytesTextUsesTheLargestWholeUnit) {
  EXPECT_EQ(BytesText(0), "0");
  EXPECT_EQ(BytesText(1023), "1023");
  EXPECT_EQ(BytesText(1024), "1KiB");
  EXPECT_EQ(BytesText(1025), "1025");
  EXPECT_EQ(BytesText(uint64_t{256} << 20), "256MiB");
  EXPECT_EQ(BytesText(uint64_t{3} << 30), "3GiB");
  EXPECT_EQ(BytesText(uint64_t{1} << 50), "1024TiB");
}

TEST(OptionValues, WholeNumbersStayInRange) {
  EXPECT_EQ(*WholeNumberValue("7", 0, 10), "7");
  EXPECT_EQ(*WholeNumberValue("0", 0, 10), "0");
  EXPECT_EQ(*WholeNumberValue("10", 0, 10), "10");
  for (const char* text : {"", "11", "-1", "x", "1.0", "1 2", "99999999999999999999"}) {
    EXPECT_FALSE(WholeNumberValue(text, 0, 10).ok()) << text;
  }
}

TEST(OptionValues, SecondsAreFiniteAndNotNegative) {
  EXPECT_EQ(*SecondsValue("0", 60), "0");
  EXPECT_EQ(*SecondsValue(" 0.25 ", 60), "0.25");
  EXPECT_EQ(*SecondsValue("60", 60), "60");
  for (const char* text : {"", "-1", "60.1", "nan", "inf", "1e999", "10s"}) {
    EXPECT_FALSE(SecondsValue(text, 60).ok()) << text;
  }
}

TEST(OptionValues, BooleansHaveManyNames) {
  for (const char* text : {"true", "TRUE", "1", "yes", "on"}) EXPECT_EQ(*BoolValue(text), "true") << text;
  for (const char* text : {"false", "False", "0", "no", "OFF"}) EXPECT_EQ(*BoolValue(text), "false") << text;
  for (const char* text : {"", "2", "maybe"}) EXPECT_FALSE(BoolValue(text).ok()) << text;
}

TEST(OptionValues, AddressesMayBeOffWhereTheyAreOptional) {
  EXPECT_EQ(*AddressValue("[::1]:0"), "[::1]:0");
  EXPECT_FALSE(AddressValue("off").ok());
  EXPECT_FALSE(AddressValue("").ok());
  EXPECT_EQ(*OptionalAddressValue("localhost:1"), "localhost:1");
  EXPECT_EQ(*OptionalAddressValue("off"), "");
  EXPECT_EQ(*OptionalAddressValue(""), "");
  EXPECT_THAT(std::string(OptionalAddressValue("of").status().message()), HasSubstr("or off"));
}

TEST(OptionValues, ListenTakesUnixSockets) {
  EXPECT_EQ(*ListenValue("[::1]:0"), "[::1]:0");
  EXPECT_EQ(*ListenValue("unix:/run/attend.sock"), "unix:/run/attend.sock");
  EXPECT_EQ(*ListenValue("unix:///run/attend.sock"), "unix:/run/attend.sock");
  EXPECT_EQ(*ListenValue("unix:sockets/a.sock"), "unix:sockets/a.sock");
  EXPECT_TRUE(ListenValue("unix:" + std::string(107, 's')).ok());
  for (const std::string& text :
       {std::string("unix:"), std::string("unix://host/a"), std::string("unix:a b"), std::string("unix:a%20b"),
        std::string("unix:a?b"), std::string("unix:a#b"), std::string("unix:a,b"), "unix:" + std::string(108, 's')}) {
    EXPECT_THAT(std::string(ListenValue(text).status().message()), HasSubstr("allowed: unix:PATH")) << text;
  }
  EXPECT_THAT(std::string(ListenValue("nowhere").status().message()), HasSubstr("or unix:PATH"));
}

TEST(OptionValues, FileModesAreOctal) {
  EXPECT_EQ(*FileModeValue("660"), std::to_string(0660));
  EXPECT_EQ(*FileModeValue("0777"), std::to_string(0777));
  EXPECT_EQ(*FileModeValue("0"), "0");
  for (const char* text : {"", "8", "1000", "-1", "0x7", "rw-", "77777777777777777777"}) {
    EXPECT_FALSE(FileModeValue(text).ok()) << text;
  }
}

TEST(OptionValues, LogLevels) {
  EXPECT_EQ(*LogLevelValue("warn"), "warn");
  EXPECT_THAT(std::string(LogLevelValue("loud").status().message()), HasSubstr("got \"loud\"; allowed: trace, debug"));
}

}  // namespace
}  // namespace attend::app
