// Leaves the function with the status of `expression` unless it is OK.
#ifndef ATTEND_SERVER_RPC_RETURN_IF_ERROR_H_
#define ATTEND_SERVER_RPC_RETURN_IF_ERROR_H_

#include "absl/status/status.h"

#define RETURN_IF_ERROR(expression)                                         \
  do {                                                                      \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#endif  // ATTEND_SERVER_RPC_RETURN_IF_ERROR_H_
