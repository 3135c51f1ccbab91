#include "server/metrics/call_metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace attend::metrics {
namespace {

// Every sample of a scrape by its name and labels; comments are left out.
std::map<std::string, double> Samples(const std::string& scrape) {
  std::map<std::string, double> samples;
  for (absl::string_view line : absl::StrSplit(scrape, '\n', absl::SkipEmpty())) {
    if (line.front() == '#') continue;
    const size_t space = line.rfind(' ');
    double value = NAN;
    EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
    EXPECT_TRUE(samples.emplace(line.substr(0, space), value).second) << "twice: " << line;
  }
  return samples;
}

double Sample(const MetricsRegistry& registry, const std::string& series) {
  const std::map<std::string, double> samples = Samples(registry.Expose());
  const auto found = samples.find(series);
  if (found == samples.end()) {
    ADD_FAILURE() << "no series " << series;
    return NAN;
  }
  return found->second;
}

std::string Grpc(absl::string_view name, absl::string_view method) {
  return absl::StrCat(name, "{grpc_method=\"", method, "\",grpc_service=\"attend.v1.AttentionService\",",
                      "grpc_type=\"unary\"}");
}

std::string Handled(absl::string_view method, absl::string_view code) {
  return absl::StrCat("grpc_server_handled_total{grpc_code=\"", code, "\",grpc_method=\"", method,
                      "\",grpc_service=\"attend.v1.AttentionService\",grpc_type=\"unary\"}");
}

std::string Of(absl::string_view name, absl::string_view method) {
  return absl::StrCat(name, "{grpc_method=\"", method, "\"}");
}

std::string Bucket(absl::string_view name, absl::string_view method, absl::string_view bound) {
  return absl::StrCat(name, "_bucket{grpc_method=\"", method, "\",le=\"", bound, "\"}");
}

class CallMetrics : public ::testing::Test {
 protected:
  double pool_bytes_ = 0;
  MetricsRegistry registry_{{.version = "1.2.3", .onednn_version = "2.6.3", .cpu_isa = "avx2"},
                            {{"attend.v1.AttentionService", "Attention"}, {"attend.v1.AttentionService", "MatrixExp"}},
                            {{"attend_buffer_pool_bytes", "Memory in the pool.", [this] { return pool_bytes_; }}}};
};

TEST_F(CallMetrics, EverySeriesExistsBeforeTheFirstCall) {
  const std::map<std::string, double> samples = Samples(registry_.Expose());
  for (const char* method : {"Attention", "MatrixExp"}) {
    std::vector<std::string> expected = {Grpc("grpc_server_started_total", method),
                                         Grpc("grpc_server_handling_seconds_count", method),
                                         Of("attend_flops_total", method), Of("attend_inflight_calls", method)};
    for (const char* name : {"attend_queue_seconds", "attend_decode_seconds", "attend_compute_seconds",
                             "attend_encode_seconds", "attend_request_bytes", "attend_response_bytes"}) {
      expected.push_back(Of(absl::StrCat(name, "_count"), method));
      expected.push_back(Of(absl::StrCat(name, "_sum"), method));
      expected.push_back(Bucket(name, method, "+Inf"));
    }
    for (const char* code : {"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
                             "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
                             "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"}) {
      expected.push_back(Handled(method, code));
    }
    for (const std::string& series : expected) {
      ASSERT_TRUE(samples.count(series)) << series;
      EXPECT_EQ(samples.at(series), 0) << series;
    }
  }
}

TEST_F(CallMetrics, NoSeriesAppearsLater) {
  const size_t before = Samples(registry_.Expose()).size();
  for (int code = -1; code <= 17; ++code) {
    registry_.Method("Attention").Started();
    registry_.Method("Attention").Finished({.code = code, .handling_seconds = 1, .queue_seconds = 1});
  }
  EXPECT_EQ(Samples(registry_.Expose()).size(), before);
}

TEST_F(CallMetrics, CountsACallFromItsStartToItsEnd) {
  MethodMetrics& method = registry_.Method("Attention");
  method.Started();
  EXPECT_EQ(Sample(registry_, Grpc("grpc_server_started_total", "Attention")), 1);
  EXPECT_EQ(Sample(registry_, Of("attend_inflight_calls", "Attention")), 1);
  EXPECT_EQ(Sample(registry_, Handled("Attention", "OK")), 0);

  method.Finished({.code = 0,
                   .handling_seconds = 0.5,
                   .queue_seconds = 0.125,
                   .decode_seconds = 0.0625,
                   .compute_seconds = 0.25,
                   .encode_seconds = 0.03125,
                   .request_bytes = 1000,
                   .response_bytes = 2000,
                   .flops = 1e9});
  const std::map<std::string, double> samples = Samples(registry_.Expose());
  EXPECT_EQ(samples.at(Of("attend_inflight_calls", "Attention")), 0);
  EXPECT_EQ(samples.at(Handled("Attention", "OK")), 1);
  EXPECT_EQ(samples.at(Grpc("grpc_server_handling_seconds_sum", "Attention")), 0.5);
  EXPECT_EQ(samples.at(Of("attend_queue_seconds_sum", "Attention")), 0.125);
  EXPECT_EQ(samples.at(Of("attend_decode_seconds_sum", "Attention")), 0.0625);
  EXPECT_EQ(samples.at(Of("attend_compute_seconds_sum", "Attention")), 0.25);
  EXPECT_EQ(samples.at(Of("attend_encode_seconds_sum", "Attention")), 0.03125);
  EXPECT_EQ(samples.at(Of("attend_request_bytes_sum", "Attention")), 1000);
  EXPECT_EQ(samples.at(Of("attend_response_bytes_sum", "Attention")), 2000);
  EXPECT_EQ(samples.at(Of("attend_flops_total", "Attention")), 1e9);
  EXPECT_EQ(samples.at(Grpc("grpc_server_started_total", "MatrixExp")), 0) << "another method was counted";
}

TEST_F(CallMetrics, CountsEachCodeUnderItsName) {
  MethodMetrics& method = registry_.Method("MatrixExp");
  for (int code : {3, 3, 8, 12, 99}) {
    method.Started();
    method.Finished({.code = code, .handling_seconds = 0.001});
  }
  const std::map<std::string, double> samples = Samples(registry_.Expose());
  EXPECT_EQ(samples.at(Handled("MatrixExp", "InvalidArgument")), 2);
  EXPECT_EQ(samples.at(Handled("MatrixExp", "ResourceExhausted")), 1);
  EXPECT_EQ(samples.at(Handled("MatrixExp", "Unimplemented")), 1);
  EXPECT_EQ(samples.at(Handled("MatrixExp", "Unknown")), 1) << "a code that does not exist";
  EXPECT_EQ(samples.at(Grpc("grpc_server_handling_seconds_count", "MatrixExp")), 5);
}

TEST_F(CallMetrics, PhasesThatWereNotReachedAreNotCounted) {
  registry_.Method("Attention").Started();
  registry_.Method("Attention").Finished({.code = 8, .handling_seconds = 0.001, .queue_seconds = 0});
  const std::map<std::string, double> samples = Samples(registry_.Expose());
  EXPECT_EQ(samples.at(Of("attend_queue_seconds_count", "Attention")), 1) << "zero is a measurement";
  for (const char* name : {"attend_decode_seconds_count", "attend_compute_seconds_count", "attend_encode_seconds_count",
                           "attend_request_bytes_count", "attend_response_bytes_count"}) {
    EXPECT_EQ(samples.at(Of(name, "Attention")), 0) << name;
  }
}

TEST_F(CallMetrics, BucketsSpanMicrosecondsToMinutesAndBytesToGigabytes) {
  MethodMetrics& method = registry_.Method("Attention");
  for (double seconds : {50e-6, 60e-6, 99.0, 101.0}) {
    method.Started();
    method.Finished({.compute_seconds = seconds, .request_bytes = seconds < 1 ? int64_t{256} : int64_t{1} << 31});
  }
  const std::map<std::string, double> samples = Samples(registry_.Expose());
  const auto compute = [&](const char* le) { return samples.at(Bucket("attend_compute_seconds", "Attention", le)); };
  EXPECT_EQ(compute("5e-05"), 1) << "a bound belongs to its bucket";
  EXPECT_EQ(compute("0.0001"), 2);
  EXPECT_EQ(compute("50"), 2);
  EXPECT_EQ(compute("100"), 3);
  EXPECT_EQ(compute("+Inf"), 4);
  EXPECT_EQ(samples.at(Bucket("attend_request_bytes", "Attention", "256")), 2);
  EXPECT_EQ(samples.at(Bucket("attend_request_bytes", "Attention", "1073741824")), 2);
  EXPECT_EQ(samples.at(Bucket("attend_request_bytes", "Attention", "+Inf")), 4);
}

TEST_F(CallMetrics, ManyThreadsLoseNothing) {
  constexpr int kThreads = 4, kCalls = 5000;
  MethodMetrics& method = registry_.Method("Attention");
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&method] {
      for (int call = 0; call < kCalls; ++call) {
        method.Started();
        method.Finished({.handling_seconds = 0.5, .compute_seconds = 0.25, .flops = 2});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::map<std::string, double> samples = Samples(registry_.Expose());
  EXPECT_EQ(samples.at(Handled("Attention", "OK")), kThreads * kCalls);
  EXPECT_EQ(samples.at(Of("attend_compute_seconds_sum", "Attention")), 0.25 * kThreads * kCalls);
  EXPECT_EQ(samples.at(Of("attend_flops_total", "Attention")), 2.0 * kThreads * kCalls);
  EXPECT_EQ(samples.at(Of("attend_inflight_calls", "Attention")), 0);
}

TEST_F(CallMetrics, GaugesAreReadAtEachScrape) {
  pool_bytes_ = 4096;
  EXPECT_EQ(Sample(registry_, "attend_buffer_pool_bytes"), 4096);
  pool_bytes_ = 1e10;
  EXPECT_EQ(Sample(registry_, "attend_buffer_pool_bytes"), 1e10);
}

TEST_F(CallMetrics, BuildInfoNamesTheVersions) {
  EXPECT_EQ(Sample(registry_, "attend_build_info{cpu_isa=\"avx2\",onednn_version=\"2.6.3\",version=\"1.2.3\"}"), 1);
}

TEST_F(CallMetrics, EveryFamilyHasOneHelpAndOneType) {
  std::map<std::string, int> help, type;
  for (absl::string_view line : absl::StrSplit(registry_.Expose(), '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] != "#") continue;
    ++(words[1] == "HELP" ? help : type)[words[2]];
  }
  EXPECT_EQ(help, type);
  for (const auto& [name, count] : type) EXPECT_EQ(count, 1) << name;
}

TEST(ProcessMetrics, DescribeThisProcess) {
  const MetricsRegistry registry({}, {}, {});
  const std::map<std::string, double> samples = Samples(registry.Expose());
  EXPECT_GT(samples.at("process_cpu_seconds_total"), 0);
  EXPECT_GT(samples.at("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(samples.at("process_virtual_memory_bytes"), samples.at("process_resident_memory_bytes"));
  EXPECT_GE(samples.at("process_threads"), 1);
  EXPECT_GE(samples.at("process_max_fds"), samples.at("process_open_fds"));
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_LT(samples.at("process_start_time_seconds"), now + 2);  // the boot time comes in whole seconds
  EXPECT_GT(samples.at("process_start_time_seconds"), now - 3600);
}

TEST(ProcessMetrics, CountOpenFiles) {
  const MetricsRegistry registry({}, {}, {});
  const double before = Sample(registry, "process_open_fds");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(Sample(registry, "process_open_fds"), before + 2);
  close(ends[0]);
  close(ends[1]);
  EXPECT_EQ(Sample(registry, "process_open_fds"), before);
}

}  // namespace
}  // namespace attend::metrics
