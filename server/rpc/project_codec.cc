#include "server/rpc/project_codec.h"

#include "attend/v1/attend.pb.h"
#include "server/rpc/algebra_codec.h"
#include "server/rpc/congruence_codec.h"
#include "server/rpc/field_error.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/linear_codec.h"
#include "server/rpc/low_rank_codec.h"

namespace attend::rpc {

absl::StatusOr<std::unique_ptr<Operation>> DecodeProject(absl::Span<const WireSlice> slices,
                                                         runtime::BufferPool& pool) {
  v1::ProjectRequest request;
  absl::StatusOr<WireRequest> wire = WireRequest::Parse(slices, request);
  if (!wire.ok()) return wire.status();
  FieldReader reader(*wire, pool);
  switch (request.operation_case()) {
    case v1::ProjectRequest::kLinear:
      return DecodeLinear(request.linear(), reader);
    case v1::ProjectRequest::kCongruence:
      return DecodeCongruence(request.congruence(), reader);
    case v1::ProjectRequest::kAlgebra:
      return DecodeAlgebra(request.algebra(), reader);
    case v1::ProjectRequest::kLowRank:
      return DecodeLowRank(request.low_rank(), reader);
    case v1::ProjectRequest::OPERATION_NOT_SET:
      break;
  }
  return InvalidField("operation", "nothing", "linear, congruence, algebra or low_rank");
}

}  // namespace attend::rpc
