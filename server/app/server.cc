#include "server/app/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "server/app/housekeeper.h"
#include "server/app/stalled_connections.h"
#include "server/app/unix_socket.h"
#include "server/compute/gemm.h"
#include "server/logging/logger.h"
#include "server/metrics/call_metrics.h"
#include "server/metrics/endpoint.h"
#include "server/rpc/service.h"
#include "server/rpc/shared_memory.h"
#include "server/rpc/transfer_watch.h"
#include "server/runtime/admission.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/compute_pool.h"
#include "server/runtime/cpu_quota.h"

namespace attend::app {
namespace {

// Reflection on or off for one server. The library registers its plugin for the whole process when it is linked, so
// "on" means that it stays and "off" that it goes.
class ReflectionOption final : public grpc::ServerBuilderOption {
 public:
  explicit ReflectionOption(bool on) : on_(on) {}

  void UpdateArguments(grpc::ChannelArguments* arguments) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    auto reflection = std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>();
    std::erase_if(*plugins, [&](const auto& plugin) { return plugin->name() == reflection->name(); });
    if (on_) plugins->push_back(std::move(reflection));
  }

 private:
  const bool on_;
};

// Of one connection. Refused calls too stay with gRPC until the caller has taken their answers.
constexpr int kMostStreams = 1024;

// Up, since 0 stands for never.
std::chrono::milliseconds Milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(std::ceil(seconds * 1e3)));
}

// Options with every "0: take what the machine grants" replaced by what it grants.
v1::GetServerInfoResponse MakeServerInfo(const Options& options) {
  v1::GetServerInfoResponse info;
  info.set_version(ATTEND_VERSION);
  info.set_cpu_isa(compute::OneDnnIsa());
  info.set_onednn_version(compute::OneDnnVersion());
  info.set_compute_threads(static_cast<uint32_t>(options.compute_threads));
  info.set_max_message_bytes(options.max_message_bytes);
  info.set_memory_budget_bytes(options.memory_budget_bytes);
  info.set_shared_memory(!options.shared_memory_dir.empty());
  for (v1::DataType dtype :
       {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64, v1::DATA_TYPE_BFLOAT16, v1::DATA_TYPE_FLOAT16}) {
    info.add_dtypes(dtype);
  }
  return info;
}

std::vector<metrics::MetricsRegistry::MethodName> MetricMethods() {
  std::vector<metrics::MetricsRegistry::MethodName> methods;
  for (const std::string& name : rpc::MethodNames()) methods.push_back({rpc::ServiceName(), name});
  return methods;
}

class RunningServer final : public Server {
 public:
  RunningServer(const Options& options, std::unique_ptr<const rpc::SharedMemoryFolder> shared_memory)
      : options_(options),
        logger_(logging::ParseLevel(options.log_level).value_or(logging::Level::kInfo)),
        buffers_({.max_total_bytes = options.memory_budget_bytes / 4 * 3}),
        admission_({options.memory_budget_bytes, options.max_calls, options.max_queue}),
        compute_(options.compute_threads),
        metrics_({ATTEND_VERSION, compute::OneDnnVersion(), compute::OneDnnIsa()}, MetricMethods(), Gauges()),
        shared_memory_(std::move(shared_memory)),
        transfers_(Milliseconds(options.transfer_timeout_seconds)),
        service_({compute_, admission_, buffers_, logger_, transfers_, open_calls_, options.max_message_bytes,
                  options.assumed_message_bytes},
                 metrics_, MakeServerInfo(options), shared_memory_.get()) {
    WarmUp();
  }

  ~RunningServer() override { Shutdown(std::chrono::milliseconds(0)); }

  absl::Status Listen() {
    if (on_socket_) {
      if (absl::Status free = PrepareUnixSocket(options_.listen); !free.ok()) return free;
    }
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options_.listen, grpc::InsecureServerCredentials(), &port_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    // Calls that wait to be admitted then hold one small window each, not what a fast link would let in.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    // Whoever is gone without a word gives back what its calls hold after a minute and a half.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 30000);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMostStreams);
    for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
      builder.SetCompressionAlgorithmSupportStatus(algorithm, options_.compression);
    }
    // The wrapper bounds messages. gRPC's own limit looks at a message once it is all there, and tells nobody why.
    builder.SetMaxReceiveMessageSize(-1);
    builder.SetMaxSendMessageSize(-1);
    builder.SetOption(std::make_unique<ReflectionOption>(options_.reflection));
    builder.RegisterService(&service_);
    {
      const SocketMode mode(static_cast<mode_t>(options_.socket_mode));
      grpc_ = builder.BuildAndStart();
    }
    if (grpc_ == nullptr || port_ == 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", options_.listen,
                                                 ": the port is taken or the address is not this machine's"));
    }
    WatchConnections();
    ReportServing(true);
    return ListenForMetrics();
  }

  int port() const override { return on_socket_ ? 0 : port_; }
  int metrics_port() const override { return endpoint_ == nullptr ? 0 : endpoint_->port(); }

  std::string Banner() const override {
    return absl::StrCat(
        "attend-server ", ATTEND_VERSION, " listening on ",
        on_socket_ ? options_.listen : WithPort(options_.listen, port()),
        endpoint_ == nullptr
            ? std::string(", metrics off")
            : absl::StrCat(", metrics on http://", WithPort(options_.metrics_listen, metrics_port()), "/metrics"),
        ", ", compute::OneDnnIsa(), ", oneDNN ", compute::OneDnnVersion(), ", ", options_.compute_threads,
        options_.compute_threads == 1 ? " thread" : " threads");
  }

  void Shutdown(std::chrono::milliseconds grace) override {
    std::call_once(shut_down_, [&] {
      ready_ = false;
      if (!connections_.has_value()) return;
      ReportServing(false);
      // gRPC waits for calls that it cancels, which end where their connections do.
      connections_->EndPatience(StalledConnections::Clock::now() + grace);
      grpc_->Shutdown(std::chrono::system_clock::now() + grace);
      grpc_->Wait();
    });
  }

 private:
  static std::string WithPort(const std::string& address, int port) {
    return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
  }

  std::vector<metrics::GaugeReading> Gauges() {
    const auto bytes = [](size_t value) { return static_cast<double>(value); };
    return {
        {"attend_buffer_pool_bytes", "Bytes of tensor memory held, in use or kept for the next call.",
         [=, this] { return bytes(buffers_.in_use_bytes() + buffers_.idle_bytes()); }},
        {"attend_memory_reserved_bytes", "Bytes of the memory budget that admitted calls hold.",
         [=, this] { return bytes(admission_.reserved_bytes()); }},
        {"attend_memory_budget_bytes", "Bytes that admitted calls may hold together.",
         [=, this] { return bytes(admission_.budget_bytes()); }},
        {"attend_waiting_calls", "Calls that wait to be admitted.",
         [this] { return static_cast<double>(admission_.waiting_calls()); }},
        {"attend_admitted_calls", "Calls that hold a share of the memory budget.",
         [this] { return static_cast<double>(admission_.admitted_calls()); }},
        {"attend_growing_calls", "Admitted calls that wait for more memory than they had reserved.",
         [this] { return static_cast<double>(admission_.growing_calls()); }},
        {"attend_compute_threads", "Threads that compute.", [this] { return static_cast<double>(compute_.slots()); }},
    };
  }

  void WatchConnections() {
    StalledConnections::Address address;
    if (on_socket_) {
      address.path = UnixSocketPath(options_.listen);
    } else {
      address.port = port_;
    }
    connections_.emplace(
        StalledConnections::Settings{std::move(address), Milliseconds(options_.transfer_timeout_seconds),
                                     options_.max_calls + options_.max_queue + 2 * kMostStreams},
        open_calls_, logger_);
  }

  absl::Status ListenForMetrics() {
    ready_ = true;
    if (options_.metrics_listen.empty()) return absl::OkStatus();
    auto endpoint = metrics::MetricsEndpoint::Start(
        options_.metrics_listen,
        {.metrics = [this] { return metrics_.Expose(); }, .ready = [this] { return ready_.load(); }});
    if (!endpoint.ok()) return endpoint.status();
    endpoint_ = *std::move(endpoint);
    return absl::OkStatus();
  }

  // The first product of a process waits tens of milliseconds for oneDNN to generate its code: no caller's time.
  void WarmUp() {
    compute_.Start(std::make_shared<runtime::Cancellation>(), [](runtime::Executor&) {
      constexpr int64_t kSide = 8;
      const std::vector<float> a(kSide * kSide, 1.0f);
      std::vector<float> c(kSide * kSide);
      const compute::Operand<float> operand(a.data(), kSide, kSide, kSide);
      const compute::Matrix<float> product(c.data(), kSide, kSide);
      for (const auto& b : {operand, compute::Transposed(operand)}) {
        // Without memory for this, the first call says so.
        compute::Gemm(1.0f, operand, b, 0.0f, product).IgnoreError();
      }
    });
  }

  void ReportServing(bool serving) {
    grpc::HealthCheckServiceInterface* health = grpc_->GetHealthCheckService();
    health->SetServingStatus(serving);
    health->SetServingStatus(rpc::ServiceName(), serving);
  }

  const Options options_;
  const bool on_socket_ = IsUnixAddress(options_.listen);
  logging::Logger logger_;
  runtime::BufferPool buffers_;
  runtime::Admission admission_;
  Housekeeper housekeeper_{buffers_, admission_};
  runtime::ComputePool compute_;
  metrics::MetricsRegistry metrics_;
  const std::unique_ptr<const rpc::SharedMemoryFolder> shared_memory_;  // null: off
  rpc::TransferWatch transfers_;
  std::atomic<int> open_calls_{0};
  rpc::Service service_;
  std::unique_ptr<grpc::Server> grpc_;
  std::optional<StalledConnections> connections_;  // once it listens
  std::atomic<bool> ready_{false};
  std::once_flag shut_down_;
  std::unique_ptr<metrics::MetricsEndpoint> endpoint_;  // stops first: it reads what stands above
  int port_ = 0;
};

// After a large answer gRPC has a poller at work for up to 10 seconds, and its last user's end waits for that. With
// this there is no last user: the process ends without waiting.
void KeepGrpcUntilTheProcessEnds() {
  static std::once_flag kept;
  std::call_once(kept, grpc_init);
}

}  // namespace

Options ForThisMachine(Options options) {
  if (options.compute_threads == 0) options.compute_threads = runtime::CpuQuota();
  if (options.memory_budget_bytes == 0) options.memory_budget_bytes = runtime::MemoryLimitBytes() / 2;
  return options;
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options) {
  KeepGrpcUntilTheProcessEnds();
  // Links the health service's description in, so that reflection can show it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  std::unique_ptr<const rpc::SharedMemoryFolder> shared_memory;
  if (!options.shared_memory_dir.empty()) {
    auto opened = rpc::SharedMemoryFolder::Open(options.shared_memory_dir);
    if (!opened.ok()) return opened.status();
    shared_memory = *std::move(opened);
  }
  auto server = std::make_unique<RunningServer>(ForThisMachine(options), std::move(shared_memory));
  if (absl::Status listening = server->Listen(); !listening.ok()) return listening;
  return server;
}

}  // namespace attend::app
