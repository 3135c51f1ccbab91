// What this process costs its machine, under the names that every Prometheus client library uses. Thread-safe.
#ifndef ATTEND_SERVER_METRICS_PROCESS_METRICS_H_
#define ATTEND_SERVER_METRICS_PROCESS_METRICS_H_

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace attend::metrics {

// Reads /proc at each collection: process_cpu_seconds_total, process_resident_memory_bytes,
// process_virtual_memory_bytes, process_open_fds, process_max_fds, process_start_time_seconds, process_threads. What
// the system does not tell is left out.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace attend::metrics

#endif  // ATTEND_SERVER_METRICS_PROCESS_METRICS_H_
