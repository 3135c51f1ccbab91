#include "client/cli/demo_report.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "client/cli/report.h"
#include "client/cli/token_label.h"

namespace attend::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kTopOfMean = 3;
constexpr size_t kColumn = 13;  // characters
constexpr size_t kWordsPerLine = 7;
constexpr double kWorthNaming = 0.005;
constexpr char kPronoun[] = "it";

absl::Span<const double> Row(const std::vector<double>& matrix, size_t columns, size_t row) {
  return absl::MakeConstSpan(matrix).subspan(row * columns, columns);
}

// One head's row of the softmax weights.
absl::Span<const double> HeadRow(const DemoResult& result, size_t head, size_t row) {
  return Row(result.weights, result.tokens.size(), head * result.tokens.size() + row);
}

std::string AttendedText(const DemoResult& result, const Attended& attended) {
  return fmt::format("{} {:.0f}%", result.tokens[attended.key], 100 * attended.weight);
}

Json AttendedJson(const DemoResult& result, const std::vector<Attended>& top) {
  Json list = Json::array();
  for (const Attended& attended : top) {
    list.push_back({{"token", result.tokens[attended.key]}, {"position", attended.key}, {"weight", attended.weight}});
  }
  return list;
}

std::string StripEnd(const std::string& line) { return std::string(absl::StripTrailingAsciiWhitespace(line)) + "\n"; }

// The token whose reference a reader wants to see.
std::optional<size_t> Pronoun(const DemoResult& result) {
  const auto found = std::find(result.tokens.begin(), result.tokens.end(), kPronoun);
  if (found == result.tokens.end()) return std::nullopt;
  return static_cast<size_t>(found - result.tokens.begin());
}

// All that one token looks at.
std::string WholeRow(const DemoResult& result, const std::vector<double>& mean, size_t token) {
  const size_t n = result.tokens.size();
  std::string text = fmt::format("\"{}\" in full:", result.tokens[token]);
  size_t words = 0;
  for (const Attended& attended : TopKeys(Row(mean, n, token), n)) {
    if (attended.weight < kWorthNaming) break;
    text += words == 0 ? " " : words % kWordsPerLine == 0 ? ",\n  " : ", ";
    text += AttendedText(result, attended);
    ++words;
  }
  return text + "\n";
}

std::string Verdict(bool ok) { return ok ? "ok" : "TOO FAR"; }

}  // namespace

std::string DemoHeading(const DemoResult& result) {
  return fmt::format(
      "\"{}\"\n{} tokens through one layer of a real transformer (Universal Sentence Encoder Lite), {} heads of 64:\n"
      "one Attention call over gRPC to {}\n",
      result.sentence, result.tokens.size(), result.heads, result.server);
}

std::string DemoComparison(const DemoResult& result) {
  return fmt::format(
      "Against TensorFlow.js, largest absolute error\n"
      "  attention weights  {:.1e}  (at most {:.0e})  {}\n  output             {:.1e}  (at most {:.0e})  {}\n",
      result.weights_error, kWeightsBound, Verdict(result.weights_ok()), result.output_error, kOutputBound,
      Verdict(result.output_ok()));
}

std::string DemoAttention(const DemoResult& result) {
  const size_t n = result.tokens.size();
  const std::vector<double> mean = MeanOverHeads(result.weights, result.heads);
  std::string header = fmt::format("{:<9}{:<{}}", "token", "attends to, mean over heads", kColumn * kTopOfMean);
  for (size_t head = 0; head < result.heads; ++head) {
    header += fmt::format("{:<{}}", fmt::format("head {}", head + 1), kColumn);
  }
  std::string table = StripEnd(header);
  for (size_t token = 0; token < n; ++token) {
    std::vector<Attended> cells = TopKeys(Row(mean, n, token), kTopOfMean);
    for (size_t head = 0; head < result.heads; ++head) {
      for (const Attended& attended : TopKeys(HeadRow(result, head, token), 1)) cells.push_back(attended);
    }
    std::string line = fmt::format("{:<9}", result.tokens[token]);
    for (const Attended& cell : cells) line += fmt::format("{:<{}}", AttendedText(result, cell), kColumn);
    table += StripEnd(line);
  }
  const std::optional<size_t> pronoun = Pronoun(result);
  return pronoun.has_value() ? table + WholeRow(result, mean, *pronoun) : table;
}

std::string DemoAction(const DemoResult& result) {
  std::string table =
      "The same sentence as a Lie action: rates softplus(score), generator G, weights exp(G)\n"
      "  head   total variation from softmax (mean, max over rows)   max |row sum - 1|\n";
  for (size_t head = 0; head < result.action.size(); ++head) {
    const RowDistance& distance = result.action[head];
    table += fmt::format("  {:<6} {:<8.3f} {:<42.3f} {:.1e}\n", head + 1, distance.mean_total_variation,
                         distance.max_total_variation, distance.max_row_sum_error);
  }
  return table;
}

Json DemoJson(const DemoResult& result) {
  const std::vector<double> mean = MeanOverHeads(result.weights, result.heads);
  Json tokens = Json::array();
  for (size_t token = 0; token < result.tokens.size(); ++token) {
    Json heads = Json::array();
    for (size_t head = 0; head < result.heads; ++head) {
      heads.push_back(AttendedJson(result, TopKeys(HeadRow(result, head, token), kTopOfMean)));
    }
    tokens.push_back({{"token", result.tokens[token]},
                      {"mean", AttendedJson(result, TopKeys(Row(mean, result.tokens.size(), token), kTopOfMean))},
                      {"heads", heads}});
  }
  Json action = Json::array();
  for (const RowDistance& distance : result.action) {
    action.push_back({{"mean_total_variation", distance.mean_total_variation},
                      {"max_total_variation", distance.max_total_variation},
                      {"max_row_sum_error", distance.max_row_sum_error}});
  }
  return {{"ok", result.weights_ok() && result.output_ok()},
          {"sentence", result.sentence},
          {"server", result.server},
          {"comparison",
           {{"weights_error", result.weights_error},
            {"weights_bound", kWeightsBound},
            {"output_error", result.output_error},
            {"output_bound", kOutputBound}}},
          {"attends_to", tokens},
          {"lie_action", action},
          {"picture", result.picture},
          {"stats", StatsJson(result.softmax_stats, result.softmax_round_trip_seconds)},
          {"lie_action_stats", StatsJson(result.action_stats, result.action_round_trip_seconds)},
          {"total_seconds", result.total_seconds}};
}

Heatmap DemoHeatmap(const DemoResult& result) {
  const size_t n = result.tokens.size();
  Heatmap heatmap;
  heatmap.title = result.sentence;
  heatmap.subtitle = "Who looks at whom: softmax attention weights of a real transformer layer, in percent";
  heatmap.row_axis = "this token ...";
  heatmap.column_axis = "... looks at this one";
  heatmap.value_axis = "share of a token's attention";
  for (const std::string& token : result.tokens) heatmap.rows.push_back(TokenLabel(token));
  heatmap.columns = heatmap.rows;
  heatmap.marked_row = Pronoun(result);
  for (size_t head = 0; head < result.heads; ++head) {
    Heatmap::Panel panel{fmt::format("Head {}", head + 1), {}};
    if (heatmap.marked_row.has_value()) {
      const Attended top = TopKeys(HeadRow(result, head, *heatmap.marked_row), 1).front();
      panel.title += fmt::format(": \u201c{}\u201d looks at \u201c{}\u201d", kPronoun, result.tokens[top.key]);
    }
    const auto begin = result.weights.begin() + static_cast<std::ptrdiff_t>(head * n * n);
    panel.values.assign(begin, begin + static_cast<std::ptrdiff_t>(n * n));
    heatmap.panels.push_back(std::move(panel));
  }
  return heatmap;
}

}  // namespace attend::cli
