// MatrixExpRequest -> Operation.
#ifndef ATTEND_SERVER_RPC_MATRIX_EXP_CODEC_H_
#define ATTEND_SERVER_RPC_MATRIX_EXP_CODEC_H_

#include "server/rpc/operation.h"

namespace attend::rpc {

// A Decoder. INVALID_ARGUMENT with the field's name for what cannot be served.
absl::StatusOr<std::unique_ptr<Operation>> DecodeMatrixExp(absl::Span<const WireSlice> request,
                                                           runtime::BufferPool& pool);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_MATRIX_EXP_CODEC_H_
