#include "server/rpc/shared_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/server/rpc/codec_test_util.h"
#include "tests/server/rpc/shared_folder.h"

namespace attend::rpc {
namespace {

using Access = SharedMemoryFolder::Access;

class SharedMemory : public ::testing::Test {
 protected:
  absl::Status Open(const std::string& name, uint64_t offset = 0, uint64_t length = 1, Access access = Access::kRead) {
    return shared_.folder().OpenRegion(PlaceIn(name, offset, length), "x.shared", access).status();
  }

  SharedFolder shared_;
};

TEST_F(SharedMemory, ReadsWhatStandsThere) {
  shared_.Write("a", "0123456789");
  const auto region = shared_.folder().OpenRegion(PlaceIn("a", 3, 5), "x.shared", Access::kRead);
  ASSERT_TRUE(region.ok()) << region.status();
  char bytes[5];
  EXPECT_TRUE(region->ReadAt(0, bytes, 2).ok());
  EXPECT_TRUE(region->ReadAt(2, bytes + 2, 3).ok());
  EXPECT_EQ(std::string(bytes, 5), "34567");
}

TEST_F(SharedMemory, WritesWithinTheRegion) {
  shared_.Write("a", "0123456789");
  const auto region = shared_.folder().OpenRegion(PlaceIn("a", 3, 5), "results", Access::kWrite);
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_TRUE(region->WriteAt(1, "abc", 3).ok());
  EXPECT_EQ(shared_.Read("a"), "0123abc789");
}

TEST_F(SharedMemory, NamesAreOneComponent) {
  shared_.Write("a", "secret");
  std::filesystem::create_directory(shared_.path() + "/b");
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("/etc/passwd"), std::string("../a"),
        std::string("b/../a"), std::string("./a"), std::string("a/"), std::string("a\0b", 3), std::string(256, 'a')}) {
    const absl::Status status = Open(name);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(ViolatedField(status), "x.shared.name");
  }
}

TEST_F(SharedMemory, OnlyRegularFilesAreOpened) {
  const SharedFolder elsewhere;
  elsewhere.Write("secret", "secret");
  shared_.Write("a", "content");
  std::filesystem::create_symlink(elsewhere.path() + "/secret", shared_.path() + "/link");
  std::filesystem::create_symlink("a", shared_.path() + "/inner_link");
  std::filesystem::create_directory(shared_.path() + "/folder");
  ASSERT_EQ(mkfifo((shared_.path() + "/fifo").c_str(), 0600), 0);
  for (const char* name : {"link", "inner_link", "folder", "fifo", "missing"}) {
    for (Access access : {Access::kRead, Access::kWrite}) {
      const absl::Status status = Open(name, 0, 1, access);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
      EXPECT_EQ(ViolatedField(status), "x.shared.name") << status;
    }
  }
}

TEST_F(SharedMemory, RangesStayWithinTheFile) {
  shared_.Write("a", "0123456789");
  EXPECT_TRUE(Open("a", 0, 10).ok());
  EXPECT_TRUE(Open("a", 10, 0).ok());
  const std::pair<uint64_t, uint64_t> beyond[] = {
      {0, 11}, {1, 10}, {11, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX}, {UINT64_MAX, UINT64_MAX}, {uint64_t{1} << 63, 0}};
  for (const auto& [offset, length] : beyond) {
    const absl::Status status = Open("a", offset, length);
    EXPECT_EQ(ViolatedField(status), "x.shared") << status;
    EXPECT_NE(status.message().find("10 bytes"), std::string::npos) << status;
  }
}

TEST_F(SharedMemory, AFileThatShrinksIsAnError) {
  shared_.Write("a", std::string(10000, 'x'));
  const auto region = shared_.folder().OpenRegion(PlaceIn("a", 0, 10000), "x.shared", Access::kRead);
  ASSERT_TRUE(region.ok());
  ASSERT_EQ(truncate((shared_.path() + "/a").c_str(), 5000), 0);
  std::vector<char> bytes(10000);
  EXPECT_TRUE(region->ReadAt(0, bytes.data(), 4000).ok());
  const absl::Status status = region->ReadAt(4000, bytes.data(), 6000);
  EXPECT_EQ(ViolatedField(status), "x.shared");
  EXPECT_NE(status.message().find("5000 bytes after offset"), std::string::npos) << status;
}

TEST_F(SharedMemory, AFolderMustBeOne) {
  shared_.Write("a", "x");
  EXPECT_EQ(SharedMemoryFolder::Open(shared_.path() + "/a").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(SharedMemoryFolder::Open(shared_.path() + "/missing").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace attend::rpc
