// How a batch of matrices is split: small ones are a tile each, large ones come one after the other and split their own
// products. Thread-safe; depends on shapes alone.
#ifndef ATTEND_SERVER_COMPUTE_LIE_EACH_MATRIX_H_
#define ATTEND_SERVER_COMPUTE_LIE_EACH_MATRIX_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Runs each(executor, index) for every index in [0, batch) of matrices [n, n] that take about `products` n x n
// products.
absl::Status ForEachMatrix(runtime::Executor& executor, int64_t batch, int64_t n, double products,
                           absl::FunctionRef<absl::Status(runtime::Executor&, int64_t)> each);

// Of how many matrices the working memory is held at a time.
double MatricesAtOnce(int64_t batch, int64_t n, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_EACH_MATRIX_H_
