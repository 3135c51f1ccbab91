// Results on their way into shared memory. Not thread-safe; one per answer.
#ifndef ATTEND_SERVER_RPC_SHARED_RESULTS_H_
#define ATTEND_SERVER_RPC_SHARED_RESULTS_H_

#include <string>
#include <vector>

#include "server/rpc/shared_memory.h"
#include "server/rpc/wire_writer.h"
#include "server/runtime/executor.h"

namespace attend::rpc {

// INVALID_ARGUMENT with the bytes needed where tensors of these bytes, placed one after another, exceed `length`.
absl::Status CheckResultsFit(const std::vector<double>& tensor_bytes, uint64_t length);

class SharedResults final : public TensorSink {
 public:
  // Places tensors in `region`, which `place` names, on the executor's threads. REQUIRES: all outlive this.
  SharedResults(const SharedRegion& region, const v1::SharedMemory& place, runtime::Executor& executor)
      : region_(region), place_(place), executor_(executor) {}

  v1::SharedMemory Place(const compute::Tensor& tensor) override;

  // INVALID_ARGUMENT with the bytes needed where the region was too small for all that was placed; errors of writing
  // and of the executor.
  absl::Status status() const;

 private:
  absl::Status Write(const compute::Tensor& tensor, uint64_t at);

  const SharedRegion& region_;
  const v1::SharedMemory& place_;
  runtime::Executor& executor_;
  uint64_t needed_ = 0;
  absl::Status written_;
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_SHARED_RESULTS_H_
