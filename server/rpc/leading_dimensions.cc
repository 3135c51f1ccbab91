#include "server/rpc/leading_dimensions.h"

#include <functional>
#include <numeric>

namespace attend::rpc {

int64_t MatricesOf(const compute::Tensor& tensor) {
  return std::accumulate(tensor.shape().begin(), tensor.shape().end() - 2, int64_t{1}, std::multiplies<>());
}

compute::Shape WithLeadingDimensions(const compute::Tensor& tensor, std::initializer_list<int64_t> rest) {
  compute::Shape shape(tensor.shape().begin(), tensor.shape().end() - 2);
  shape.insert(shape.end(), rest.begin(), rest.end());
  return shape;
}

}  // namespace attend::rpc
