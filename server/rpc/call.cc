#include "server/rpc/call.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/rpc/field_error.h"
#include "server/rpc/grpc_slices.h"
#include "server/rpc/status.h"

namespace attend::rpc {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

Clock::time_point SteadyDeadline(std::chrono::system_clock::time_point deadline) {
  if (deadline == std::chrono::system_clock::time_point::max()) return Clock::time_point::max();
  const auto left = deadline - std::chrono::system_clock::now();
  // A deadline centuries away would overflow the steady clock.
  if (left > std::chrono::hours(24 * 365)) return Clock::time_point::max();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

class Call final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Call(const CallEnvironment& environment, const Method& method, grpc::CallbackServerContext& context)
      : environment_(environment),
        method_(method),
        context_(context),
        cancellation_(std::make_shared<runtime::Cancellation>(SteadyDeadline(context.deadline()))) {
    method_.metrics.Started();
    Admit();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return EndUnread();
    read_ = Clock::now();
    record_.request_bytes = static_cast<int64_t>(request_.Length());
    environment_.compute.Start(cancellation_, [this](runtime::Executor& executor) { Handle(executor); });
  }

  void OnCancel() override {
    cancellation_->Cancel();
    if (environment_.admission.Withdraw(ticket_)) Refuse(absl::CancelledError("the caller cancelled the call"));
  }

  void OnDone() override {
    if (unread_) Report(WhyUnread());
    delete this;
  }

 private:
  void Admit() {
    const uint64_t bytes = BytesToReserve();
    if (bytes > environment_.max_message_bytes) {
      return Refuse(TooLarge("the request", static_cast<double>(bytes), environment_.max_message_bytes));
    }
    ticket_ = environment_.admission.Admit(bytes, [this, bytes](absl::StatusOr<runtime::Reservation> reservation) {
      OnAdmitted(bytes, std::move(reservation));
    });
  }

  uint64_t BytesToReserve() const {
    const auto& metadata = context_.client_metadata();
    const auto it = metadata.find(kMessageBytesMetadata);
    uint64_t stated;
    if (it != metadata.end() && absl::SimpleAtoi(absl::string_view(it->second.data(), it->second.size()), &stated)) {
      return stated;
    }
    return std::min(
        {environment_.assumed_message_bytes, environment_.max_message_bytes, environment_.admission.budget_bytes()});
  }

  void OnAdmitted(uint64_t bytes, absl::StatusOr<runtime::Reservation> reservation) {
    if (!reservation.ok()) {  // more than the whole budget
      return Refuse(TooLarge("the call", static_cast<double>(bytes), environment_.admission.budget_bytes()));
    }
    reservation_ = *std::move(reservation);
    admitted_ = Clock::now();
    StartRead(&request_);
  }

  // There is no message to be had: the caller went away, or there was none, or it exceeds the limit. The last two look
  // alike until the call is done, and it is counted then.
  void EndUnread() {
    if (grpc_call_failed_before_recv_message(context_.c_call()) != 0) {
      const absl::Status wanted = cancellation_->Check();
      return Refuse(wanted.ok() ? absl::CancelledError("the caller cancelled the call") : wanted);
    }
    unread_ = true;
    Finish(ToGrpcStatus(NoMessage()));
  }

  static absl::Status NoMessage() { return InvalidField("request", "no message", "one message"); }

  // gRPC itself ends a call whose message exceeds the limit, and tells the client so.
  absl::Status WhyUnread() const {
    if (!context_.IsCancelled()) return NoMessage();
    return absl::ResourceExhaustedError(
        absl::StrCat("the request exceeds the limit of ", environment_.max_message_bytes, " bytes"));
  }

  // On a compute thread.
  void Handle(runtime::Executor& executor) {
    const Clock::time_point started = Clock::now();
    record_.queue_seconds = Seconds(arrived_, admitted_) + Seconds(read_, started);
    try {
      const absl::Status status = DecodeRunEncode(executor, started);
      if (!status.ok()) return Refuse(status);
    } catch (const std::bad_alloc&) {
      return Refuse(absl::ResourceExhaustedError("the server has no memory for this call"));
    }
    Count(absl::OkStatus());
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  absl::Status DecodeRunEncode(runtime::Executor& executor, Clock::time_point started) {
    if (absl::Status wanted = cancellation_->Check(); !wanted.ok()) return wanted;
    absl::StatusOr<std::unique_ptr<Operation>> operation = Decode();
    const Clock::time_point decoded = Clock::now();
    record_.decode_seconds = Seconds(admitted_, read_) + Seconds(started, decoded);
    if (!operation.ok()) return operation.status();
    if (absl::Status fits = ReserveWorkingMemory(**operation); !fits.ok()) return fits;

    const absl::Status ran = (*operation)->Run(executor, environment_.buffers);
    const Clock::time_point computed = Clock::now();
    record_.compute_seconds = Seconds(decoded, computed);
    if (!ran.ok()) return ran;
    record_.flops = (*operation)->Flops();

    Encode(**operation);
    record_.encode_seconds = Seconds(computed, Clock::now());
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Operation>> Decode() {
    const RequestSlices slices(request_);
    absl::StatusOr<std::unique_ptr<Operation>> operation = method_.decoder(slices.spans(), environment_.buffers);
    request_.Clear();  // gathered: gRPC may have its memory back
    return operation;
  }

  absl::Status ReserveWorkingMemory(const Operation& operation) {
    const double response = operation.ResponseBytes();
    if (response > static_cast<double>(environment_.max_message_bytes)) {
      return TooLarge("the response", response, environment_.max_message_bytes);
    }
    const double total =
        static_cast<double>(record_.request_bytes) + response + operation.WorkspaceBytes(environment_.compute.slots());
    if (total > static_cast<double>(environment_.admission.budget_bytes())) {
      return TooLarge("the call", total, environment_.admission.budget_bytes());
    }
    reservation_.Resize(static_cast<uint64_t>(total));
    return absl::OkStatus();
  }

  void Encode(Operation& operation) {
    v1::CallStats stats;
    stats.set_queue_seconds(record_.queue_seconds);
    stats.set_decode_seconds(record_.decode_seconds);
    stats.set_compute_seconds(record_.compute_seconds);
    stats.set_flops(record_.flops);
    stats.set_peak_bytes(reservation_.bytes());
    WireWriter writer;
    operation.Encode(environment_.buffers, stats, writer);
    record_.response_bytes = static_cast<int64_t>(writer.bytes());
    response_ = ToByteBuffer(writer.Finish());
  }

  // Ends the call with an error. The last thing done to it: gRPC may delete it at once.
  void Refuse(const absl::Status& status) {
    Report(status);
    Finish(ToGrpcStatus(status));
  }

  // Logs and counts a failure.
  void Report(const absl::Status& status) {
    const bool our_bug = status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kUnknown;
    environment_.logger.Log(our_bug ? logging::Level::kError : logging::Level::kInfo, "call failed",
                            {{"method", method_.name},
                             {"code", absl::StatusCodeToString(status.code())},
                             {"peer", peer_},
                             {"detail", std::string(status.message())}});
    Count(status);
  }

  // Before the answer leaves, so that whoever has it finds it counted.
  void Count(const absl::Status& status) {
    record_.code = static_cast<int>(status.code());
    record_.handling_seconds = Seconds(arrived_, Clock::now());
    method_.metrics.Finished(record_);
  }

  const CallEnvironment& environment_;
  const Method& method_;
  grpc::CallbackServerContext& context_;
  const std::string peer_ = context_.peer();  // unknown once the connection is gone
  const std::shared_ptr<runtime::Cancellation> cancellation_;
  runtime::Admission::Ticket ticket_ = 0;
  runtime::Reservation reservation_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  metrics::CallRecord record_;
  bool unread_ = false;
  const Clock::time_point arrived_ = Clock::now();
  Clock::time_point admitted_ = arrived_;
  Clock::time_point read_ = arrived_;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartCall(const CallEnvironment& environment,
                                                                       const Method& method,
                                                                       grpc::CallbackServerContext& context) {
  return new Call(environment, method, context);
}

}  // namespace attend::rpc
