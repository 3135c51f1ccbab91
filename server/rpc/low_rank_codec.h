// LowRankProjection of a ProjectRequest -> Operation.
#ifndef ATTEND_SERVER_RPC_LOW_RANK_CODEC_H_
#define ATTEND_SERVER_RPC_LOW_RANK_CODEC_H_

#include "attend/v1/attend.pb.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/operation.h"

namespace attend::rpc {

absl::StatusOr<std::unique_ptr<Operation>> DecodeLowRank(const v1::LowRankProjection& low_rank, FieldReader& reader);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_LOW_RANK_CODEC_H_
