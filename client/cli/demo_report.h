// What `attend demo` says: to people, as JSON, and as a picture. Pure functions, thread-safe.
#ifndef ATTEND_CLIENT_CLI_DEMO_REPORT_H_
#define ATTEND_CLIENT_CLI_DEMO_REPORT_H_

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "attend/v1/attend.pb.h"
#include "client/cli/heatmap.h"
#include "client/cli/ranking.h"

namespace attend::cli {

// The largest absolute errors that pass, against TensorFlow.js.
//
// Both sides compute in float32 (unit roundoff u = 6e-8), and sum in different orders. Scores come from dot products of
// 256 and 64 terms and are of the order of 10; the errors of their roundings, which are independent, add up to about
// u * sqrt(256 + 64) * 10 = 1e-5 at worst and a tenth of it typically. A softmax moves by at most half of what its
// scores move. The output sums 256 products of magnitude up to 10 more: ten times as much. What is really wrong (scale,
// a swapped head, a missing bias) shows in the second decimal.
inline constexpr double kWeightsBound = 1e-5;
inline constexpr double kOutputBound = 1e-4;

struct DemoResult {
  std::string sentence;
  std::vector<std::string> tokens;  // plain, n of them
  size_t heads = 0;
  std::vector<double> weights;  // [heads, n, n], softmax
  double weights_error = 0;
  double output_error = 0;
  std::vector<RowDistance> action;  // exp(G) against softmax, one per head
  v1::CallStats softmax_stats;
  v1::CallStats action_stats;
  double softmax_round_trip_seconds = 0;
  double action_round_trip_seconds = 0;
  double total_seconds = 0;
  std::string server;
  std::string picture;  // its file

  bool weights_ok() const { return weights_error <= kWeightsBound; }
  bool output_ok() const { return output_error <= kOutputBound; }
};

std::string DemoHeading(const DemoResult& result);
std::string DemoComparison(const DemoResult& result);
std::string DemoAttention(const DemoResult& result);  // who looks at whom
std::string DemoAction(const DemoResult& result);     // exp(G) against softmax

nlohmann::ordered_json DemoJson(const DemoResult& result);

Heatmap DemoHeatmap(const DemoResult& result);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_DEMO_REPORT_H_
