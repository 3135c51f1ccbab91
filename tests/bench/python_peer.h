// Python's libraries at the same work as ours, in a process of their own with one thread (python_peer.py). Not
// thread-safe.
#ifndef ATTEND_TESTS_BENCH_PYTHON_PEER_H_
#define ATTEND_TESTS_BENCH_PYTHON_PEER_H_

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace attend::bench {

class PythonPeer {
 public:
  PythonPeer();
  ~PythonPeer();
  PythonPeer(const PythonPeer&) = delete;
  PythonPeer& operator=(const PythonPeer&) = delete;

  // The matrices [batch, n, n] of the following runs.
  void Load(int64_t batch, int64_t n, const std::vector<float>& matrices);
  void Load(int64_t batch, int64_t n, const std::vector<double>& matrices);
  // Of expm_multiply: [n, p], of the matrices' type.
  void LoadVectors(int64_t p, const std::vector<float>& vectors);
  void LoadVectors(int64_t p, const std::vector<double>& vectors);

  // Seconds (of the thread, as ThreadSeconds) of one run of "scipy" (scipy.linalg.expm), "multiply"
  // (scipy.sparse.linalg.expm_multiply) or "torch" (torch.linalg.matrix_exp); nullopt where python3 or the library is
  // not installed.
  std::optional<double> Run(const std::string& what);

 private:
  template <typename T>
  void Send(const std::string& request, const std::vector<T>& data);

  int process_ = 0;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
};

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_PYTHON_PEER_H_
