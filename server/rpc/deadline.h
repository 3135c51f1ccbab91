// A call's deadline on the clock that computations poll.
#ifndef ATTEND_SERVER_RPC_DEADLINE_H_
#define ATTEND_SERVER_RPC_DEADLINE_H_

#include <chrono>

namespace attend::rpc {

inline std::chrono::steady_clock::time_point SteadyDeadline(std::chrono::system_clock::time_point deadline) {
  using Clock = std::chrono::steady_clock;
  if (deadline == std::chrono::system_clock::time_point::max()) return Clock::time_point::max();
  const auto left = deadline - std::chrono::system_clock::now();
  // A deadline centuries away would overflow the steady clock.
  if (left > std::chrono::hours(24 * 365)) return Clock::time_point::max();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_DEADLINE_H_
