#include "server/compute/lie/each_matrix.h"

#include <algorithm>

namespace attend::compute {
namespace {

constexpr int64_t kLargestTile = 128;

}  // namespace

absl::Status ForEachMatrix(runtime::Executor& executor, int64_t batch, int64_t n, double products,
                           absl::FunctionRef<absl::Status(runtime::Executor&, int64_t)> each) {
  if (n > kLargestTile) {
    for (int64_t index = 0; index < batch; ++index) {
      if (absl::Status wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
      if (absl::Status done = each(executor, index); !done.ok()) return done;
    }
    return absl::OkStatus();
  }
  const auto size = static_cast<double>(n);
  return executor.ForEachTile(batch, products * 2 * size * size * size, [&](int64_t index, int) {
    runtime::InlineExecutor inner(executor.cancellation());
    return each(inner, index);
  });
}

double MatricesAtOnce(int64_t batch, int64_t n, int workers) {
  if (n > kLargestTile) return batch > 0 ? 1 : 0;
  return static_cast<double>(std::min<int64_t>(batch, workers));
}

}  // namespace attend::compute
