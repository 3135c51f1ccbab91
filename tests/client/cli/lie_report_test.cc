#include "client/cli/lie_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace attend::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::MatrixExpResponse Response(double gap, bool uncertain) {
  v1::MatrixExpResponse response;
  v1::ChainDiagnostics* chain = response.add_diagnostics()->mutable_chain();
  chain->set_stochastic(true);
  chain->set_second_modulus(1 - gap);
  chain->set_spectral_gap(gap);
  chain->set_second_modulus_error(0.0059);
  chain->set_spectral_gap_uncertain(uncertain);
  return response;
}

TEST(DiagnosticsTable, MarksGapsThatAreUncertain) {
  const std::string table = DiagnosticsTable(Response(0.000256, true));
  EXPECT_THAT(table, HasSubstr(" 0.000256? "));
  EXPECT_THAT(table, HasSubstr("off by 5.9e-03"));
  EXPECT_THAT(DiagnosticsTable(Response(0.000256, false)), Not(HasSubstr("?")));
}

TEST(GapText, IsADashWhereNothingIsKnown) { EXPECT_EQ(GapText(v1::ChainDiagnostics{}), "-"); }

TEST(ChainJson, HasTheErrorOfTheGap) {
  const nlohmann::ordered_json json = ChainJson(Response(0.5, true).diagnostics(0).chain());
  EXPECT_EQ(json["second_modulus_error"], 0.0059);
  EXPECT_EQ(json["spectral_gap_uncertain"], true);
}

}  // namespace
}  // namespace attend::cli
