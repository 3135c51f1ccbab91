// The example that ships with the program: one sentence, one real transformer layer, and what TensorFlow.js computed
// (examples/README.md). Pure functions, thread-safe.
#ifndef ATTEND_CLIENT_CLI_STREET_H_
#define ATTEND_CLIENT_CLI_STREET_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "attend/v1/attend.pb.h"

namespace attend::cli {

struct Street {
  static constexpr int kHeads = 4;

  std::string sentence;
  std::vector<std::string> tokens;  // n pieces, as the tokenizer made them

  v1::Tokens layer;  // x [n, 256], w_q, w_k, w_v [256, 256], w_o [256, 512] and their biases; num_heads

  // By TensorFlow.js, float32, row-major.
  std::vector<float> weights;  // [heads, n, n]
  std::vector<float> output;   // [n, 512]
};

// Where the files are: `given` if not empty, else examples/street three folders above the program (a build folder), else
// ../share/attend/examples/street beside it (an installation). NOT_FOUND names the places.
absl::StatusOr<std::string> FindStreetFolder(const std::string& given);

// Reads and checks every file. Errors name the file.
absl::StatusOr<Street> LoadStreet(const std::string& folder);

// Columns [begin, end) of a row-major [rows, columns] matrix.
std::vector<float> Columns(absl::Span<const float> matrix, size_t columns, size_t begin, size_t end);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_STREET_H_
