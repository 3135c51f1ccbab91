// One running server: the gRPC port, the compute threads and the metrics endpoint. Used by attend-server, and by the
// command-line program when it hosts a server in its own process. Several may live in one process.
#ifndef ATTEND_SERVER_APP_SERVER_H_
#define ATTEND_SERVER_APP_SERVER_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/app/options.h"

namespace attend::app {

// The options with every 0 that stands for "what the machine grants" replaced by what it grants.
Options ForThisMachine(Options options);

class Server {
 public:
  // Listens and serves at once. Returns UNAVAILABLE with the address where a port is taken, INVALID_ARGUMENT for an
  // option that cannot be.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options);

  virtual ~Server() = default;  // as Shutdown with no grace

  virtual int port() const = 0;            // the gRPC port; 0 on a Unix domain socket
  virtual int metrics_port() const = 0;    // 0 where metrics are off
  virtual std::string Banner() const = 0;  // one line: addresses, ISA, oneDNN version, threads

  // Refuses new calls, reports NOT_SERVING, lets calls in flight finish for `grace`, cancels the rest. Idempotent.
  virtual void Shutdown(std::chrono::milliseconds grace) = 0;
};

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_SERVER_H_
