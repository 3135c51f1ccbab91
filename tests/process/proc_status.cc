#include "tests/process/proc_status.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace attend {

uint64_t StatusBytes(const std::string& process, const std::string& field) {
  std::ifstream status("/proc/" + process + "/status");
  std::string word;
  while (status >> word) {
    if (word != field + ":") continue;
    uint64_t kib = 0;
    status >> kib;
    return kib << 10;
  }
  std::fprintf(stderr, "the system does not tell %s of process %s\n", field.c_str(), process.c_str());
  std::abort();
}

void ForgetPeakResident(const std::string& process) { std::ofstream("/proc/" + process + "/clear_refs") << "5"; }

}  // namespace attend
