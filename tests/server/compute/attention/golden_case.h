// The cases of tests/golden/attention.json as attention_case.h and tokens_case.h have them.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_GOLDEN_CASE_H_
#define ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_GOLDEN_CASE_H_

#include "tests/golden/golden.h"
#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/attention/tokens_case.h"

namespace attend::golden {

compute::AttentionCase ReadHeads(const nlohmann::json& test);

// REQUIRES: the case's inputs hold "x".
compute::TokensCase ReadTokens(const nlohmann::json& test);

}  // namespace attend::golden

#endif  // ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_GOLDEN_CASE_H_
