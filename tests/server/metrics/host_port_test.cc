#include "server/metrics/host_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace attend::metrics {
namespace {

TEST(HostPort, TakesAddressesNamesAndBrackets) {
  const struct {
    const char* text;
    const char* host;
    int port;
  } cases[] = {{"127.0.0.1:80", "127.0.0.1", 80},
               {"0.0.0.0:0", "0.0.0.0", 0},
               {"localhost:65535", "localhost", 65535},
               {"pod-1.attend.svc:50051", "pod-1.attend.svc", 50051},
               {"[::]:1", "::", 1},
               {"[fe80::1:2]:9464", "fe80::1:2", 9464}};
  for (const auto& expected : cases) {
    const absl::StatusOr<HostPort> parsed = ParseHostPort(expected.text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->host, expected.host) << expected.text;
    EXPECT_EQ(parsed->port, expected.port) << expected.text;
  }
}

TEST(HostPort, RefusesEverythingElseAndSaysWhatIsAllowed) {
  for (const std::string text : {"",
                                 ":",
                                 "localhost",
                                 "127.0.0.1",
                                 ":80",
                                 "127.0.0.1:",
                                 "127.0.0.1:65536",
                                 "127.0.0.1:-1",
                                 "127.0.0.1:+1",
                                 "127.0.0.1: 1",
                                 "127.0.0.1:8o",
                                 "127.0.0.1:99999999999999999999",
                                 "256.0.0.1:1",
                                 "1.2.3:1",
                                 "::1:80",
                                 "[::1]",
                                 "[::1:80",
                                 "[127.0.0.1]:80",
                                 "[]:80",
                                 "[:80",
                                 "]:80",
                                 "a b:80",
                                 "-a:80",
                                 "host/x:80",
                                 "unix:/tmp/s",
                                 "\n:1"}) {
    const absl::StatusOr<HostPort> parsed = ParseHostPort(text);
    ASSERT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(parsed.status().message()), ::testing::HasSubstr("got \"" + text + "\""));
    EXPECT_THAT(std::string(parsed.status().message()), ::testing::HasSubstr("allowed: HOST:PORT"));
  }
}

}  // namespace
}  // namespace attend::metrics
