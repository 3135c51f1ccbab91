// What happened to the calls, as Prometheus metrics. Thread-safe. Knows no gRPC: the RPC layer reports numbers.
#ifndef ATTEND_SERVER_METRICS_CALL_METRICS_H_
#define ATTEND_SERVER_METRICS_CALL_METRICS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace attend::metrics {

// One finished call. Phases that were not reached stay negative and are not counted.
struct CallRecord {
  int code = 0;  // canonical status code, 0 to 16
  double handling_seconds = 0;
  double queue_seconds = -1;
  double decode_seconds = -1;
  double compute_seconds = -1;
  double encode_seconds = -1;
  int64_t request_bytes = -1;
  int64_t response_bytes = -1;
  double flops = 0;
};

// The metrics of one method; all handles are made when it is.
class MethodMetrics {
 public:
  virtual ~MethodMetrics() = default;
  virtual void Started() = 0;                            // counts the call in flight as well
  virtual void Finished(const CallRecord& record) = 0;  // exactly once after each Started
};

// Gauges that are read when somebody asks for the metrics.
struct GaugeReading {
  std::string name;  // such as "attend_buffer_pool_bytes"
  std::string help;
  std::function<double()> read;  // called from any thread
};

struct BuildInfo {
  std::string version;
  std::string onednn_version;
  std::string cpu_isa;
};

// All metrics of one server. Methods are fixed at the start, so that every series exists from the first scrape.
class MetricsRegistry {
 public:
  struct MethodName {
    std::string service;  // "attend.v1.AttentionService"
    std::string method;   // "Attention"
  };
  MetricsRegistry(const BuildInfo& build, const std::vector<MethodName>& methods,
                  const std::vector<GaugeReading>& gauges);
  ~MetricsRegistry();

  // REQUIRES: the method was named to the constructor. Lives as long as the registry.
  MethodMetrics& Method(absl::string_view method);

  // The Prometheus text format (0.0.4).
  std::string Expose() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attend::metrics

#endif  // ATTEND_SERVER_METRICS_CALL_METRICS_H_
