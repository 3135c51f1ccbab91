// The HTTP side of the metrics: /metrics, /healthz (the process runs) and /readyz (it takes calls). Thread-safe.
#ifndef ATTEND_SERVER_METRICS_ENDPOINT_H_
#define ATTEND_SERVER_METRICS_ENDPOINT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace attend::metrics {

class MetricsEndpoint {
 public:
  struct Sources {
    std::function<std::string()> metrics;  // the body of /metrics
    std::function<bool()> ready;           // /readyz answers 200 or 503
  };

  // Listens on host:port (port 0: any free one). Returns UNAVAILABLE with the address where it is taken.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(const std::string& address, Sources sources);

  virtual ~MetricsEndpoint() = default;  // stops listening, within 100 ms
  virtual int port() const = 0;
};

}  // namespace attend::metrics

#endif  // ATTEND_SERVER_METRICS_ENDPOINT_H_
