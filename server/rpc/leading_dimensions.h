// What stands before the matrix in a tensor [..., n, m].
#ifndef ATTEND_SERVER_RPC_LEADING_DIMENSIONS_H_
#define ATTEND_SERVER_RPC_LEADING_DIMENSIONS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/compute/tensor.h"

namespace attend::rpc {

// The product of the leading dimensions. INVALID_ARGUMENT where that many empty matrices cannot be reported on: at most
// 2^20 of them, since each costs a report though it has no elements. REQUIRES: rank of at least 2.
absl::StatusOr<int64_t> MatricesOf(const compute::Tensor& tensor, absl::string_view field);

// `tensor`'s leading dimensions, then `rest`.
compute::Shape WithLeadingDimensions(const compute::Tensor& tensor, std::initializer_list<int64_t> rest);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_LEADING_DIMENSIONS_H_
