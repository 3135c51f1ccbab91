// What stands before the matrix in a tensor [..., n, m].
#ifndef ATTEND_SERVER_RPC_LEADING_DIMENSIONS_H_
#define ATTEND_SERVER_RPC_LEADING_DIMENSIONS_H_

#include <cstdint>
#include <initializer_list>

#include "server/compute/tensor.h"

namespace attend::rpc {

// The product of the leading dimensions. REQUIRES: rank of at least 2; of a decoded tensor, whose header bounds how
// many empty matrices there can be.
int64_t MatricesOf(const compute::Tensor& tensor);

// `tensor`'s leading dimensions, then `rest`.
compute::Shape WithLeadingDimensions(const compute::Tensor& tensor, std::initializer_list<int64_t> rest);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_LEADING_DIMENSIONS_H_
