#include "client/lib/shared_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

namespace attend::client {
namespace {

class SharedFileTest : public ::testing::Test {
 protected:
  SharedFileTest() {
    std::string name = ::testing::TempDir() + "shared_XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~SharedFileTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

TEST_F(SharedFileTest, IsAFileWhileItLives) {
  std::optional<SharedFile> file = *SharedFile::Create(folder_, 1000);
  const std::string path = folder_ + "/" + file->Region(0, 0).name();
  EXPECT_EQ(std::filesystem::file_size(path), 1000u);
  std::memcpy(file->bytes().data() + 10, "tensor", 6);
  std::ifstream in(path);
  std::string content(1000, ' ');
  in.read(content.data(), 1000);
  EXPECT_EQ(content.substr(10, 6), "tensor");
  SharedFile moved = *std::move(file);
  file.reset();
  EXPECT_TRUE(std::filesystem::exists(path));
  moved = *SharedFile::Create(folder_, 0);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(SharedFileTest, TensorsStayWithinTheFile) {
  const SharedFile file = *SharedFile::Create(folder_, 1000);
  const std::vector<int64_t> shape = {5, 7};
  const auto tensor = SharedTensor(v1::DATA_TYPE_FLOAT32, shape, file, 860);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->shared().length(), 140u);
  EXPECT_EQ(SharedBytes(*tensor, file)->data(), file.bytes().data() + 860);
  for (uint64_t offset : {uint64_t{861}, uint64_t{1001}, UINT64_MAX}) {
    EXPECT_FALSE(SharedTensor(v1::DATA_TYPE_FLOAT32, shape, file, offset).ok()) << offset;
  }
  EXPECT_FALSE(SharedTensor(v1::DATA_TYPE_UNSPECIFIED, shape, file, 0).ok());
  EXPECT_FALSE(SharedTensor(v1::DATA_TYPE_FLOAT32, std::vector<int64_t>{1, -1}, file, 0).ok());
}

TEST_F(SharedFileTest, BytesOfOtherTensorsAreRefused) {
  const SharedFile file = *SharedFile::Create(folder_, 100);
  const SharedFile other = *SharedFile::Create(folder_, 100);
  v1::Tensor tensor;
  EXPECT_FALSE(SharedBytes(tensor, file).ok());
  *tensor.mutable_shared() = file.Region(50, 51);
  EXPECT_FALSE(SharedBytes(tensor, file).ok());
  *tensor.mutable_shared() = file.Region(UINT64_MAX, 2);
  EXPECT_FALSE(SharedBytes(tensor, file).ok());
  *tensor.mutable_shared() = other.Region(0, 10);
  EXPECT_FALSE(SharedBytes(tensor, file).ok());
}

TEST_F(SharedFileTest, AFolderThatIsNotThereIsUnavailable) {
  EXPECT_EQ(SharedFile::Create(folder_ + "/missing", 1).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace attend::client
