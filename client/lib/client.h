// The service from C++: one object, one channel, blocking calls.
//
// Thread-safe: any number of threads may call at once; their calls share the channel's connection. The channel connects
// with the first call and again after a loss; a call while the server cannot be reached fails at once with UNAVAILABLE.
//
// Errors are the server's: its code, its message, and its google.rpc details (client/lib/status.h decodes them). From
// the client itself: UNAVAILABLE, DEADLINE_EXCEEDED, and RESOURCE_EXHAUSTED for a message over `max_message_bytes`.
#ifndef ATTEND_CLIENT_LIB_CLIENT_H_
#define ATTEND_CLIENT_LIB_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attend/v1/attend.pb.h"

namespace attend::client {

struct ClientOptions {
  std::string target = "127.0.0.1:50051";            // HOST:PORT, unix:PATH, or any gRPC target
  absl::Duration timeout = absl::Seconds(60);        // deadline of each call, from its start
  uint64_t max_message_bytes = uint64_t{256} << 20;  // one request or response; at most 2^31 - 1
};

// As grpc.health.v1 has it.
enum class Health { kUnknown, kServing, kNotServing };

class Client {
 public:
  explicit Client(const ClientOptions& options);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Each request is sent with the metadata `attend-message-bytes`: its serialized size, by which a server may admit it.
  absl::StatusOr<v1::AttentionResponse> Attention(const v1::AttentionRequest& request) const;
  absl::StatusOr<v1::MatrixExpResponse> MatrixExp(const v1::MatrixExpRequest& request) const;
  absl::StatusOr<v1::ProjectResponse> Project(const v1::ProjectRequest& request) const;
  absl::StatusOr<v1::MatrixLogResponse> MatrixLog(const v1::MatrixLogRequest& request) const;
  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo() const;

  // The standard health service's Check. `service` "" asks for the server as a whole; NOT_FOUND for one it lacks.
  absl::StatusOr<Health> CheckHealth(const std::string& service) const;

 private:
  struct Channel;
  std::unique_ptr<Channel> channel_;
};

}  // namespace attend::client

#endif  // ATTEND_CLIENT_LIB_CLIENT_H_
