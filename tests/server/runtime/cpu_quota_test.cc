#include "server/runtime/cpu_quota.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace attend::runtime {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr const char* kV2Mount = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kV1Mounts =
    "31 23 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";

// A file system of 64 allowed CPUs and 1 GiB of memory in a temporary folder; tests add the cgroups.
class FakeRoot : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "cpu_quota_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    Write("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-63\n");
    Write("proc/meminfo", "MemTotal:        1048576 kB\nMemFree:  1 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = std::filesystem::path(root_) / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }
  int Cpus() const { return CpuQuota(root_); }
  uint64_t Memory() const { return MemoryLimitBytes(root_); }

  std::string root_;
};

using CpuQuotaV2 = FakeRoot;
using CpuQuotaV1 = FakeRoot;
using CpuQuotaMixed = FakeRoot;
using CpuAffinity = FakeRoot;
using MemoryLimit = FakeRoot;

TEST_F(CpuQuotaV2, FractionsAreRoundedUp) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("proc/self/cgroup", "0::/\n");
  const struct {
    const char* text;
    int cpus;
  } cases[] = {{"150000 100000\n", 2}, {"100000 100000\n", 1}, {"100001 100000\n", 2}, {"1000 100000\n", 1},
               {"1200000 100000", 12}, {"25000 50000\n", 1},   {"300000\n", 3},        {"6400000 100000\n", 64}};
  for (const auto& expected : cases) {
    Write("sys/fs/cgroup/cpu.max", expected.text);
    EXPECT_EQ(Cpus(), expected.cpus) << expected.text;
  }
}

TEST_F(CpuQuotaV2, MaxIsNoLimit) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(Cpus(), 64);
}

TEST_F(CpuQuotaV2, TheTightestOfTheGroupAndItsParentsWins) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("proc/self/cgroup", "0::/kubepods/pod1/container\n");
  Write("sys/fs/cgroup/kubepods/cpu.max", "800000 100000\n");
  Write("sys/fs/cgroup/kubepods/pod1/cpu.max", "250000 100000\n");
  Write("sys/fs/cgroup/kubepods/pod1/container/cpu.max", "max 100000\n");
  EXPECT_EQ(Cpus(), 3);
  Write("sys/fs/cgroup/kubepods/pod1/container/cpu.max", "200000 100000\n");
  EXPECT_EQ(Cpus(), 2);
  Write("sys/fs/cgroup/kubepods/cpu.max", "50000 100000\n");
  EXPECT_EQ(Cpus(), 1);
}

TEST_F(CpuQuotaV2, OtherGroupsDoNotCount) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("proc/self/cgroup", "0::/mine\n");
  Write("sys/fs/cgroup/mine/cpu.max", "400000 100000\n");
  Write("sys/fs/cgroup/mine/child/cpu.max", "100000 100000\n");
  Write("sys/fs/cgroup/other/cpu.max", "100000 100000\n");
  Write("sys/fs/cpu.max", "100000 100000\n");  // above the mount
  EXPECT_EQ(Cpus(), 4);
}

TEST_F(CpuQuotaV2, APathThatDoesNotExistFallsBackToTheMount) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("sys/fs/cgroup/cpu.max", "350000 100000\n");
  for (const char* group : {"0::/system.slice/docker-abc.scope\n", "0::/../../other\n", "0::/..\n", "0::/\n", ""}) {
    Write("proc/self/cgroup", group);
    EXPECT_EQ(Cpus(), 4) << group;
  }
}

TEST_F(CpuQuotaV2, AMountOfASubtreeIsSeenFromItsRoot) {
  Write("proc/self/mountinfo", "31 23 0:28 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n");
  Write("sys/fs/cgroup/cpu.max", "500000 100000\n");
  Write("sys/fs/cgroup/worker/cpu.max", "300000 100000\n");
  Write("sys/fs/cgroup/docker/abc/worker/cpu.max", "100000 100000\n");  // a name that only looks like ours
  Write("proc/self/cgroup", "0::/docker/abc\n");
  EXPECT_EQ(Cpus(), 5);
  Write("proc/self/cgroup", "0::/docker/abc/worker\n");
  EXPECT_EQ(Cpus(), 3);
  Write("proc/self/cgroup", "0::/docker/other\n");
  EXPECT_EQ(Cpus(), 5);
}

TEST_F(CpuQuotaV2, MountPointsMayHaveSpaces) {
  Write("proc/self/mountinfo", "31 23 0:28 / /mnt/c\\040group rw - cgroup2 none rw\n");
  Write("proc/self/cgroup", "0::/a\n");
  Write("mnt/c group/a/cpu.max", "200000 100000\n");
  EXPECT_EQ(Cpus(), 2);
}

TEST_F(CpuQuotaV2, WithoutMountinfoTheUsualPlacesAreRead) {
  Write("proc/self/cgroup", "0::/a\n");
  Write("sys/fs/cgroup/a/cpu.max", "200000 100000\n");
  EXPECT_EQ(Cpus(), 2);
}

TEST_F(CpuQuotaV1, QuotaOverPeriodIsRoundedUp) {
  Write("proc/self/mountinfo", kV1Mounts);
  Write("proc/self/cgroup", "4:memory:/\n2:cpu,cpuacct:/app\n");
  Write("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "150000\n");
  Write("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cpus(), 2);
  Write("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(Cpus(), 3);
}

TEST_F(CpuQuotaV1, MinusOneIsNoLimit) {
  Write("proc/self/mountinfo", kV1Mounts);
  Write("proc/self/cgroup", "2:cpu,cpuacct:/app\n");
  Write("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "-1\n");
  Write("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cpus(), 64);
}

TEST_F(CpuQuotaV1, ParentsCount) {
  Write("proc/self/mountinfo", kV1Mounts);
  Write("proc/self/cgroup", "2:cpu,cpuacct:/pod/app\n");
  Write("sys/fs/cgroup/cpu,cpuacct/pod/app/cpu.cfs_quota_us", "-1\n");
  Write("sys/fs/cgroup/cpu,cpuacct/pod/app/cpu.cfs_period_us", "100000\n");
  Write("sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us", "700000\n");
  Write("sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cpus(), 7);
}

TEST_F(CpuQuotaV1, AHostPathInAContainerFallsBackToTheMount) {
  Write("proc/self/mountinfo", "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n");
  Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
  Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  for (const char* group : {"2:cpu,cpuacct:/docker/abc\n", "2:cpu,cpuacct:/somewhere/else\n"}) {
    Write("proc/self/cgroup", group);
    EXPECT_EQ(Cpus(), 3) << group;
  }
}

TEST_F(CpuQuotaV1, WithoutMountinfoTheUsualPlacesAreRead) {
  for (const char* folder : {"sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"}) {
    Write(std::string(folder) + "/cpu.cfs_quota_us", "200000\n");
    Write(std::string(folder) + "/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(Cpus(), 2) << folder;
    std::filesystem::remove_all(std::filesystem::path(root_) / folder);
  }
}

TEST_F(CpuQuotaMixed, HybridLayoutsReadBothHierarchies) {
  Write("proc/self/mountinfo",
        std::string(kV1Mounts) + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
  Write("proc/self/cgroup", "2:cpu,cpuacct:/v1\n1:name=systemd:/v1\n0::/v2\n");
  Write("sys/fs/cgroup/cpu,cpuacct/v1/cpu.cfs_quota_us", "500000\n");
  Write("sys/fs/cgroup/cpu,cpuacct/v1/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cpus(), 5);
  Write("sys/fs/cgroup/unified/v2/cpu.max", "400000 100000\n");
  EXPECT_EQ(Cpus(), 4);
}

TEST_F(CpuQuotaMixed, GarbageIsIgnored) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("0 100000\n"), std::string("-5 100000\n"),
        std::string("100000 0\n"), std::string("1e5 100000\n"), std::string("100000 100000 100000\n"),
        std::string("99999999999999999999999999 100000\n"), std::string("nan nan\n"), std::string(5000, '\xff'),
        std::string("\0\0\0", 3)}) {
    Write("proc/self/mountinfo", kV2Mount);
    Write("proc/self/cgroup", "0::/\n");
    Write("sys/fs/cgroup/cpu.max", text);
    Write("sys/fs/cgroup/memory.max", text == "-5 100000\n" ? "-5\n" : text);
    EXPECT_EQ(Cpus(), 64) << text;
    EXPECT_EQ(Memory(), 1024 * kMiB) << text;
    Write("proc/self/mountinfo", text);
    Write("proc/self/cgroup", text);
    EXPECT_EQ(Cpus(), 64) << text;
  }
  Write("proc/self/cgroup", "::::\n0:/\n0::relative\nx:y\n0::/a/../../../../b\n");
  Write("proc/self/mountinfo", "1 2 3 - - - -\n- cgroup2\n1 2 3 \\ \\x - cgroup2 a b\n");
  EXPECT_EQ(Cpus(), 64);
}

TEST_F(CpuQuotaMixed, AFolderInPlaceOfAFileIsIgnored) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("sys/fs/cgroup/cpu.max/x", "");
  EXPECT_EQ(Cpus(), 64);
}

TEST_F(CpuAffinity, BoundsTheQuota) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/cpu.max", "500000 100000\n");
  Write("proc/self/status", "Cpus_allowed_list:\t0-1,8,10-10\n");
  EXPECT_EQ(Cpus(), 4);
  Write("proc/self/status", "Cpus_allowed_list:\t7\n");
  EXPECT_EQ(Cpus(), 1);
  Write("proc/self/status", "Cpus_allowed_list:\t0-31\n");
  EXPECT_EQ(Cpus(), 5);
}

TEST_F(CpuAffinity, IsThisProcesssWhereTheListIsMissingOrGarbage) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  for (const char* list : {"", "Cpus_allowed_list:\n", "Cpus_allowed_list: 3-1\n", "Cpus_allowed_list: 0-99999999\n",
                           "Cpus_allowed_list: 0-1-2\n", "Cpus_allowed_list: -1\n", "Cpus_allowed_list: x,1\n"}) {
    Write("proc/self/status", list);
    EXPECT_EQ(Cpus(), CPU_COUNT(&allowed)) << list;
  }
}

TEST_F(MemoryLimit, V2TakesTheTightest) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("proc/self/cgroup", "0::/pod/app\n");
  EXPECT_EQ(Memory(), 1024 * kMiB);
  Write("sys/fs/cgroup/pod/app/memory.max", "max\n");
  EXPECT_EQ(Memory(), 1024 * kMiB);
  Write("sys/fs/cgroup/pod/memory.max", "536870912\n");
  EXPECT_EQ(Memory(), 512 * kMiB);
  Write("sys/fs/cgroup/pod/app/memory.max", "268435456\n");
  EXPECT_EQ(Memory(), 256 * kMiB);
}

TEST_F(MemoryLimit, V1HugeValueIsNoLimit) {
  Write("proc/self/mountinfo", kV1Mounts);
  Write("proc/self/cgroup", "4:memory:/app\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("sys/fs/cgroup/memory/app/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Memory(), 1024 * kMiB);
  Write("sys/fs/cgroup/memory/app/memory.limit_in_bytes", "67108864\n");
  EXPECT_EQ(Memory(), 64 * kMiB);
}

TEST_F(MemoryLimit, IsNeverMoreThanTheMachineHas) {
  Write("proc/self/mountinfo", kV2Mount);
  Write("sys/fs/cgroup/memory.max", "2147483648\n");
  EXPECT_EQ(Memory(), 1024 * kMiB);
}

TEST_F(MemoryLimit, WithoutMeminfoTheSystemIsAsked) {
  std::filesystem::remove(std::filesystem::path(root_) / "proc/meminfo");
  EXPECT_EQ(Memory(), static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
}

TEST(CpuQuota, OfThisMachineIsSane) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  EXPECT_GE(CpuQuota(), 1);
  EXPECT_LE(CpuQuota(), CPU_COUNT(&allowed));
  EXPECT_GT(MemoryLimitBytes(), 16 * kMiB);
}

}  // namespace
}  // namespace attend::runtime
