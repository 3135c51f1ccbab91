// GetServerInfoRequest -> Operation.
#ifndef ATTEND_SERVER_RPC_SERVER_INFO_CODEC_H_
#define ATTEND_SERVER_RPC_SERVER_INFO_CODEC_H_

#include "server/rpc/operation.h"

namespace attend::rpc {

// Answers every request with `info`.
Decoder ServerInfoDecoder(v1::GetServerInfoResponse info);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_SERVER_INFO_CODEC_H_
