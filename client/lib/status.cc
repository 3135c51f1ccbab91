#include "client/lib/status.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_format.h"
#include "google/protobuf/any.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace attend::client {
namespace {

constexpr char kDetailsUrl[] = "type.googleapis.com/google.rpc.Status";

void AddDetail(const google::protobuf::Any& any, ErrorDetails& details) {
  if (google::rpc::BadRequest bad_request; any.UnpackTo(&bad_request)) {
    for (const auto& violation : bad_request.field_violations()) {
      details.violations.push_back({violation.field(), violation.description()});
    }
  } else if (google::rpc::ErrorInfo info; any.UnpackTo(&info)) {
    details.reason = info.reason();
    details.domain = info.domain();
    details.metadata.insert(info.metadata().begin(), info.metadata().end());
  } else if (google::rpc::RetryInfo retry; any.UnpackTo(&retry)) {
    details.retry_delay = absl::Seconds(retry.retry_delay().seconds()) + absl::Nanoseconds(retry.retry_delay().nanos());
  }
}

void AppendLine(absl::string_view name, absl::string_view value, std::string& text) {
  absl::StrAppendFormat(&text, "  %-9s %s\n", name, value);
}

// Whether the metadata are about this violation, and say what came.
bool Describes(const ErrorDetails& details, const FieldViolation& violation) {
  const auto field = details.metadata.find("field");
  return field != details.metadata.end() && field->second == violation.field && details.metadata.contains("got");
}

// Whether `key` only repeats the name of a field that has its own line.
bool NamesField(const ErrorDetails& details, absl::string_view key) {
  return key == "field" && !details.violations.empty();
}

bool IsExhausted(const absl::Status& status, absl::string_view reason) {
  return status.code() == absl::StatusCode::kResourceExhausted && DecodeErrorDetails(status).reason == reason;
}

}  // namespace

absl::Status MakeCallError(int code, absl::string_view message, absl::string_view details) {
  const bool known = code >= 1 && code <= 16;
  absl::Status status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown, message);
  if (!details.empty()) status.SetPayload(kDetailsUrl, absl::Cord(details));
  return status;
}

ErrorDetails DecodeErrorDetails(const absl::Status& status) {
  ErrorDetails details;
  const absl::optional<absl::Cord> bytes = status.GetPayload(kDetailsUrl);
  google::rpc::Status message;
  if (!bytes.has_value() || !message.ParseFromString(std::string(*bytes))) return details;
  for (const google::protobuf::Any& any : message.details()) AddDetail(any, details);
  return details;
}

bool IsBusy(const absl::Status& status) { return IsExhausted(status, "BUSY"); }
bool IsTooLarge(const absl::Status& status) { return IsExhausted(status, "TOO_LARGE"); }

std::string ErrorDetailsText(const ErrorDetails& details) {
  std::string text;
  for (const FieldViolation& violation : details.violations) {
    AppendLine("field", violation.field, text);
    // The metadata repeat the finding in parts; where they are there, the sentence is not needed.
    if (!Describes(details, violation)) AppendLine("problem", violation.description, text);
  }
  for (const char* key : {"got", "expected"}) {
    if (const auto found = details.metadata.find(key); found != details.metadata.end()) {
      AppendLine(key, found->second, text);
    }
  }
  for (const auto& [key, value] : details.metadata) {
    if (key != "got" && key != "expected" && !NamesField(details, key)) AppendLine(key, value, text);
  }
  if (!details.reason.empty()) AppendLine("reason", details.reason, text);
  if (details.retry_delay.has_value()) AppendLine("retry in", absl::FormatDuration(*details.retry_delay), text);
  return text;
}

}  // namespace attend::client
