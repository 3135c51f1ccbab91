#include "server/runtime/cpu_quota.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace attend::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxCpus = 1 << 16;
constexpr double kDefaultPeriodUs = 100'000;

// Empty where there is no such file. Stream iterators would throw on a folder, and on a group that has gone.
std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

std::vector<std::string> Words(absl::string_view text) {
  return absl::StrSplit(text, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
}

std::optional<uint64_t> PositiveNumber(absl::string_view text) {
  uint64_t value;
  if (!absl::SimpleAtoi(text, &value) || value == 0) return std::nullopt;
  return value;
}

fs::path Under(const std::string& root, absl::string_view path) {
  return fs::path(root) / std::string(absl::StripPrefix(path, "/"));
}

enum class Version { kV1, kV2 };

// Where the files of the process's group are: from `group` up to `mount`.
struct Hierarchy {
  Version version;
  fs::path mount;
  fs::path group;
};

// /proc/self/cgroup as controller -> group. Version 2 is the empty controller.
std::map<std::string, std::string> Groups(const std::string& root) {
  std::map<std::string, std::string> groups;
  for (absl::string_view line : absl::StrSplit(ReadFile(Under(root, "/proc/self/cgroup")), '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3 || !absl::StartsWith(fields[2], "/")) continue;
    for (absl::string_view controller : absl::StrSplit(fields[1], ',')) groups[std::string(controller)] = fields[2];
  }
  return groups;
}

struct Mount {
  Version version;
  std::string root;   // the group that the mount point shows
  std::string point;  // absolute
};

// One line of /proc/self/mountinfo: id, parent, device, root, mount point, options, any number of tags, "-", type,
// source, options of the file system (which name the controllers of version 1).
std::optional<Mount> ParseMount(absl::string_view line, absl::string_view controller) {
  const std::vector<std::string> words = Words(line);
  const auto dash = std::find(words.begin(), words.end(), "-");
  if (words.size() < 6 || words.end() - dash < 3) return std::nullopt;
  Mount mount;
  if (!absl::CUnescape(words[3], &mount.root) || !absl::CUnescape(words[4], &mount.point)) return std::nullopt;
  if (dash[1] == "cgroup2") {
    mount.version = Version::kV2;
    return mount;
  }
  if (dash[1] != "cgroup" || words.end() - dash < 4) return std::nullopt;
  const std::vector<std::string> options = absl::StrSplit(dash[3], ',');
  if (std::find(options.begin(), options.end(), controller) == options.end()) return std::nullopt;
  mount.version = Version::kV1;
  return mount;
}

// Where mountinfo does not tell, the usual places.
std::vector<Mount> Mounts(const std::string& root, const std::string& controller) {
  std::vector<Mount> mounts;
  for (absl::string_view line : absl::StrSplit(ReadFile(Under(root, "/proc/self/mountinfo")), '\n')) {
    if (std::optional<Mount> mount = ParseMount(line, controller)) mounts.push_back(*std::move(mount));
  }
  if (!mounts.empty()) return mounts;
  return {{Version::kV2, "/", "/sys/fs/cgroup"},
          {Version::kV2, "/", "/sys/fs/cgroup/unified"},
          {Version::kV1, "/", absl::StrCat("/sys/fs/cgroup/", controller)},
          {Version::kV1, "/", absl::StrCat("/sys/fs/cgroup/", controller, ",cpuacct")}};
}

// The folder of the group under the mount point. In a container the path may be the host's, outside of what is
// mounted: then what the mount point shows is all there is.
fs::path GroupFolder(const Mount& mount, const fs::path& point, const std::string& group) {
  const fs::path shown = fs::path(mount.root).lexically_normal();
  const fs::path relative = fs::path(group).lexically_normal().lexically_relative(shown);
  const bool outside = relative.empty() || relative == "." || *relative.begin() == "..";
  return outside ? point : point / relative;
}

std::vector<Hierarchy> Hierarchies(const std::string& root, const std::string& controller) {
  const std::map<std::string, std::string> groups = Groups(root);
  std::vector<Hierarchy> hierarchies;
  for (const Mount& mount : Mounts(root, controller)) {
    const auto group = groups.find(mount.version == Version::kV2 ? "" : controller);
    const fs::path point = Under(root, mount.point).lexically_normal();
    hierarchies.push_back(
        {mount.version, point, group == groups.end() ? point : GroupFolder(mount, point, group->second)});
  }
  return hierarchies;
}

// The least limit of the process's group and all groups above it. Groups that do not exist here have none.
template <typename Limit, typename ReadLimit>
std::optional<Limit> Tightest(const std::string& root, const std::string& controller, ReadLimit read) {
  std::optional<Limit> tightest;
  for (const Hierarchy& hierarchy : Hierarchies(root, controller)) {
    const std::ptrdiff_t levels = std::distance(hierarchy.group.begin(), hierarchy.group.end()) -
                                  std::distance(hierarchy.mount.begin(), hierarchy.mount.end());
    fs::path folder = hierarchy.group;
    for (std::ptrdiff_t level = 0; level <= levels; ++level, folder = folder.parent_path()) {
      const std::optional<Limit> limit = read(hierarchy.version, folder);
      if (limit && (!tightest || *limit < *tightest)) tightest = limit;
    }
  }
  return tightest;
}

std::optional<double> CpusOfGroup(Version version, const fs::path& folder) {
  std::vector<std::string> words;
  if (version == Version::kV2) {
    words = Words(ReadFile(folder / "cpu.max"));
  } else {
    words = Words(ReadFile(folder / "cpu.cfs_quota_us"));
    const std::vector<std::string> period = Words(ReadFile(folder / "cpu.cfs_period_us"));
    words.insert(words.end(), period.begin(), period.end());
  }
  if (words.empty() || words.size() > 2) return std::nullopt;
  const std::optional<uint64_t> quota = PositiveNumber(words[0]);  // none for "max" and -1
  if (!quota) return std::nullopt;
  if (words.size() == 1) return static_cast<double>(*quota) / kDefaultPeriodUs;
  const std::optional<uint64_t> period = PositiveNumber(words[1]);
  if (!period) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<uint64_t> MemoryOfGroup(Version version, const fs::path& folder) {
  const char* file = version == Version::kV2 ? "memory.max" : "memory.limit_in_bytes";
  const std::vector<std::string> words = Words(ReadFile(folder / file));
  return words.size() == 1 ? PositiveNumber(words[0]) : std::nullopt;
}

// What follows `name` at the start of a line of a file in /proc.
std::optional<std::string> ProcField(const fs::path& path, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(ReadFile(path), '\n')) {
    if (absl::ConsumePrefix(&line, name)) return std::string(absl::StripAsciiWhitespace(line));
  }
  return std::nullopt;
}

// How many CPUs a list such as "0-3,8" names.
std::optional<int64_t> CountCpuList(absl::string_view list) {
  int64_t count = 0;
  for (absl::string_view range : absl::StrSplit(list, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(range, '-');
    int64_t first, last;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last)) {
      return std::nullopt;
    }
    if (first < 0 || last < first || last >= kMaxCpus) return std::nullopt;
    count += last - first + 1;
  }
  return count;
}

int64_t AffinityCpus(const std::string& root) {
  if (const auto list = ProcField(Under(root, "/proc/self/status"), "Cpus_allowed_list:")) {
    if (const std::optional<int64_t> count = CountCpuList(*list)) return *count;
  }
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return CPU_COUNT(&allowed);
  return sysconf(_SC_NPROCESSORS_ONLN);
}

uint64_t PhysicalBytes(const std::string& root) {
  if (const auto total = ProcField(Under(root, "/proc/meminfo"), "MemTotal:")) {
    const std::vector<std::string> words = Words(*total);
    if (words.size() == 2 && words[1] == "kB") {
      const std::optional<uint64_t> kib = PositiveNumber(words[0]);
      if (kib && *kib <= std::numeric_limits<uint64_t>::max() / 1024) return *kib * 1024;
    }
  }
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

int CpuQuota(const std::string& root) {
  double cpus = static_cast<double>(AffinityCpus(root));
  if (const auto quota = Tightest<double>(root, "cpu", CpusOfGroup)) cpus = std::min(cpus, std::ceil(*quota));
  return std::max(1, static_cast<int>(cpus));
}

uint64_t MemoryLimitBytes(const std::string& root) {
  const uint64_t physical = PhysicalBytes(root);
  return std::min(physical, Tightest<uint64_t>(root, "memory", MemoryOfGroup).value_or(physical));
}

}  // namespace attend::runtime
