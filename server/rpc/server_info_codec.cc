#include "server/rpc/server_info_codec.h"

#include <utility>

#include "server/rpc/wire_reader.h"

namespace attend::rpc {
namespace {

class ServerInfoOperation final : public Operation {
 public:
  explicit ServerInfoOperation(const v1::GetServerInfoResponse& info) : info_(info) {}

  double ResponseBytes() const override { return 0; }
  double WorkspaceBytes(int workers) const override { return 0; }
  double Flops() const override { return 0; }
  bool Brief() const override { return true; }
  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override { return absl::OkStatus(); }
  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    writer.AddFields(info_);
  }

 private:
  const v1::GetServerInfoResponse info_;
};

}  // namespace

Decoder ServerInfoDecoder(v1::GetServerInfoResponse info) {
  return [info = std::move(info)](const RequestBytes& slices,
                                  runtime::BufferPool& pool) -> absl::StatusOr<std::unique_ptr<Operation>> {
    v1::GetServerInfoRequest request;
    absl::StatusOr<WireRequest> wire = WireRequest::Parse(slices, request);
    if (!wire.ok()) return wire.status();
    return std::make_unique<ServerInfoOperation>(info);
  };
}

}  // namespace attend::rpc
