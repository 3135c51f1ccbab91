#include "server/rpc/shared_call.h"

#include <utility>
#include <vector>

#include "server/rpc/field_error.h"
#include "server/rpc/return_if_error.h"
#include "server/rpc/shared_results.h"
#include "server/rpc/wire_reader.h"

namespace attend::rpc {
namespace {

constexpr char kResults[] = "results";

// Runs and encodes an operation's results into shared memory; what is left of the answer is text.
class SharedResultsOperation final : public Operation {
 public:
  SharedResultsOperation(std::unique_ptr<Operation> inner, uint64_t input_bytes, SharedRegion region,
                         v1::SharedMemory place)
      : inner_(std::move(inner)), input_bytes_(input_bytes), region_(std::move(region)), place_(std::move(place)) {}

  double ResponseBytes() const override { return inner_->ResponseBytes(); }
  double WorkspaceBytes(int workers) const override {
    return inner_->WorkspaceBytes(workers) + static_cast<double>(input_bytes_);
  }
  double Flops() const override { return inner_->Flops(); }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    RETURN_IF_ERROR(inner_->Run(executor, pool));
    SharedResults results(region_, place_, executor);
    WireWriter writer(&results);
    inner_->Encode(pool, writer);
    RETURN_IF_ERROR(results.status());
    answer_ = writer.Finish();
    return absl::OkStatus();
  }

  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    for (WirePiece& piece : answer_) writer.AddText(std::get<std::string>(piece));
  }

 private:
  const std::unique_ptr<Operation> inner_;
  const uint64_t input_bytes_;
  const SharedRegion region_;
  const v1::SharedMemory place_;
  std::vector<WirePiece> answer_;  // without tensors' elements: text alone
};

// An operation whose inputs came through shared memory: the message's size does not tell of them.
class SharedInputsOperation final : public Operation {
 public:
  SharedInputsOperation(std::unique_ptr<Operation> inner, uint64_t input_bytes)
      : inner_(std::move(inner)), input_bytes_(input_bytes) {}

  double ResponseBytes() const override { return inner_->ResponseBytes(); }
  double WorkspaceBytes(int workers) const override {
    return inner_->WorkspaceBytes(workers) + static_cast<double>(input_bytes_);
  }
  double Flops() const override { return inner_->Flops(); }
  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    return inner_->Run(executor, pool);
  }
  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
    inner_->Encode(pool, writer);
  }

 private:
  const std::unique_ptr<Operation> inner_;
  const uint64_t input_bytes_;
};

absl::StatusOr<std::unique_ptr<Operation>> Wrap(std::unique_ptr<Operation> inner, SharedCall& call) {
  if (call.results().has_value()) {
    absl::StatusOr<SharedRegion> region = call.OpenResults();
    if (!region.ok()) return region.status();
    RETURN_IF_ERROR(CheckResultsFit(inner->TensorBytes(), region->length()));
    return std::make_unique<SharedResultsOperation>(std::move(inner), call.input_bytes(), *std::move(region),
                                                    *call.results());
  }
  if (call.input_bytes() == 0) return inner;
  return std::make_unique<SharedInputsOperation>(std::move(inner), call.input_bytes());
}

}  // namespace

uint64_t SharedInputBytes(absl::Span<const WireSlice> request, const google::protobuf::Message& type) {
  const std::unique_ptr<google::protobuf::Message> message(type.New());
  const absl::StatusOr<WireRequest> wire = WireRequest::Parse(request, *message);
  return wire.ok() ? wire->SharedBytes() : 0;
}

absl::Status NoSharedMemory(absl::string_view field) {
  return InvalidField(field, "shared memory", "raw, or a server with --shared_memory_dir: this one has none");
}

absl::StatusOr<SharedRegion> SharedCall::OpenInput(const v1::SharedMemory& place, absl::string_view field) {
  if (folder_ == nullptr) return NoSharedMemory(field);
  absl::StatusOr<SharedRegion> region = folder_->OpenRegion(place, field, SharedMemoryFolder::Access::kRead);
  if (!region.ok()) return region;
  if (region->length() > max_bytes_ - input_bytes_) {
    return TooLarge("the tensors in shared memory",
                    static_cast<double>(input_bytes_) + static_cast<double>(region->length()), max_bytes_);
  }
  input_bytes_ += region->length();
  return region;
}

absl::StatusOr<SharedRegion> SharedCall::OpenResults() const {
  if (folder_ == nullptr) return NoSharedMemory(kResults);
  return folder_->OpenRegion(*results_, kResults, SharedMemoryFolder::Access::kWrite);
}

Decoder WithSharedMemory(Decoder decode, const SharedMemoryFolder* folder, uint64_t max_bytes) {
  return [decode = std::move(decode), folder, max_bytes](
             const RequestBytes& request, runtime::BufferPool& pool) -> absl::StatusOr<std::unique_ptr<Operation>> {
    SharedCall call(folder, max_bytes);
    absl::StatusOr<std::unique_ptr<Operation>> operation =
        decode(RequestBytes(request.slices, &call, request.executor), pool);
    if (!operation.ok()) return operation;
    return Wrap(*std::move(operation), call);
  };
}

}  // namespace attend::rpc
