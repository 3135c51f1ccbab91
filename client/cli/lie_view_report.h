// The Lie view as tables, JSON and pictures. Pure functions, thread-safe.
#ifndef ATTEND_CLIENT_CLI_LIE_VIEW_REPORT_H_
#define ATTEND_CLIENT_CLI_LIE_VIEW_REPORT_H_

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "client/cli/heatmap.h"
#include "client/cli/lie_view.h"
#include "client/cli/spectrum_plot.h"

namespace attend::cli {

std::string LieViewText(const LieView& view);
nlohmann::ordered_json LieViewJson(const LieView& view);

// exp(tG) of one head, a panel per time.
Heatmap FlowHeatmap(const LieView& view, size_t head);
// One head's softmax beside its exp(tG), t = beside_time.
Heatmap SoftmaxHeatmap(const LieView& view, size_t head);
// The eigenvalues of all heads: softmax, and exp(tG) at the middle one of the times.
SpectrumPlot SpectraOf(const LieView& view);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_LIE_VIEW_REPORT_H_
