#include "client/cli/session.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/report.h"

namespace attend::cli {

Session::Session(const CommonFlags& flags, StartServer start_server, std::istream& standard_input, Console& console)
    : flags_(flags), start_server_(std::move(start_server)), console_(console), files_(standard_input, console) {}

absl::StatusOr<const client::Client*> Session::Connect() {
  if (client_.has_value()) return &*client_;
  client::ClientOptions options;
  options.target = flags_.target;
  options.timeout = absl::Seconds(flags_.timeout_seconds);
  options.max_message_bytes = flags_.max_message_mib << 20;
  if (flags_.local) {
    absl::StatusOr<std::unique_ptr<HostedServer>> hosted = start_server_(options.max_message_bytes);
    if (!hosted.ok()) return hosted.status();
    hosted_ = *std::move(hosted);
    options.target = hosted_->target();
  }
  return &client_.emplace(options);
}

void Session::PreferLocal() {
  if (!flags_.target_given) flags_.local = true;
}

std::string Session::ServerText() const {
  return hosted_ ? absl::StrCat(hosted_->target(), ", in this process") : flags_.target;
}

int Session::UsageFailure(const absl::Status& status) { return Fail(status, kUsage, ""); }

int Session::CallFailure(const absl::Status& status) {
  const bool unreachable = status.code() == absl::StatusCode::kUnavailable && !flags_.local;
  return Fail(status, ExitCodeOf(status),
              unreachable ? absl::StrCat("  no server at ", flags_.target,
                                         "? Start attend-server, name one with --target, or use --local\n")
                          : "");
}

int Session::Fail(const absl::Status& status, int exit_code, const std::string& hint) {
  console_.Error(
      absl::StrCat("attend: ", exit_code == kUsage ? std::string(status.message()) + "\n" : ErrorText(status), hint));
  console_.Json(ErrorJson(status, exit_code));
  return exit_code;
}

}  // namespace attend::cli
