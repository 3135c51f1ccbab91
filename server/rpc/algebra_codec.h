// AlgebraProjection of a ProjectRequest -> Operation.
#ifndef ATTEND_SERVER_RPC_ALGEBRA_CODEC_H_
#define ATTEND_SERVER_RPC_ALGEBRA_CODEC_H_

#include "attend/v1/attend.pb.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/operation.h"

namespace attend::rpc {

absl::StatusOr<std::unique_ptr<Operation>> DecodeAlgebra(const v1::AlgebraProjection& algebra, FieldReader& reader);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_ALGEBRA_CODEC_H_
