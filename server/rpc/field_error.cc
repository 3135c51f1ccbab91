#include "server/rpc/field_error.h"

#include <map>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "google/rpc/error_details.pb.h"

namespace attend::rpc {
namespace {

void AddErrorInfo(absl::Status& status, absl::string_view reason, const std::map<std::string, std::string>& metadata) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(std::string(kErrorDomain));
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
}

void AddViolation(absl::Status& status, absl::string_view field, absl::string_view description) {
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(description));
  status.SetPayload(kBadRequestUrl, absl::Cord(bad_request.SerializeAsString()));
}

// What a caller sent may be of any length; the headers of an answer may not.
std::string Shortened(absl::string_view text) {
  constexpr size_t kLongest = 300;
  if (text.size() <= kLongest) return std::string(text);
  return absl::StrCat(text.substr(0, kLongest), "... (", text.size(), " characters)");
}

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view whole_got, absl::string_view expected) {
  const std::string got = Shortened(whole_got);
  const std::string description = absl::StrCat("got ", got, ", expected ", expected);
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, ": ", description));
  AddViolation(status, field, description);
  AddErrorInfo(status, "INVALID_FIELD",
               {{"field", std::string(field)}, {"got", got}, {"expected", std::string(expected)}});
  return status;
}

absl::Status UnsupportedField(absl::string_view field, absl::string_view got) {
  absl::Status status = absl::UnimplementedError(absl::StrCat(field, ": ", got, " is not served by this version"));
  AddViolation(status, field, absl::StrCat("got ", got, ", which this version does not serve"));
  AddErrorInfo(status, "UNSUPPORTED_FIELD", {{"field", std::string(field)}, {"got", std::string(got)}});
  return status;
}

absl::Status TooLarge(absl::string_view what, double need, uint64_t limit) {
  const std::string needed = absl::StrFormat("%.0f", need);
  absl::Status status =
      absl::ResourceExhaustedError(absl::StrCat(what, " needs ", needed, " bytes, the limit is ", limit, " bytes"));
  AddErrorInfo(status, "TOO_LARGE", {{"needed_bytes", needed}, {"limit_bytes", absl::StrCat(limit)}});
  return status;
}

absl::Status BusyError(absl::string_view why, std::chrono::milliseconds retry_delay) {
  absl::Status status = absl::ResourceExhaustedError(
      absl::StrCat("the server is busy: ", why, "; try again in ", retry_delay.count(), " ms"));
  AddErrorInfo(status, "BUSY", {{"retry_delay_ms", absl::StrCat(retry_delay.count())}});
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(retry_delay.count() / 1000);
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(retry_delay.count() % 1000 * 1000000));
  status.SetPayload(kRetryInfoUrl, absl::Cord(retry.SerializeAsString()));
  return status;
}

std::optional<int64_t> RetryPushbackMs(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kResourceExhausted) return std::nullopt;
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryInfoUrl);
  google::rpc::RetryInfo retry;
  if (!payload.has_value() || !retry.ParseFromString(std::string(*payload))) return -1;
  return retry.retry_delay().seconds() * 1000 + retry.retry_delay().nanos() / 1000000;
}

}  // namespace attend::rpc
