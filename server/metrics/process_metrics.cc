#include "server/metrics/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"

namespace attend::metrics {
namespace {

std::string ReadFile(const char* path) {
  std::ifstream in(path);
  std::ostringstream text;  // stream iterators would throw where reading fails
  text << in.rdbuf();
  return std::move(text).str();
}

struct Stat {
  double threads = 0;
  double start_seconds_after_boot = 0;
  double virtual_bytes = 0;
  double resident_bytes = 0;
};

// Fields are numbered as in proc(5). The second is the program's name, which may hold spaces and parentheses: fields
// are counted from the last one.
std::optional<Stat> ReadStat() {
  constexpr int kFirstField = 3;
  const std::string text = ReadFile("/proc/self/stat");
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(text).substr(name_end + 1), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  const auto field = [&fields](size_t number, double& value) {
    return fields.size() > number - kFirstField && absl::SimpleAtod(fields[number - kFirstField], &value);
  };
  Stat stat;
  double start_ticks, resident_pages;
  if (!field(20, stat.threads) || !field(22, start_ticks) || !field(23, stat.virtual_bytes) ||
      !field(24, resident_pages)) {
    return std::nullopt;
  }
  stat.start_seconds_after_boot = start_ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  stat.resident_bytes = resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  return stat;
}

std::optional<double> BootTimeSeconds() {
  const std::string text = ReadFile("/proc/stat");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    double seconds;
    if (words.size() == 2 && words[0] == "btime" && absl::SimpleAtod(words[1], &seconds)) return seconds;
  }
  return std::nullopt;
}

std::optional<double> CpuSeconds() {
  rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::optional<double> OpenFds() {
  std::error_code error;
  double count = 0;
  std::filesystem::directory_iterator entry("/proc/self/fd", error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) ++count;
  if (error) return std::nullopt;
  return count - 1;  // the one that reads the folder
}

std::optional<double> MaxFds() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

prometheus::MetricFamily Family(const char* name, const char* help, prometheus::MetricType type, double value) {
  prometheus::ClientMetric metric;
  if (type == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.push_back(metric);
  return family;
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  using prometheus::MetricType;
  std::vector<prometheus::MetricFamily> families;
  const auto add = [&families](const char* name, const char* help, MetricType type, std::optional<double> value) {
    if (value.has_value()) families.push_back(Family(name, help, type, *value));
  };
  add("process_cpu_seconds_total", "CPU time spent, user and system.", MetricType::Counter, CpuSeconds());
  add("process_open_fds", "Open file descriptors.", MetricType::Gauge, OpenFds());
  add("process_max_fds", "File descriptors that may be open at once.", MetricType::Gauge, MaxFds());
  if (const std::optional<Stat> stat = ReadStat(); stat.has_value()) {
    add("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge, stat->resident_bytes);
    add("process_virtual_memory_bytes", "Virtual memory.", MetricType::Gauge, stat->virtual_bytes);
    add("process_threads", "Threads of the process.", MetricType::Gauge, stat->threads);
    if (const std::optional<double> boot = BootTimeSeconds(); boot.has_value()) {
      add("process_start_time_seconds", "When the process started, since the Unix epoch.", MetricType::Gauge,
          *boot + stat->start_seconds_after_boot);
    }
  }
  return families;
}

}  // namespace attend::metrics
