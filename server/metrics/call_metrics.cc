#include "server/metrics/call_metrics.h"

#include <array>
#include <cassert>
#include <map>
#include <sstream>
#include <utility>

#include "prometheus/client_metric.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/metric_family.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "server/metrics/process_metrics.h"

namespace attend::metrics {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::MetricFamily;

// As grpc-go spells them: what other servers' dashboards and alerts look for.
constexpr std::array<const char*, 17> kCodeNames = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};
constexpr size_t kUnknown = 2;

Histogram::BucketBoundaries SecondsBuckets() {
  return {50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3,
          0.1,   0.25,   0.5,    1,      2.5,  5,      10,   25,    50,    100};
}

// Powers of four from 256 B to 1 GiB.
Histogram::BucketBoundaries BytesBuckets() {
  return {1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30};
}

// One metric of each kind that calls are counted in; methods add their series.
struct Families {
  explicit Families(prometheus::Registry& registry)
      : started(CounterFamily(registry, "grpc_server_started_total", "Calls that arrived.")),
        handled(CounterFamily(registry, "grpc_server_handled_total", "Calls that ended, by status code.")),
        handling(HistogramFamily(registry, "grpc_server_handling_seconds", "Time from a call's arrival to its end.")),
        queue(HistogramFamily(registry, "attend_queue_seconds", "Time a call waited to be admitted and to run.")),
        decode(HistogramFamily(registry, "attend_decode_seconds", "Time to decode and validate a request.")),
        compute(HistogramFamily(registry, "attend_compute_seconds", "Time in the kernels.")),
        encode(HistogramFamily(registry, "attend_encode_seconds", "Time to encode a response.")),
        request_bytes(HistogramFamily(registry, "attend_request_bytes", "Size of a request on the wire.")),
        response_bytes(HistogramFamily(registry, "attend_response_bytes", "Size of a response on the wire.")),
        flops(CounterFamily(registry, "attend_flops_total", "Floating-point operations of finished calls.")),
        inflight(prometheus::BuildGauge()
                     .Name("attend_inflight_calls")
                     .Help("Calls that arrived and have not ended.")
                     .Register(registry)) {}

  static Family<Counter>& CounterFamily(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  static Family<Histogram>& HistogramFamily(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }

  Family<Counter>& started;
  Family<Counter>& handled;
  Family<Histogram>& handling;
  Family<Histogram>& queue;
  Family<Histogram>& decode;
  Family<Histogram>& compute;
  Family<Histogram>& encode;
  Family<Histogram>& request_bytes;
  Family<Histogram>& response_bytes;
  Family<Counter>& flops;
  Family<Gauge>& inflight;
};

void ObserveReached(Histogram& histogram, double value) {
  if (value >= 0) histogram.Observe(value);
}

class MethodSeries final : public MethodMetrics {
 public:
  MethodSeries(Families& families, const MetricsRegistry::MethodName& name)
      : MethodSeries(families,
                     Labels{{"grpc_type", "unary"}, {"grpc_service", name.service}, {"grpc_method", name.method}},
                     Labels{{"grpc_method", name.method}}) {}

  void Started() override {
    started_.Increment();
    inflight_.Increment();
  }

  void Finished(const CallRecord& record) override {
    const bool known = record.code >= 0 && static_cast<size_t>(record.code) < kCodeNames.size();
    handled_[known ? static_cast<size_t>(record.code) : kUnknown]->Increment();
    handling_.Observe(record.handling_seconds);
    ObserveReached(queue_, record.queue_seconds);
    ObserveReached(decode_, record.decode_seconds);
    ObserveReached(compute_, record.compute_seconds);
    ObserveReached(encode_, record.encode_seconds);
    ObserveReached(request_bytes_, static_cast<double>(record.request_bytes));
    ObserveReached(response_bytes_, static_cast<double>(record.response_bytes));
    flops_.Increment(record.flops);
    inflight_.Decrement();
  }

 private:
  MethodSeries(Families& families, const Labels& grpc, const Labels& method)
      : started_(families.started.Add(grpc)),
        handling_(families.handling.Add(grpc, SecondsBuckets())),
        queue_(families.queue.Add(method, SecondsBuckets())),
        decode_(families.decode.Add(method, SecondsBuckets())),
        compute_(families.compute.Add(method, SecondsBuckets())),
        encode_(families.encode.Add(method, SecondsBuckets())),
        request_bytes_(families.request_bytes.Add(method, BytesBuckets())),
        response_bytes_(families.response_bytes.Add(method, BytesBuckets())),
        flops_(families.flops.Add(method)),
        inflight_(families.inflight.Add(method)) {
    for (size_t code = 0; code < kCodeNames.size(); ++code) {
      Labels labels = grpc;
      labels["grpc_code"] = kCodeNames[code];
      handled_[code] = &families.handled.Add(labels);
    }
  }

  Counter& started_;
  std::array<Counter*, kCodeNames.size()> handled_;
  Histogram& handling_;
  Histogram& queue_;
  Histogram& decode_;
  Histogram& compute_;
  Histogram& encode_;
  Histogram& request_bytes_;
  Histogram& response_bytes_;
  Counter& flops_;
  Gauge& inflight_;
};

MetricFamily ReadGauge(const GaugeReading& gauge) {
  prometheus::ClientMetric metric;
  metric.gauge.value = gauge.read();
  MetricFamily family;
  family.name = gauge.name;
  family.help = gauge.help;
  family.type = prometheus::MetricType::Gauge;
  family.metric.push_back(metric);
  return family;
}

}  // namespace

class MetricsRegistry::Impl {
 public:
  Impl(const BuildInfo& build, const std::vector<MethodName>& methods, std::vector<GaugeReading> gauges)
      : families_(registry_), gauges_(std::move(gauges)) {
    prometheus::BuildGauge()
        .Name("attend_build_info")
        .Help("Always 1; what runs is in the labels.")
        .Register(registry_)
        .Add({{"version", build.version}, {"onednn_version", build.onednn_version}, {"cpu_isa", build.cpu_isa}})
        .Set(1);
    for (const MethodName& name : methods) methods_.try_emplace(name.method, families_, name);
  }

  MethodMetrics& Method(absl::string_view method) {
    const auto found = methods_.find(method);
    assert(found != methods_.end());
    return found->second;
  }

  std::string Expose() const {
    std::vector<MetricFamily> collected = registry_.Collect();
    for (const GaugeReading& gauge : gauges_) collected.push_back(ReadGauge(gauge));
    for (MetricFamily& family : process_.Collect()) collected.push_back(std::move(family));
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, collected);
    return std::move(out).str();
  }

 private:
  prometheus::Registry registry_;
  Families families_;
  std::map<std::string, MethodSeries, std::less<>> methods_;
  const std::vector<GaugeReading> gauges_;
  const ProcessMetrics process_;
};

MetricsRegistry::MetricsRegistry(const BuildInfo& build, const std::vector<MethodName>& methods,
                                 const std::vector<GaugeReading>& gauges)
    : impl_(std::make_unique<Impl>(build, methods, gauges)) {}

MetricsRegistry::~MetricsRegistry() = default;

MethodMetrics& MetricsRegistry::Method(absl::string_view method) { return impl_->Method(method); }

std::string MetricsRegistry::Expose() const { return impl_->Expose(); }

}  // namespace attend::metrics
