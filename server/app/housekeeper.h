// Gives memory back to the system that calls no longer need: idle buffers, and what the C library keeps of messages. A
// thread of its own looks ten times a second.
#ifndef ATTEND_SERVER_APP_HOUSEKEEPER_H_
#define ATTEND_SERVER_APP_HOUSEKEEPER_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "server/runtime/admission.h"
#include "server/runtime/buffer_pool.h"

namespace attend::app {

class Housekeeper {
 public:
  // REQUIRES: both outlive it.
  Housekeeper(runtime::BufferPool& buffers, const runtime::Admission& admission);
  ~Housekeeper();
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

 private:
  void Run();
  void TrimHeap();

  runtime::BufferPool& buffers_;
  const runtime::Admission& admission_;
  int64_t base_bytes_;  // resident beside calls and their buffers
  std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stop_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_HOUSEKEEPER_H_
