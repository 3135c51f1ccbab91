// The dictionary at the head of an .npy file.
#ifndef ATTEND_CLIENT_CLI_NPY_HEADER_H_
#define ATTEND_CLIENT_CLI_NPY_HEADER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attend::cli {

struct NpyDictionary {
  std::string descr;  // "<f4"
  bool fortran_order = false;
  std::vector<int64_t> shape;  // each >= 0
};

// Parses a Python dictionary literal with exactly these three keys, in any order. INVALID_ARGUMENT otherwise.
absl::StatusOr<NpyDictionary> ParseNpyDictionary(absl::string_view text);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_NPY_HEADER_H_
