// NumPy's .npy files (format versions 1, 2 and 3). Pure functions, thread-safe.
//
// Read here and not by xtensor's xnpy.hpp: that reader sign-extends the header's length (and so rejects valid files),
// takes no notice of missing data, allocates whatever the header claims, and knows no float16 and no big-endian.
// Format: numpy.lib.format in NumPy's reference.
#ifndef ATTEND_CLIENT_CLI_NPY_H_
#define ATTEND_CLIENT_CLI_NPY_H_

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace attend::cli {

enum class NpyType { kFloat16, kFloat32, kFloat64, kInt32, kInt64, kBool };

struct NpyArray {
  NpyType type = NpyType::kFloat32;
  std::vector<int64_t> shape;
  std::string bytes;  // row-major, little-endian; booleans are 0 or 1
};

int64_t NpyElementBytes(NpyType type);

// One array, which must end where the stream ends. Fortran order and big-endian numbers are brought into the form
// above. Memory grows with what really arrives, whatever the header claims.
// INVALID_ARGUMENT says what is wrong with the file; nothing throws.
absl::StatusOr<NpyArray> ReadNpy(std::istream& stream);

// Everything before the data: magic, version 1.0, header; a multiple of 64 bytes long.
std::string NpyHeader(NpyType type, absl::Span<const int64_t> shape);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_NPY_H_
