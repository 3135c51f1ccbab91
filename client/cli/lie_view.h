// The Lie view of one attention layer, asked of a server: scores, their generators, what these generate over time, how
// far softmax is from that, and of what rank the scores are. Thread-safe.
#ifndef ATTEND_CLIENT_CLI_LIE_VIEW_H_
#define ATTEND_CLIENT_CLI_LIE_VIEW_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attend/v1/attend.pb.h"
#include "client/cli/street.h"
#include "client/lib/client.h"

namespace attend::cli {

struct LieView {
  std::vector<std::string> tokens;
  std::vector<double> times;
  double beside_time = 1;

  struct Head {
    double score_distance = 0;                      // of the scores from the nearest generator, in the Frobenius norm
    v1::GeneratorDiagnostics generator;             // of G, rates softplus(score)
    v1::AttentionDiagnostics softmax;               // S = softmax(scores) as a chain
    v1::AttentionDiagnostics action;                // exp(G), and its distance from softmax
    v1::AttentionDiagnostics beside;                // the same of exp(tG), t = beside_time
    v1::MatrixLogReport logarithm;                  // of S: is softmax exp of a generator at all
    uint32_t rank = 0;                              // numerical, of W_Q W_K^T
    std::vector<v1::ChainDiagnostics> flow;         // exp(tG), one per time
    std::vector<double> softmax_weights;            // [n, n]
    std::vector<double> beside_weights;             // [n, n]
    std::vector<std::vector<double>> flow_weights;  // [times][n, n]
  };
  std::vector<Head> heads;
};

// Four kinds of call: Attention (softmax and generator_exp), MatrixExp, MatrixLog, Project. Errors: the server's, or
// INTERNAL where an answer is not of the size asked for. Times are at least 0.
absl::StatusOr<LieView> LookAtLayer(const client::Client& client, const Street& street,
                                    const std::vector<double>& times, double beside_time);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_LIE_VIEW_H_
