// Tensors from and to .npy files, `-` being stdin and stdout. Not thread-safe.
//
// .npy has no bfloat16: such results are written as float32 (exact). Errors: INVALID_ARGUMENT, or errno's code, with
// the file's name first.
#ifndef ATTEND_CLIENT_CLI_ARRAY_FILES_H_
#define ATTEND_CLIENT_CLI_ARRAY_FILES_H_

#include <cstdint>
#include <istream>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attend/v1/attend.pb.h"
#include "client/cli/console.h"
#include "client/cli/npy.h"

namespace attend::cli {

class ArrayFiles {
 public:
  // Neither is owned; both outlive this.
  ArrayFiles(std::istream& standard_input, Console& console) : input_(standard_input), console_(console) {}

  // The array in `path`. `as` converts floating arrays; others keep their type. int64 arrays are refused: no tensor of
  // the service has that type.
  absl::StatusOr<v1::Tensor> ReadTensor(const std::string& path, std::optional<v1::DataType> as);

  // The elements of an int32 or int64 array of one dimension.
  absl::StatusOr<std::vector<int64_t>> ReadIntegers(const std::string& path);

  // To be called for every output before the first is written, and before any text: refuses two outputs into one file
  // and a file in a folder that is not there, and reserves stdout. An empty path is no output.
  absl::Status ClaimOutput(const std::string& path);

  // REQUIRES: path was claimed.
  absl::Status WriteTensor(const std::string& path, const v1::Tensor& tensor);

 private:
  absl::StatusOr<NpyArray> ReadArray(const std::string& path);

  std::istream& input_;
  Console& console_;
  bool input_taken_ = false;
  std::set<std::string> outputs_;
};

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_ARRAY_FILES_H_
