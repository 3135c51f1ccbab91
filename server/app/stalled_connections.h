// Shuts connections whose peers have stopped taking what the server sends. gRPC ends a call's write only after its
// connection's, and that never ends where the peer does not read: neither the call's deadline nor its cancellation
// frees what it holds. So a thread of its own looks ten times a second at the sockets of this process that were
// accepted on one address; once a socket is shut, gRPC closes the connection and ends its calls. Thread-safe.
#ifndef ATTEND_SERVER_APP_STALLED_CONNECTIONS_H_
#define ATTEND_SERVER_APP_STALLED_CONNECTIONS_H_

#include <dirent.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/logging/logger.h"

namespace attend::app {

class StalledConnections {
 public:
  using Clock = std::chrono::steady_clock;

  // Where the connections were accepted: a socket's path, or a TCP port where that is empty.
  struct Address {
    std::string path;
    int port = 0;
  };

  // Shuts who has taken nothing of a full socket for `patience`; 0: nobody, until EndPatience. TCP counts what the peer
  // acknowledges. A Unix socket tells its queue's length alone, which may be the same whenever gRPC has filled it up
  // again: so its size is changed a little with each look that finds it moved.
  // While there are `many_calls` of `open_calls` it is a second at most: callers who do not take their refusals.
  // REQUIRES: `open_calls` and `logger` outlive it.
  struct Settings {
    Address address;
    std::chrono::milliseconds patience;
    int many_calls;
  };
  StalledConnections(Settings settings, const std::atomic<int>& open_calls, logging::Logger& logger);
  ~StalledConnections();
  StalledConnections(const StalledConnections&) = delete;
  StalledConnections& operator=(const StalledConnections&) = delete;

  // From `then` on everybody whose socket is full is shut at once.
  void EndPatience(Clock::time_point then);

 private:
  using SocketId = std::pair<dev_t, ino_t>;  // a descriptor's number is used again, this is not while it is open
  struct Unmoved {
    uint64_t mark;  // changes with what the peer takes
    Clock::time_point since;
  };
  struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
  };

  void Run();
  std::chrono::milliseconds PatienceNow() const;
  void Look(Clock::time_point now, std::chrono::milliseconds patience);
  std::vector<int> FullSockets();
  bool IsOurs(int fd) const;

  const Settings settings_;
  const std::atomic<int>& open_calls_;
  logging::Logger& logger_;
  // Opened once, since a look must also succeed where the process has no descriptor left.
  const std::unique_ptr<DIR, CloseFolder> descriptors_;
  const int nothing_;  // of no use but to take the place of a socket in held_
  const int held_;     // the socket that is looked at, so that its number cannot become another's meanwhile
  std::map<SocketId, Unmoved> unmoved_;  // the thread's own

  std::mutex mutex_;
  std::condition_variable stop_changed_;
  // Guarded by mutex_:
  bool stop_ = false;
  Clock::time_point patience_ends_ = Clock::time_point::max();
  std::thread thread_;
};

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_STALLED_CONNECTIONS_H_
