#include "server/metrics/host_port.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace attend::metrics {
namespace {

bool IsIpv6(const std::string& host) {
  in6_addr parsed;
  return inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

bool IsIpv4(const std::string& host) {
  in_addr parsed;
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1;
}

// What looks like an IPv4 address must be one: "1.2.3" would otherwise be looked up as a name and mean 1.2.0.3.
bool IsIpv4OrName(const std::string& host) {
  const bool numeric =
      std::all_of(host.begin(), host.end(), [](unsigned char c) { return absl::ascii_isdigit(c) || c == '.'; });
  if (numeric) return IsIpv4(host);
  const bool plain = std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
  });
  return plain && host.front() != '-' && host.front() != '.' && host.size() <= 253;
}

bool ParsePort(absl::string_view text, int& port) {
  const bool digits = !text.empty() && text.size() <= 5 && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  return digits && absl::SimpleAtoi(text, &port) && port <= 65535;
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view address) {
  const auto refused = [address](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("got \"", address, "\" (", why,
                                                   "); allowed: HOST:PORT with an IPv4 address, a host name or "
                                                   "an IPv6 address in brackets, and a port from 0 to 65535"));
  };
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return refused("no port");
  HostPort result;
  if (!ParsePort(address.substr(colon + 1), result.port)) return refused("bad port");
  const absl::string_view host = address.substr(0, colon);
  if (host.empty()) return refused("no host");
  if (host.front() == '[') {
    if (host.back() != ']') return refused("bad host");
    result.host = std::string(host.substr(1, host.size() - 2));
    if (!IsIpv6(result.host)) return refused("bad IPv6 address");
    return result;
  }
  result.host = std::string(host);
  if (IsIpv6(result.host)) return refused("IPv6 without brackets");
  if (!IsIpv4OrName(result.host)) return refused("bad host");
  return result;
}

}  // namespace attend::metrics
