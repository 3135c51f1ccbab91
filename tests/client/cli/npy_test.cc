#include "client/cli/npy.h"

#include <cstring>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace attend::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A version 1.0 file, header written by hand: independent of NpyHeader.
std::string File(const std::string& dictionary, const std::string& data) {
  const std::string header = dictionary + "\n";
  std::string file("\x93NUMPY\x01\x00", 8);
  file.push_back(static_cast<char>(header.size() % 256));
  file.push_back(static_cast<char>(header.size() / 256));
  return file + header + data;
}

std::string Dictionary(const std::string& descr, const std::string& shape, const std::string& order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

template <typename T>
std::string Bytes(const std::vector<T>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T)};
}

template <typename T>
std::vector<T> Numbers(const NpyArray& array) {
  std::vector<T> numbers(array.bytes.size() / sizeof(T));
  if (!numbers.empty()) std::memcpy(numbers.data(), array.bytes.data(), array.bytes.size());
  return numbers;
}

absl::StatusOr<NpyArray> Parse(const std::string& file) {
  std::istringstream stream(file);
  return ReadNpy(stream);
}

std::string Problem(const std::string& file) { return std::string(Parse(file).status().message()); }

TEST(Npy, ReadsWhatItWrites) {
  for (const NpyType type :
       {NpyType::kFloat16, NpyType::kFloat32, NpyType::kFloat64, NpyType::kInt32, NpyType::kInt64, NpyType::kBool}) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{}, {5}, {2, 3}, {0, 4}, {1, 2, 3, 4, 5, 1, 1, 1, 129}}) {
      int64_t count = 1;
      for (const int64_t dimension : shape) count *= dimension;
      const std::string data(static_cast<size_t>(count * NpyElementBytes(type)), '\x01');
      const std::string header = NpyHeader(type, shape);
      EXPECT_EQ(header.size() % 64, 0u);
      const absl::StatusOr<NpyArray> array = Parse(header + data);
      ASSERT_TRUE(array.ok()) << array.status();
      EXPECT_EQ(array->type, type);
      EXPECT_EQ(array->shape, shape);
      EXPECT_EQ(array->bytes, data);
    }
  }
}

TEST(Npy, ReadsAllLengthsOfHeaders) {
  // 128 and more: lengths whose low byte has its top bit set.
  for (const size_t padding : {0, 60, 100, 190, 250, 500}) {
    const std::string file = File(Dictionary("<f4", "(1,)") + std::string(padding, ' '), Bytes<float>({7}));
    const absl::StatusOr<NpyArray> array = Parse(file);
    ASSERT_TRUE(array.ok()) << padding << ": " << array.status();
    EXPECT_THAT(Numbers<float>(*array), ElementsAre(7));
  }
}

TEST(Npy, ReadsVersionsTwoAndThree) {
  for (const char version : {2, 3}) {
    const std::string dictionary = Dictionary("<f8", "()") + "\n";
    std::string file = std::string("\x93NUMPY") + version + std::string(1, '\0');
    file.push_back(static_cast<char>(dictionary.size()));
    file += std::string(3, '\0') + dictionary + Bytes<double>({2.5});
    const absl::StatusOr<NpyArray> array = Parse(file);
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_THAT(Numbers<double>(*array), ElementsAre(2.5));
  }
}

TEST(Npy, ReadsKeysInAnyOrderAndEitherQuotes) {
  const absl::StatusOr<NpyArray> array =
      Parse(File("{\"shape\":(2L,),\"descr\":\"<i8\",\"fortran_order\":False}", Bytes<int64_t>({3, -5})));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_THAT(Numbers<int64_t>(*array), ElementsAre(3, -5));
}

TEST(Npy, TurnsFortranOrderIntoRows) {
  const std::vector<float> columns = {1, 4, 2, 5, 3, 6};
  const absl::StatusOr<NpyArray> array = Parse(File(Dictionary("<f4", "(2, 3)", "True"), Bytes(columns)));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_THAT(Numbers<float>(*array), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(Npy, TurnsFortranOrderOfThreeDimensionsIntoRows) {
  // Element [i, j, k] is 100 i + 10 j + k.
  std::vector<int32_t> columns;
  for (int k = 0; k < 4; ++k) {
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 2; ++i) columns.push_back(100 * i + 10 * j + k);
    }
  }
  std::vector<int32_t> rows = columns;
  std::sort(rows.begin(), rows.end());
  const absl::StatusOr<NpyArray> array = Parse(File(Dictionary("<i4", "(2, 3, 4)", "True"), Bytes(columns)));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(Numbers<int32_t>(*array), rows);
}

TEST(Npy, TurnsBigEndianNumbersAround) {
  const absl::StatusOr<NpyArray> array =
      Parse(File(Dictionary(">i4", "(2,)"), std::string("\0\0\0\1\xff\xff\xff\xfe", 8)));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_THAT(Numbers<int32_t>(*array), ElementsAre(1, -2));
}

TEST(Npy, BooleansAreZeroOrOne) {
  const absl::StatusOr<NpyArray> array = Parse(File(Dictionary("|b1", "(3,)"), std::string("\x00\x01\x7f", 3)));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->bytes, std::string("\x00\x01\x01", 3));
}

TEST(Npy, SaysWhatIsWrong) {
  const std::string data = Bytes<float>({1, 2});
  const std::string good = File(Dictionary("<f4", "(2,)"), data);
  EXPECT_THAT(Problem(""), HasSubstr("empty"));
  EXPECT_THAT(Problem("PK\x03\x04 an archive of arrays"), HasSubstr("not an .npy file"));
  EXPECT_THAT(Problem(good.substr(0, 5)), HasSubstr("not an .npy file"));
  EXPECT_THAT(Problem(std::string("\x93NUMPY\x09\x00", 8)), HasSubstr("version 9"));
  EXPECT_THAT(Problem(good.substr(0, 9)), HasSubstr("ends within"));
  EXPECT_THAT(Problem(good.substr(0, 30)), HasSubstr("ends within"));
  EXPECT_THAT(Problem(good.substr(0, good.size() - 3)), HasSubstr("ends after 5 bytes, expected 8"));
  EXPECT_THAT(Problem(good + "x"), HasSubstr("follows the 8 bytes"));
  EXPECT_THAT(Problem(File(Dictionary("<c8", "(1,)"), data)), HasSubstr("'<c8' is not supported"));
  EXPECT_THAT(Problem(File("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", data)),
              HasSubstr("not one plain dtype"));
  EXPECT_THAT(Problem(File(Dictionary("<f4", "(-2,)"), data)), HasSubstr("shape is not a tuple"));
  EXPECT_THAT(Problem(File(Dictionary("<f4", "(2.5,)"), data)), HasSubstr("shape is not a tuple"));
  EXPECT_THAT(Problem(File(Dictionary("<f4", "(2,)", "Maybe"), data)), HasSubstr("neither True nor False"));
  EXPECT_THAT(Problem(File("{'descr': '<f4', 'shape': (2,)}", data)), HasSubstr("lacks"));
  EXPECT_THAT(Problem(File("{'descr': '<f4'", data)), HasSubstr("not a dictionary"));
  EXPECT_THAT(Problem(File("", data)), HasSubstr("not a dictionary"));
}

TEST(Npy, LiesAboutTheSizeCostNoMemory) {
  EXPECT_THAT(Problem(File(Dictionary("<f8", "(4611686018427387904, 4)"), "")), HasSubstr("beyond any memory"));
  EXPECT_THAT(Problem(File(Dictionary("<f8", "(1000000, 1000000)"), "1234")), HasSubstr("ends after 4 bytes"));
  EXPECT_THAT(Problem(File(Dictionary("<f8", "(99999999999999999999,)"), "")), HasSubstr("not a tuple of sizes"));
}

TEST(Npy, EveryCutOfAFileIsRefused) {
  const std::string good = File(Dictionary("<f4", "(2, 3)"), Bytes<float>({1, 2, 3, 4, 5, 6}));
  for (size_t length = 0; length < good.size(); ++length) EXPECT_FALSE(Parse(good.substr(0, length)).ok()) << length;
  EXPECT_TRUE(Parse(good).ok());
}

}  // namespace
}  // namespace attend::cli
