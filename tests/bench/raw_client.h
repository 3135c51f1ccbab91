// Calls with messages that are already serialized, and answers that nobody parses. Thread-safe.
#ifndef ATTEND_TESTS_BENCH_RAW_CLIENT_H_
#define ATTEND_TESTS_BENCH_RAW_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>

namespace attend::bench {

// A connection of its own without limits on messages.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address);

class RawClient {
 public:
  explicit RawClient(const std::string& address) : channel_(NewChannel(address)) {}

  // `path` is "/attend.v1.AttentionService/Project". The memory of `request` must outlive the call.
  // Ends the process with a message where the call fails.
  grpc::ByteBuffer Call(const char* path, const std::string& request) const;

 private:
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_RAW_CLIENT_H_
