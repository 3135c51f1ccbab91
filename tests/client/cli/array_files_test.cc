#include "client/cli/array_files.h"

#include <sstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "client/cli/npy.h"
#include "client/lib/convert.h"
#include "client/lib/tensor.h"
#include "tests/client/cli/scratch_folder.h"

namespace attend::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string NpyFile(NpyType type, std::vector<int64_t> shape, const std::string& data) {
  return NpyHeader(type, shape) + data;
}

class ArrayFilesTest : public ::testing::Test {
 protected:
  ArrayFilesTest()
      : out_(open(folder_.File("stdout").c_str(), O_WRONLY | O_CREAT, 0600)),
        err_(open(folder_.File("stderr").c_str(), O_WRONLY | O_CREAT, 0600)),
        console_(out_, err_),
        files_(standard_input_, console_) {}
  ~ArrayFilesTest() override {
    close(out_);
    close(err_);
  }

  ScratchFolder folder_;
  const int out_;
  const int err_;
  std::istringstream standard_input_;
  Console console_;
  ArrayFiles files_;
};

TEST_F(ArrayFilesTest, TensorsSurviveTheRoundTrip) {
  const std::string path = folder_.File("a.npy");
  const v1::Tensor tensor = *client::MakeTensor({2, 2}, std::vector<double>{1, -2, 0.5, 1e-300});
  ASSERT_TRUE(files_.ClaimOutput(path).ok());
  ASSERT_TRUE(files_.WriteTensor(path, tensor).ok());
  const absl::StatusOr<v1::Tensor> read = files_.ReadTensor(path, std::nullopt);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->SerializeAsString(), tensor.SerializeAsString());
}

TEST_F(ArrayFilesTest, Bfloat16IsWrittenAsFloat32) {
  const std::string path = folder_.File("b.npy");
  const v1::Tensor tensor =
      *client::ConvertTensor(*client::MakeTensor({2}, std::vector<float>{1.5f, -3}), v1::DATA_TYPE_BFLOAT16);
  ASSERT_TRUE(files_.WriteTensor(path, tensor).ok());
  EXPECT_THAT(*client::ReadFloats(*files_.ReadTensor(path, std::nullopt)), ElementsAre(1.5f, -3));
}

TEST_F(ArrayFilesTest, AsConvertsFloatingArraysOnly) {
  const std::string floats = folder_.Write("f.npy", NpyFile(NpyType::kFloat32, {1}, std::string("\0\0\x80\x3f", 4)));
  const std::string bools = folder_.Write("m.npy", NpyFile(NpyType::kBool, {1}, "\x01"));
  EXPECT_EQ(files_.ReadTensor(floats, v1::DATA_TYPE_BFLOAT16)->raw(), std::string("\x80\x3f", 2));
  EXPECT_EQ(files_.ReadTensor(bools, v1::DATA_TYPE_BFLOAT16)->dtype(), v1::DATA_TYPE_BOOL);
}

TEST_F(ArrayFilesTest, ErrorsNameTheFile) {
  const std::string missing = folder_.File("missing.npy");
  EXPECT_THAT(std::string(files_.ReadTensor(missing, {}).status().message()), HasSubstr(missing));
  EXPECT_THAT(std::string(files_.ReadTensor(folder_.File(""), {}).status().message()), HasSubstr("is a folder"));
  const std::string junk = folder_.Write("junk.npy", "junk");
  EXPECT_THAT(std::string(files_.ReadTensor(junk, {}).status().message()), HasSubstr(junk + ": it is not an .npy"));
  const std::string integers = folder_.Write("i.npy", NpyFile(NpyType::kInt64, {1}, std::string(8, '\0')));
  EXPECT_THAT(std::string(files_.ReadTensor(integers, {}).status().message()), HasSubstr("is an int64 array"));
}

TEST_F(ArrayFilesTest, ReadsIntegersOfBothWidths) {
  const std::string wide =
      folder_.Write("w.npy", NpyFile(NpyType::kInt64, {2}, std::string("\3\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0", 16)));
  const std::string narrow =
      folder_.Write("n.npy", NpyFile(NpyType::kInt32, {2}, std::string("\3\0\0\0\xff\xff\xff\xff", 8)));
  const std::string square = folder_.Write("s.npy", NpyFile(NpyType::kInt32, {1, 1}, std::string(4, '\0')));
  EXPECT_THAT(*files_.ReadIntegers(wide), ElementsAre(3, 5));
  EXPECT_THAT(*files_.ReadIntegers(narrow), ElementsAre(3, -1));
  EXPECT_FALSE(files_.ReadIntegers(square).ok());
}

TEST_F(ArrayFilesTest, StandardInputIsReadOnce) {
  standard_input_.str(NpyFile(NpyType::kBool, {1}, "\x01"));
  EXPECT_TRUE(files_.ReadTensor("-", {}).ok());
  EXPECT_THAT(std::string(files_.ReadTensor("-", {}).status().message()), HasSubstr("only one input"));
}

TEST_F(ArrayFilesTest, StandardOutputCarriesOneArrayAndNoText) {
  ASSERT_TRUE(files_.ClaimOutput("-").ok());
  EXPECT_FALSE(files_.ClaimOutput("-").ok());
  console_.Text("for people\n");
  const v1::Tensor tensor = *client::MakeTensor({1}, std::vector<uint8_t>{1});
  ASSERT_TRUE(files_.WriteTensor("-", tensor).ok());
  EXPECT_EQ(ScratchFolder::Read(folder_.File("stdout")), NpyFile(NpyType::kBool, {1}, "\x01"));
  EXPECT_EQ(ScratchFolder::Read(folder_.File("stderr")), "for people\n");
}

TEST_F(ArrayFilesTest, RefusesTwoOutputsIntoOneFileAndMissingFolders) {
  EXPECT_TRUE(files_.ClaimOutput(folder_.File("o.npy")).ok());
  EXPECT_FALSE(files_.ClaimOutput(folder_.File("o.npy")).ok());
  EXPECT_FALSE(files_.ClaimOutput(folder_.File("nowhere/o.npy")).ok());
  EXPECT_TRUE(files_.ClaimOutput("").ok());
  EXPECT_TRUE(files_.ClaimOutput("").ok());
}

TEST_F(ArrayFilesTest, FullDiskIsAnError) {
  const absl::Status status = files_.WriteTensor("/dev/full", *client::MakeTensor({1}, std::vector<float>{1}));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/dev/full: cannot write"));
}

}  // namespace
}  // namespace attend::cli
