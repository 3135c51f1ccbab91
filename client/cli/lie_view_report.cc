#include "client/cli/lie_view_report.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "client/cli/lie_report.h"
#include "client/cli/token_label.h"

namespace attend::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kNamed = 3;  // tokens of a stationary distribution

std::string Line(const std::string& text) { return std::string(absl::StripTrailingAsciiWhitespace(text)) + "\n"; }

// "it 21%, street 12%, ...": where the chain dwells.
std::string DwellsText(const LieView& view, const v1::ChainDiagnostics& chain) {
  std::vector<size_t> order(static_cast<size_t>(chain.stationary_size()));
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return chain.stationary(static_cast<int>(a)) > chain.stationary(static_cast<int>(b));
  });
  std::string text;
  for (size_t i = 0; i < std::min(kNamed, order.size()); ++i) {
    text += fmt::format("{}{} {:.1f}%", i == 0 ? "" : ", ", view.tokens[order[i]],
                        100 * chain.stationary(static_cast<int>(order[i])));
  }
  return text;
}

std::string GeneratorTable(const LieView& view) {
  std::string table =
      "Is it a generator, and how far is the nearest one (Frobenius)\n"
      "  head   scores            G from softplus(scores)   rank of W_Q W_K^T\n";
  for (size_t h = 0; h < view.heads.size(); ++h) {
    const LieView::Head& head = view.heads[h];
    table += Line(fmt::format("  {:<6} {:<17} {:<25} {}", h + 1, fmt::format("no, {:.2f} away", head.score_distance),
                              head.generator.is_generator() ? "yes" : "NO", head.rank));
  }
  return table;
}

std::string GapCell(const v1::ChainDiagnostics& chain) {
  return fmt::format("{:.4f}{}", chain.spectral_gap(), chain.spectral_gap_uncertain() ? "?" : "");
}

std::string ChainTable(const LieView& view, const char* title, const v1::AttentionDiagnostics LieView::Head::*which) {
  std::string table = fmt::format("{}\n  head   |lambda2|   gap      mixes in   dwells on\n", title);
  for (size_t h = 0; h < view.heads.size(); ++h) {
    const v1::ChainDiagnostics& chain = (view.heads[h].*which).chain();
    table += Line(fmt::format("  {:<6} {:<11.4f} {:<8} {:<10} {}", h + 1, chain.second_modulus(), GapCell(chain),
                              MixingText(chain), DwellsText(view, chain)));
  }
  return table;
}

std::string DistanceTable(const LieView& view, double time, v1::AttentionDiagnostics LieView::Head::*which) {
  std::string table = fmt::format(
      "How far softmax is from exp(tG), t = {:g}\n"
      "  head   max |difference|   mean     max total variation\n",
      time);
  for (size_t h = 0; h < view.heads.size(); ++h) {
    const v1::AttentionDiagnostics& action = view.heads[h].*which;
    table += Line(fmt::format("  {:<6} {:<18.4f} {:<8.4f} {:.4f}", h + 1, action.softmax_max_difference(),
                              action.softmax_mean_difference(), action.softmax_max_total_variation()));
  }
  return table;
}

std::string FlowTable(const LieView& view) {
  std::string table = "exp(tG): the second eigenvalue modulus over t\n  head  ";
  for (const double time : view.times) table += fmt::format(" {:<9}", fmt::format("t={:g}", time));
  table = Line(table);
  for (size_t h = 0; h < view.heads.size(); ++h) {
    std::string line = fmt::format("  {:<6}", h + 1);
    for (const v1::ChainDiagnostics& chain : view.heads[h].flow)
      line += fmt::format(" {:<9.2e}", chain.second_modulus());
    table += Line(line);
  }
  return table;
}

std::string Verdict(v1::Embeddability verdict) {
  switch (verdict) {
    case v1::EMBEDDABILITY_EMBEDDABLE:
      return "yes";
    case v1::EMBEDDABILITY_NOT_EMBEDDABLE:
      return "no";
    case v1::EMBEDDABILITY_NOT_STOCHASTIC:
      return "not stochastic";
    default:
      return "undecided";
  }
}

std::string EmbeddingTable(const LieView& view) {
  std::string table = "Is softmax exp of any generator\n";
  for (size_t h = 0; h < view.heads.size(); ++h) {
    const v1::MatrixLogReport& report = view.heads[h].logarithm;
    table += Line(fmt::format("  {:<6} {:<10} {}", h + 1, Verdict(report.verdict()), report.reason()));
  }
  return table;
}

std::vector<std::complex<double>> Eigenvalues(const v1::ChainDiagnostics& chain) {
  std::vector<std::complex<double>> values;
  for (int i = 0; i < chain.eigenvalues_real_size(); ++i) {
    values.emplace_back(chain.eigenvalues_real(i), chain.eigenvalues_imaginary(i));
  }
  return values;
}

Json DistanceJson(const v1::AttentionDiagnostics& action) {
  return {{"softmax_max_difference", action.softmax_max_difference()},
          {"softmax_mean_difference", action.softmax_mean_difference()},
          {"softmax_max_total_variation", action.softmax_max_total_variation()}};
}

Heatmap EmptyHeatmap(const LieView& view) {
  Heatmap heatmap;
  heatmap.row_axis = "this token ...";
  heatmap.column_axis = "... looks at this one";
  heatmap.value_axis = "share of a token's attention";
  for (const std::string& token : view.tokens) heatmap.rows.push_back(TokenLabel(token));
  heatmap.columns = heatmap.rows;
  return heatmap;
}

}  // namespace

std::string LieViewText(const LieView& view) {
  return GeneratorTable(view) + "\n" +
         ChainTable(view, "S = softmax(scores) as a Markov chain over tokens", &LieView::Head::softmax) + "\n" +
         ChainTable(view, "exp(G) as a Markov chain over tokens", &LieView::Head::action) + "\n" +
         DistanceTable(view, 1, &LieView::Head::action) + "\n" +
         DistanceTable(view, view.beside_time, &LieView::Head::beside) + "\n" + FlowTable(view) + "\n" +
         EmbeddingTable(view);
}

Json LieViewJson(const LieView& view) {
  Json heads = Json::array();
  for (const LieView::Head& head : view.heads) {
    Json flow = Json::array();
    for (size_t k = 0; k < head.flow.size(); ++k) {
      flow.push_back({{"time", view.times[k]}, {"chain", ChainJson(head.flow[k])}});
    }
    heads.push_back({{"score_distance", head.score_distance},
                     {"generator", GeneratorJson(head.generator)},
                     {"rank", head.rank},
                     {"softmax", ChainJson(head.softmax.chain())},
                     {"action", ChainJson(head.action.chain())},
                     {"softmax_max_difference", head.action.softmax_max_difference()},
                     {"softmax_mean_difference", head.action.softmax_mean_difference()},
                     {"softmax_max_total_variation", head.action.softmax_max_total_variation()},
                     {"beside", DistanceJson(head.beside)},
                     {"embeddable", Verdict(head.logarithm.verdict())},
                     {"embeddable_reason", head.logarithm.reason()},
                     {"flow", flow}});
  }
  return {{"tokens", view.tokens}, {"times", view.times}, {"beside_time", view.beside_time}, {"heads", heads}};
}

Heatmap FlowHeatmap(const LieView& view, size_t head) {
  Heatmap heatmap = EmptyHeatmap(view);
  heatmap.title = fmt::format("exp(tG) over t, head {}", head + 1);
  heatmap.subtitle = "G has the rates softplus(score): from every token to itself, towards the stationary distribution";
  for (size_t k = 0; k < view.times.size(); ++k) {
    heatmap.panels.push_back({fmt::format("t = {:g}", view.times[k]), view.heads[head].flow_weights[k]});
  }
  return heatmap;
}

Heatmap SoftmaxHeatmap(const LieView& view, size_t head) {
  Heatmap heatmap = EmptyHeatmap(view);
  const std::string action = fmt::format("exp(tG), t = {:g}", view.beside_time);
  heatmap.title = fmt::format("Softmax beside {}, head {}", action, head + 1);
  heatmap.subtitle = fmt::format("The same scores; in percent, largest difference {:.1f}",
                                 100 * view.heads[head].beside.softmax_max_difference());
  heatmap.panels.push_back({"softmax(scores)", view.heads[head].softmax_weights});
  heatmap.panels.push_back({action + ", G from softplus(scores)", view.heads[head].beside_weights});
  return heatmap;
}

SpectrumPlot SpectraOf(const LieView& view) {
  SpectrumPlot plot;
  plot.title = "Spectra of attention as a Markov chain";
  plot.subtitle = "Eigenvalues and the unit circle: 1 is always among them, the next modulus says how fast tokens mix";
  const size_t middle = view.times.size() / 2;
  plot.discs = {{"softmax(scores)", {}}, {fmt::format("exp(tG), t = {:g}", view.times[middle]), {}}};
  for (size_t h = 0; h < view.heads.size(); ++h) {
    plot.names.push_back(fmt::format("Head {}", h + 1));
    plot.discs[0].series.push_back(Eigenvalues(view.heads[h].softmax.chain()));
    plot.discs[1].series.push_back(Eigenvalues(view.heads[h].flow[middle]));
  }
  return plot;
}

}  // namespace attend::cli
