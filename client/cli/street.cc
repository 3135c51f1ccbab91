#include "client/cli/street.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/cli/npy.h"
#include "client/lib/tensor.h"

namespace attend::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kModel = 256;   // columns of x
constexpr int64_t kMerged = 256;  // heads side by side
constexpr int64_t kOutput = 512;
constexpr char kAnyFile[] = "tokens.json";

// Reads one array after another and remembers the first failure, so that the caller checks once.
class StreetReader {
 public:
  explicit StreetReader(const std::string& folder) : folder_(folder) {}

  std::vector<float> Floats(const std::string& name, const std::vector<int64_t>& shape) {
    if (!status_.ok()) return {};
    const std::string path = (folder_ / name).string();
    std::ifstream stream(path, std::ios::binary);
    absl::StatusOr<NpyArray> array = ReadNpy(stream);
    if (!array.ok()) {
      Fail(path, stream.is_open() ? array.status().message() : "cannot open");
    } else if (array->type != NpyType::kFloat32 || array->shape != shape) {
      Fail(path, absl::StrCat("got shape ", client::ShapeText(array->shape), ", expected float32 ",
                              client::ShapeText(shape)));
    }
    if (!status_.ok()) return {};
    std::vector<float> floats(array->bytes.size() / sizeof(float));
    std::memcpy(floats.data(), array->bytes.data(), array->bytes.size());
    return floats;
  }

  void Sentence(Street& street) {
    const std::string path = (folder_ / kAnyFile).string();
    std::ifstream stream(path);
    const nlohmann::json document = nlohmann::json::parse(stream, nullptr, false);
    if (!document.is_object() || !document.contains("sentence") || !document["sentence"].is_string() ||
        !document.contains("tokens") || !document["tokens"].is_array()) {
      return Fail(path, "expected a JSON object with sentence and tokens");
    }
    street.sentence = document["sentence"];
    for (const nlohmann::json& token : document["tokens"]) {
      if (!token.is_string()) return Fail(path, "expected tokens to be strings");
      street.tokens.push_back(token);
    }
    if (street.tokens.empty()) Fail(path, "there are no tokens");
  }

  const absl::Status& status() const { return status_; }

 private:
  void Fail(const std::string& path, absl::string_view what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
  }

  const fs::path folder_;
  absl::Status status_;
};

v1::Tensor Tensor(const std::vector<int64_t>& shape, const std::vector<float>& elements) {
  return client::MakeTensor(shape, absl::MakeConstSpan(elements)).value();
}

}  // namespace

absl::StatusOr<std::string> FindStreetFolder(const std::string& given) {
  std::error_code ignored;
  if (!given.empty()) {
    if (fs::exists(fs::path(given) / kAnyFile, ignored)) return given;
    return absl::NotFoundError(absl::StrCat("there is no ", kAnyFile, " in ", given));
  }
  const fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  const fs::path built = (here / "../../../examples/street").lexically_normal();
  const fs::path installed = (here / "../share/attend/examples/street").lexically_normal();
  for (const fs::path& candidate : {built, installed}) {
    if (fs::exists(candidate / kAnyFile, ignored)) return candidate.string();
  }
  return absl::NotFoundError(absl::StrCat("the example is neither in ", built.string(), " nor in ", installed.string(),
                                          ": name its folder with --data"));
}

absl::StatusOr<Street> LoadStreet(const std::string& folder) {
  Street street;
  StreetReader reader(folder);
  reader.Sentence(street);
  const auto n = static_cast<int64_t>(street.tokens.size());
  const std::vector<float> x = reader.Floats("x.npy", {n, kModel});
  const std::vector<float> w_qkv = reader.Floats("w_qkv.npy", {kModel, 3 * kMerged});
  const std::vector<float> b_qkv = reader.Floats("b_qkv.npy", {3 * kMerged});
  const std::vector<float> w_out = reader.Floats("w_out.npy", {kMerged, kOutput});
  const std::vector<float> b_out = reader.Floats("b_out.npy", {kOutput});
  street.weights = reader.Floats("weights.npy", {Street::kHeads, n, n});
  street.output = reader.Floats("output.npy", {n, kOutput});
  if (!reader.status().ok()) return reader.status();

  v1::Tokens& layer = street.layer;
  *layer.mutable_x() = Tensor({n, kModel}, x);
  const auto part = [&](size_t index, v1::Tensor* w, v1::Tensor* b) {
    const size_t begin = index * kMerged;
    const size_t end = begin + kMerged;
    *w = Tensor({kModel, kMerged}, Columns(w_qkv, 3 * kMerged, begin, end));
    *b = Tensor({kMerged}, Columns(b_qkv, 3 * kMerged, begin, end));
  };
  part(0, layer.mutable_w_q(), layer.mutable_b_q());
  part(1, layer.mutable_w_k(), layer.mutable_b_k());
  part(2, layer.mutable_w_v(), layer.mutable_b_v());
  *layer.mutable_w_o() = Tensor({kMerged, kOutput}, w_out);
  *layer.mutable_b_o() = Tensor({kOutput}, b_out);
  layer.set_num_heads(Street::kHeads);
  return street;
}

std::vector<float> Columns(absl::Span<const float> matrix, size_t columns, size_t begin, size_t end) {
  std::vector<float> part;
  part.reserve(matrix.size() / columns * (end - begin));
  for (size_t row = 0; row < matrix.size(); row += columns) {
    part.insert(part.end(), matrix.begin() + row + begin, matrix.begin() + row + end);
  }
  return part;
}

}  // namespace attend::cli
