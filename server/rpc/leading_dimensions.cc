#include "server/rpc/leading_dimensions.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "server/rpc/field_error.h"

namespace attend::rpc {
namespace {

constexpr int64_t kMostEmptyMatrices = int64_t{1} << 20;

}  // namespace

absl::StatusOr<int64_t> MatricesOf(const compute::Tensor& tensor, absl::string_view field) {
  const auto leading = absl::MakeConstSpan(tensor.shape()).subspan(0, tensor.shape().size() - 2);
  const std::optional<int64_t> count = compute::ElementCount(leading);
  if (count.has_value() && (tensor.size() > 0 || *count <= kMostEmptyMatrices)) return *count;
  return InvalidField(absl::StrCat(field, ".shape"), compute::ShapeToString(tensor.shape()),
                      absl::StrCat("at most ", kMostEmptyMatrices, " empty matrices"));
}

compute::Shape WithLeadingDimensions(const compute::Tensor& tensor, std::initializer_list<int64_t> rest) {
  compute::Shape shape(tensor.shape().begin(), tensor.shape().end() - 2);
  shape.insert(shape.end(), rest.begin(), rest.end());
  return shape;
}

}  // namespace attend::rpc
