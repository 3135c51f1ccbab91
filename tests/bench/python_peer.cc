#include "tests/bench/python_peer.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace attend::bench {
namespace {

// Debian's, which has python3-scipy; another one may come first on PATH.
constexpr char kPython[] = "/usr/bin/python3";
constexpr char kScript[] = ATTEND_SOURCE_DIR "/tests/bench/python_peer.py";

[[noreturn]] void BecomePython(int in, int out) {
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  execl(kPython, kPython, kScript, nullptr);
  _exit(127);
}

}  // namespace

PythonPeer::PythonPeer() {
  int request[2];
  int answer[2];
  if (pipe(request) != 0 || pipe(answer) != 0) std::abort();
  std::signal(SIGPIPE, SIG_IGN);  // a Python that does not start
  process_ = fork();
  if (process_ == 0) {
    close(request[1]);
    close(answer[0]);
    BecomePython(request[0], answer[1]);
  }
  close(request[0]);
  close(answer[1]);
  to_ = fdopen(request[1], "w");
  from_ = fdopen(answer[0], "r");
}

PythonPeer::~PythonPeer() {
  fclose(to_);
  fclose(from_);
  waitpid(process_, nullptr, 0);
}

template <typename T>
void PythonPeer::Send(const std::string& request, const std::vector<T>& data) {
  std::fprintf(to_, "%s\n", request.c_str());
  std::fwrite(data.data(), sizeof(T), data.size(), to_);
  std::fflush(to_);
}

void PythonPeer::Load(int64_t batch, int64_t n, const std::vector<float>& matrices) {
  Send(absl::StrCat("load f32 ", batch, " ", n), matrices);
}

void PythonPeer::Load(int64_t batch, int64_t n, const std::vector<double>& matrices) {
  Send(absl::StrCat("load f64 ", batch, " ", n), matrices);
}

void PythonPeer::LoadVectors(int64_t p, const std::vector<float>& vectors) {
  Send(absl::StrCat("vectors ", p), vectors);
}

void PythonPeer::LoadVectors(int64_t p, const std::vector<double>& vectors) {
  Send(absl::StrCat("vectors ", p), vectors);
}

std::optional<double> PythonPeer::Run(const std::string& what) {
  Send<char>(absl::StrCat("run ", what), {});
  char line[64];
  double seconds = 0;
  if (std::fgets(line, sizeof(line), from_) == nullptr || !absl::SimpleAtod(line, &seconds)) return std::nullopt;
  return seconds;
}

}  // namespace attend::bench
