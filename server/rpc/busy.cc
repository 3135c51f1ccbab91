#include "server/rpc/busy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/rpc/field_error.h"

namespace attend::rpc {
namespace {

std::chrono::milliseconds RetryDelay(const runtime::Busy& busy) {
  if (!busy.predicted_wait.has_value()) return kUnknownRetryDelay;
  const std::chrono::duration<double> most = kMostRetryDelay;
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(std::min(*busy.predicted_wait, most));
  return std::max(wait, kLeastRetryDelay);
}

}  // namespace

absl::Status ToStatus(const runtime::Busy& busy) {
  if (busy.queue_full) return BusyError(absl::StrCat(busy.waiting_calls, " calls wait already"), RetryDelay(busy));
  const double answer_seconds = busy.predicted_answer.has_value() ? busy.predicted_answer->count() : 0;
  return BusyError(absl::StrFormat("this call would be answered in %.3f s, after its deadline", answer_seconds),
                   RetryDelay(busy));
}

}  // namespace attend::rpc
