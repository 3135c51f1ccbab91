// ProjectRequest -> Operation.
#ifndef ATTEND_SERVER_RPC_PROJECT_CODEC_H_
#define ATTEND_SERVER_RPC_PROJECT_CODEC_H_

#include "server/rpc/operation.h"

namespace attend::rpc {

// A Decoder. INVALID_ARGUMENT with the field's name for what is malformed.
absl::StatusOr<std::unique_ptr<Operation>> DecodeProject(absl::Span<const WireSlice> request,
                                                         runtime::BufferPool& pool);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_PROJECT_CODEC_H_
