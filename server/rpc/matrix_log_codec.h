// MatrixLogRequest -> Operation.
#ifndef ATTEND_SERVER_RPC_MATRIX_LOG_CODEC_H_
#define ATTEND_SERVER_RPC_MATRIX_LOG_CODEC_H_

#include "server/rpc/operation.h"
#include "server/rpc/request_bytes.h"

namespace attend::rpc {

// A RequestDecoder. INVALID_ARGUMENT with the field's name for what cannot be served.
absl::StatusOr<std::unique_ptr<Operation>> DecodeMatrixLog(const RequestBytes& request, runtime::BufferPool& pool);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_MATRIX_LOG_CODEC_H_
