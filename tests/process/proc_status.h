// What Linux tells of a process's memory. Thread-safe.
#ifndef ATTEND_TESTS_PROCESS_PROC_STATUS_H_
#define ATTEND_TESTS_PROCESS_PROC_STATUS_H_

#include <cstdint>
#include <string>

namespace attend {

// A field of /proc/PROCESS/status such as "VmRSS", in bytes. `process` is a number or "self". Aborts where there is
// none.
uint64_t StatusBytes(const std::string& process, const std::string& field);

// "VmHWM", the peak of what is resident, starts anew.
void ForgetPeakResident(const std::string& process);

}  // namespace attend

#endif  // ATTEND_TESTS_PROCESS_PROC_STATUS_H_
