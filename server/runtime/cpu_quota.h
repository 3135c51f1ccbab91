// How many CPUs this process may use.
#ifndef ATTEND_SERVER_RUNTIME_CPU_QUOTA_H_
#define ATTEND_SERVER_RUNTIME_CPU_QUOTA_H_

#include <cstdint>
#include <optional>
#include <string>

namespace attend::runtime {

// The CPUs that the cgroup (v1 or v2, the tightest of the process's group and its parents) grants, fractions rounded
// up; bounded by the affinity mask; at least 1. `root` stands for "/" in tests.
int CpuQuota(const std::string& root = "/");

// The memory limit of the cgroup in bytes, or the machine's memory where there is none.
uint64_t MemoryLimitBytes(const std::string& root = "/");

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_CPU_QUOTA_H_
