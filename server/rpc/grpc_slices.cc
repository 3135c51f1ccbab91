#include "server/rpc/grpc_slices.h"

#include <utility>

namespace attend::rpc {
namespace {

grpc::Slice ToSlice(WirePiece piece) {
  if (const auto* text = std::get_if<std::string>(&piece)) return grpc::Slice(*text);
  auto* buffer = new runtime::Buffer(std::get<runtime::Buffer>(std::move(piece)));
  return grpc::Slice(
      buffer->data(), buffer->size(), [](void* owner) { delete static_cast<runtime::Buffer*>(owner); }, buffer);
}

}  // namespace

RequestSlices::RequestSlices(const grpc::ByteBuffer& request) {
  // A message without bytes has no slices; gRPC reports that as a failure.
  if (!request.Valid() || !request.Dump(&slices_).ok()) slices_.clear();
  spans_.reserve(slices_.size());
  for (const grpc::Slice& slice : slices_) spans_.emplace_back(slice.begin(), slice.size());
}

grpc::ByteBuffer ToByteBuffer(std::vector<WirePiece> pieces) {
  std::vector<grpc::Slice> slices;
  slices.reserve(pieces.size());
  for (WirePiece& piece : pieces) slices.push_back(ToSlice(std::move(piece)));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace attend::rpc
