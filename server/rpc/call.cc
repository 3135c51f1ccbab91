#include "server/rpc/call.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/rpc/busy.h"
#include "server/rpc/deadline.h"
#include "server/rpc/field_error.h"
#include "server/rpc/grpc_slices.h"
#include "server/rpc/status.h"

namespace attend::rpc {
namespace {

using Clock = std::chrono::steady_clock;

// What a response has beside its tensors' elements, in most cases: framing, shapes, reports and stats.
constexpr double kFramingBytes = 256;

// Messages that are decoded, and results that are written, in some 0.1 ms.
constexpr int64_t kMostBytesHere = 1 << 20;

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

logging::Level LevelOf(const absl::Status& status) {
  const bool our_bug = status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kUnknown;
  if (our_bug) return logging::Level::kError;
  // Under overload there are thousands of these in a second; the metrics count them.
  const bool busy = RetryPushbackMs(status).value_or(-1) >= 0;
  return busy ? logging::Level::kDebug : logging::Level::kInfo;
}

class Call final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Call(const CallEnvironment& environment, const Method& method, grpc::CallbackServerContext& context)
      : environment_(environment),
        method_(method),
        context_(context),
        cancellation_(std::make_shared<runtime::Cancellation>(SteadyDeadline(context.deadline()))) {
    ++environment_.open_calls;
    method_.metrics.Started();
    Admit();
  }
  ~Call() override { --environment_.open_calls; }

  void OnReadDone(bool ok) override {
    transfer_.Finish();
    if (!ok) return EndUnread();
    record_.decode_seconds = Lap();
    record_.request_bytes = static_cast<int64_t>(request_.Length());
    message_ = environment_.buffers.CountOutside(request_.Length());
    const uint64_t bytes = 2 * static_cast<uint64_t>(record_.request_bytes);
    if (request_.Length() > environment_.max_message_bytes) {
      return Refuse(TooLarge("the request", static_cast<double>(request_.Length()), environment_.max_message_bytes));
    }
    if (bytes > Budget()) return Refuse(RequestTooLarge(record_.request_bytes));
    if (Reserve(bytes, &Call::GatherRunAnswer) == Reserved::kYes && !RunHere()) Compute(&Call::GatherRunAnswer);
  }

  void OnCancel() override {
    const absl::Status expired = cancellation_->Check();
    cancellation_->Cancel();
    if (!environment_.admission.Withdraw(ticket_)) return;
    Refuse(expired.ok() ? Cancelled() : expired);
  }

  void OnDone() override {
    transfer_.Finish();
    if (unread_) Report(WhyUnread());
    if (transfer_.stalled() && record_.response_bytes >= 0) Log(transfer_.status());  // counted as answered
    delete this;
  }

 private:
  using Step = void (Call::*)(runtime::Executor&);
  enum class Reserved { kYes, kLater };

  uint64_t Budget() const { return environment_.admission.budget_bytes(); }

  void Admit() {
    const std::optional<uint64_t> stated = StatedBytes();
    if (stated > environment_.max_message_bytes) {
      return Refuse(TooLarge("the request", static_cast<double>(*stated), environment_.max_message_bytes));
    }
    if (stated > Budget() / 2) return Refuse(RequestTooLarge(*stated));
    const uint64_t bytes = stated.has_value() ? 2 * *stated : std::min(environment_.assumed_message_bytes, Budget());
    const auto answer = environment_.admission.Admit(
        bytes, cancellation_, [this, message_bytes = stated.value_or(bytes)](runtime::Reservation reservation) {
          Read(std::move(reservation), message_bytes);
        });
    if (const auto* busy = std::get_if<runtime::Busy>(&answer)) return Refuse(ToStatus(*busy));
    ticket_ = std::get<runtime::Admission::Ticket>(answer);
  }

  std::optional<uint64_t> StatedBytes() const {
    const auto& metadata = context_.client_metadata();
    const auto it = metadata.find(kMessageBytesMetadata);
    uint64_t stated;
    if (it != metadata.end() && absl::SimpleAtoi(absl::string_view(it->second.data(), it->second.size()), &stated)) {
      return stated;
    }
    return std::nullopt;
  }

  // It is held twice while it is decoded.
  absl::Status RequestTooLarge(uint64_t bytes) const {
    return TooLarge(absl::StrCat("a request of ", bytes, " bytes"), 2 * static_cast<double>(bytes), Budget());
  }

  void Read(runtime::Reservation reservation, uint64_t message_bytes) {
    reservation_ = std::move(reservation);
    message_ = environment_.buffers.CountOutside(message_bytes);
    record_.queue_seconds = Lap();
    transfer_.Begin(environment_.transfers, context_.c_call(), message_bytes, "the request did not arrive");
    StartRead(&request_);
  }

  // There is no message to be had: the caller went away, or sent none. The two may look alike until the call is done,
  // and it is counted then.
  void EndUnread() {
    if (transfer_.stalled()) return Refuse(transfer_.status());
    if (absl::Status wanted = cancellation_->Check(); !wanted.ok()) return Refuse(wanted);
    if (grpc_call_failed_before_recv_message(context_.c_call()) != 0) return Refuse(Cancelled());
    unread_ = true;
    Finish(ToGrpcStatus(NoMessage()));
  }

  static absl::Status Cancelled() { return absl::CancelledError("the caller cancelled the call"); }
  static absl::Status NoMessage() { return InvalidField("request", "no message", "one message"); }

  absl::Status WhyUnread() const { return context_.IsCancelled() ? Cancelled() : NoMessage(); }

  // Corrects what the call has reserved. kLater: `next` runs once there is room, and the call is no longer the caller's
  // to touch. Who was cancelled goes on as it is and meets the cancellation at once.
  Reserved Reserve(uint64_t bytes, Step next) {
    peak_bytes_ = std::max(peak_bytes_, bytes);
    const auto growth =
        environment_.admission.Grow(reservation_, bytes, *cancellation_, [this, next] { Compute(next); });
    return growth == runtime::Admission::Growth::kWaiting ? Reserved::kLater : Reserved::kYes;
  }

  // Runs `step` on a compute thread.
  void Compute(Step step) {
    environment_.compute.Start(cancellation_, [this, step](runtime::Executor& executor) { Run(step, executor); });
  }

  // A brief call is done on gRPC's own thread, whoever computes meanwhile: waking another thread costs some 40 us, and
  // a tile of a large call takes longer than this. What turns out not to be brief goes on to a compute thread, for
  // gRPC's must not be held up. False: nothing was done.
  bool RunHere() {
    if (record_.request_bytes > kMostBytesHere || SharedInputBytes() > 0) return false;
    const std::shared_ptr<const runtime::Cancellation> cancellation = cancellation_;  // the call may end in Run
    runtime::InlineExecutor executor(*cancellation);
    Run(&Call::DecodeRunBrieflyAnswer, executor);
    return true;
  }

  void Run(Step step, runtime::Executor& executor) {
    record_.queue_seconds += Lap();
    try {
      (this->*step)(executor);
    } catch (const std::bad_alloc&) {
      Refuse(absl::ResourceExhaustedError("the server has no memory for this call"));
    }
  }

  // Inputs in shared memory are gathered beside the message, once there is room for them too.
  void GatherRunAnswer(runtime::Executor& executor) {
    const uint64_t shared = SharedInputBytes();
    if (shared == 0) return DecodeRunAnswer(executor);
    if (shared > environment_.max_message_bytes) {
      return Refuse(
          TooLarge("the tensors in shared memory", static_cast<double>(shared), environment_.max_message_bytes));
    }
    const uint64_t bytes = 2 * static_cast<uint64_t>(record_.request_bytes) + shared;
    if (bytes > Budget()) return Refuse(TooLarge("the request", static_cast<double>(bytes), Budget()));
    if (Reserve(bytes, &Call::DecodeRunAnswer) == Reserved::kYes) DecodeRunAnswer(executor);
  }

  uint64_t SharedInputBytes() const {
    return method_.shared_bytes ? method_.shared_bytes(RequestSlices(request_).spans()) : 0;
  }

  void DecodeRunAnswer(runtime::Executor& executor) {
    if (DecodeReserve(executor)) RunAnswer(executor);
  }

  void DecodeRunBrieflyAnswer(runtime::Executor& executor) {
    if (!DecodeReserve(executor)) return;
    if (!operation_->Brief() || operation_->ResponseBytes() > kMostBytesHere) return Compute(&Call::RunAnswer);
    RunAnswer(executor);
  }

  // False: the call is no longer the caller's to touch.
  bool DecodeReserve(runtime::Executor& executor) {
    if (absl::Status decoded = Decode(executor); !decoded.ok()) return Refuse(decoded), false;
    const absl::StatusOr<uint64_t> bytes = BytesToRun();
    if (!bytes.ok()) return Refuse(bytes.status()), false;
    return Reserve(*bytes, &Call::RunAnswer) == Reserved::kYes;
  }

  absl::Status Decode(runtime::Executor& executor) {
    if (absl::Status wanted = cancellation_->Check(); !wanted.ok()) return wanted;
    const RequestSlices slices(request_);
    absl::StatusOr<std::unique_ptr<Operation>> operation =
        method_.decoder(RequestBytes(slices.spans(), nullptr, &executor), environment_.buffers);
    ForgetMessage();  // gathered: gRPC may have its memory back
    record_.decode_seconds += Lap();
    if (!operation.ok()) return operation.status();
    operation_ = *std::move(operation);
    return absl::OkStatus();
  }

  void ForgetMessage() {
    request_.Clear();
    message_ = runtime::OutsideMemory();
  }

  // Request, response and working memory together, or why they can never fit.
  absl::StatusOr<uint64_t> BytesToRun() const {
    const double response = operation_->ResponseBytes() + kFramingBytes;
    if (response > static_cast<double>(environment_.max_message_bytes)) {
      return TooLarge("the response", response, environment_.max_message_bytes);
    }
    const double total = static_cast<double>(record_.request_bytes) + response +
                         operation_->WorkspaceBytes(environment_.compute.slots());
    if (total > static_cast<double>(Budget())) return TooLarge("the call", total, Budget());
    return static_cast<uint64_t>(total);
  }

  void RunAnswer(runtime::Executor& executor) {
    if (absl::Status wanted = cancellation_->Check(); !wanted.ok()) return Refuse(wanted);
    const absl::Status ran = operation_->Run(executor, environment_.buffers);
    record_.compute_seconds = Lap();
    if (!ran.ok()) return Refuse(ran);
    record_.flops = operation_->Flops();
    Encode();
    if (record_.response_bytes > static_cast<int64_t>(environment_.max_message_bytes)) return RefuseResponse();
    Count(absl::OkStatus());
    transfer_.Begin(environment_.transfers, context_.c_call(), static_cast<uint64_t>(record_.response_bytes),
                    "the caller did not take the response");
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  void Encode() {
    WireWriter writer;
    operation_->Encode(environment_.buffers, writer);
    record_.encode_seconds = Lap();
    // Last and once, for not every client merges a message that comes twice.
    if (method_.stats_field != 0) writer.AddMessage(method_.stats_field, Stats());
    record_.response_bytes = static_cast<int64_t>(writer.bytes());
    response_ = ToByteBuffer(writer.Finish());
    operation_.reset();
    reservation_.Answered();
    reservation_.ShrinkTo(static_cast<uint64_t>(record_.response_bytes));
    record_.encode_seconds += Lap();
  }

  // Its framing takes more than was foreseen.
  void RefuseResponse() {
    const auto bytes = static_cast<double>(std::exchange(record_.response_bytes, -1));
    response_.Clear();
    Refuse(TooLarge("the response", bytes, environment_.max_message_bytes));
  }

  v1::CallStats Stats() const {
    v1::CallStats stats;
    stats.set_queue_seconds(record_.queue_seconds);
    stats.set_decode_seconds(record_.decode_seconds);
    stats.set_compute_seconds(record_.compute_seconds);
    stats.set_encode_seconds(record_.encode_seconds);
    stats.set_flops(record_.flops);
    stats.set_peak_bytes(peak_bytes_);
    return stats;
  }

  // Seconds since the last lap ended, or since the call arrived.
  double Lap() {
    const Clock::time_point now = Clock::now();
    return Seconds(std::exchange(lap_, now), now);
  }

  // Ends the call with an error. The last thing done to it: gRPC may delete it at once.
  void Refuse(const absl::Status& status) {
    Report(status);
    if (const std::optional<int64_t> pushback = RetryPushbackMs(status)) {
      context_.AddTrailingMetadata(kRetryPushbackMetadata, absl::StrCat(*pushback));
    }
    ForgetMessage();
    operation_.reset();
    reservation_ = runtime::Reservation();  // others need not wait until gRPC is done with this call
    Finish(ToGrpcStatus(status));
  }

  void Report(const absl::Status& status) {
    Log(status);
    Count(status);
  }

  void Log(const absl::Status& status) {
    environment_.logger.Log(LevelOf(status), "call failed",
                            {{"method", method_.name},
                             {"code", absl::StatusCodeToString(status.code())},
                             {"peer", peer_},
                             {"detail", std::string(status.message())}});
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
  uint64_t peak_bytes_ = 0;  // of the reservation
  grpc::ByteBuffer request_;
  runtime::OutsideMemory message_;    // request_ in the eyes of the buffer pool
  TransferWatch::Transfer transfer_;  // of the request, then of the response
  std::unique_ptr<Operation> operation_;
  grpc::ByteBuffer response_;
  metrics::CallRecord record_;
  bool unread_ = false;
  const Clock::time_point arrived_ = Clock::now();
  Clock::time_point lap_ = arrived_;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartCall(const CallEnvironment& environment,
                                                                       const Method& method,
                                                                       grpc::CallbackServerContext& context) {
  return new Call(environment, method, context);
}

}  // namespace attend::rpc
