// Settings of the whole process that suit large messages. To be called by a program as it begins, before it starts
// threads; a library must not.
#ifndef ATTEND_SERVER_APP_PROCESS_TUNING_H_
#define ATTEND_SERVER_APP_PROCESS_TUNING_H_

#include <cstdint>

namespace attend::app {

// Has the C library keep what messages freed for the next ones, up to a sixteenth of `memory_budget_bytes` and 64 MiB:
// fresh pages cost as much as the copies that fill them. It does so in one heap per compute thread and no more: in
// the sixteen that two cores would get, memory is kept that others need. Abseil's mutexes stop looking for deadlocks,
// which Debian's build does at four times their price. A write beyond the process's limit of file sizes (into shared
// memory) fails instead of ending the process.
void TuneProcess(uint64_t memory_budget_bytes, int compute_threads);

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_PROCESS_TUNING_H_
