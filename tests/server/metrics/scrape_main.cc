// Prints what a server with two methods, one of them used, answers on /metrics.
#include <iostream>

#include "server/metrics/call_metrics.h"

int main() {
  attend::metrics::MetricsRegistry registry(
      {.version = "0.1.0", .onednn_version = "2.6.3", .cpu_isa = "Intel AVX2"},
      {{"attend.v1.AttentionService", "Attention"}, {"attend.v1.AttentionService", "Project"}},
      {{"attend_buffer_pool_bytes", "Memory that the buffer pool holds.", [] { return 4096.0; }}});
  attend::metrics::MethodMetrics& method = registry.Method("Attention");
  method.Started();
  method.Finished({.code = 0,
                   .handling_seconds = 0.25,
                   .queue_seconds = 0,
                   .decode_seconds = 1e-4,
                   .compute_seconds = 0.2,
                   .encode_seconds = 1e-5,
                   .request_bytes = 1000,
                   .response_bytes = 5'000'000'000,
                   .flops = 1e12});
  std::cout << registry.Expose();
}
