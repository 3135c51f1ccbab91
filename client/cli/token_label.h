// A token as the label of a picture's row or column. Pure function, thread-safe.
#ifndef ATTEND_CLIENT_CLI_TOKEN_LABEL_H_
#define ATTEND_CLIENT_CLI_TOKEN_LABEL_H_

#include <string>

namespace attend::cli {

// "animal" as it is; a lone mark by its name, because a slanted ' looks like a speck, whatever stands around it. Marks
// without a name here stand in angle quotes.
std::string TokenLabel(const std::string& token);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_TOKEN_LABEL_H_
