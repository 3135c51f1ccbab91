#include "tests/bench/rpc_bench.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "attend/v1/attend.grpc.pb.h"
#include "client/lib/shared_memory.h"
#include "server/runtime/cpu_quota.h"
#include "tests/bench/project_setup.h"
#include "tests/bench/raw_caller.h"
#include "tests/bench/timing.h"
#include "tests/process/server_process.h"

namespace attend::bench {
namespace {

constexpr char kSharedMemory[] = "/dev/shm";
constexpr double kMsPerSecond = 1e3;

// The servers and how they are called.
struct Peers {
  ServerProcess attend{{ProgramBeside("attend-server"), "--listen=127.0.0.1:0", "--metrics_listen=off",
                        "--log_level=error", "--max_message_bytes=512MiB", "--memory_budget=4GiB"}};
  ServerProcess plain{{ProgramBeside("attend-bench"), "serve-plain", "127.0.0.1:0"}};
  ServerProcess attend_unix{{ProgramBeside("attend-server"),
                             absl::StrCat("--listen=unix:/tmp/attend-bench-", getpid(), ".sock"),
                             "--metrics_listen=off", "--log_level=error", "--max_message_bytes=512MiB",
                             absl::StrCat("--shared_memory_dir=", kSharedMemory)}};
  RawCaller raw{attend.address(), "Project", true};
  RawCaller raw_unix{attend_unix.address(), "Project", true};
  std::unique_ptr<v1::AttentionService::Stub> stub = v1::AttentionService::NewStub(NewChannel(plain.address()));
  runtime::ComputePool compute{runtime::CpuQuota()};
};

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "attend-bench: %s\n", why.c_str());
  std::exit(1);
}

grpc::ByteBuffer Answer(const RawCaller& caller, const grpc::ByteBuffer& request) {
  grpc::ByteBuffer response;
  const grpc::Status status = caller.Call(request, &response);
  if (!status.ok()) Fail(absl::StrCat("attend-server fails: ", status.error_message()));
  return response;
}

std::string Flatten(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

void CheckOutput(const v1::ProjectResponse& response, const ProjectSetup& setup, const std::string& whose) {
  const size_t bytes = setup.output().size() * sizeof(float);
  if (response.outputs_size() == 1 && response.outputs(0).raw().size() == bytes &&
      std::memcmp(response.outputs(0).raw().data(), setup.output().data(), bytes) == 0) {
    return;
  }
  Fail(absl::StrCat(whose, " answers something else than the computation in this process"));
}

class ProjectCalls {
 public:
  ProjectCalls(Peers& peers, int64_t rows, int64_t d) : peers_(peers), setup_(rows, d), request_(setup_.Request()) {
    serialized_ = Serialized(request_);
    InProcess();
    v1::ProjectResponse response;
    if (!response.ParseFromString(Flatten(Answer(peers_.raw, serialized_)))) Fail("unreadable answer");
    CheckOutput(response, setup_, "attend-server");
    CheckOutput(CallPlainly(), setup_, "the plain server");
  }

  void InProcess() { setup_.Run(peers_.compute); }
  void CallRaw(const RawCaller& caller) { Answer(caller, serialized_); }
  v1::ProjectResponse CallPlainly() {
    grpc::ClientContext context;
    v1::ProjectResponse response;
    const grpc::Status status = peers_.stub->Project(&context, request_, &response);
    if (!status.ok()) Fail(absl::StrCat("the plain server fails: ", status.error_message()));
    return response;
  }
  double CarriedMiB() const { return setup_.CarriedMiB(); }

 private:
  Peers& peers_;
  ProjectSetup setup_;
  const v1::ProjectRequest request_;
  grpc::ByteBuffer serialized_;
};

constexpr int64_t kColumns = 64;
int64_t RowsOf(int mebibytes) { return (int64_t{mebibytes} << 20) / (kColumns * static_cast<int64_t>(sizeof(float))); }

// `mebibytes` of elements each way.
void BenchLarge(int mebibytes, int repetitions, Peers& peers, Figures& figures) {
  ProjectCalls calls(peers, RowsOf(mebibytes), kColumns);
  const auto seconds = MedianSecondsInTurns(
      repetitions, {[&] { calls.InProcess(); }, [&] { calls.CallRaw(peers.raw); }, [&] { calls.CallPlainly(); }});
  const double ours = seconds[1] - seconds[0];
  const double plain = seconds[2] - seconds[0];
  const std::string name = absl::StrCat("rpc.", mebibytes, "MiB");
  figures.Add(absl::StrCat(name, ".ms_per_mib"), ours * kMsPerSecond / calls.CarriedMiB(), "ms/MiB");
  figures.Add(absl::StrCat(name, ".protobuf_ms_per_mib"), plain * kMsPerSecond / calls.CarriedMiB(), "ms/MiB");
  figures.Add(absl::StrCat(name, ".overhead_vs_protobuf"), plain / ours, "ratio");
}

void BenchUnixSocket(int mebibytes, int repetitions, Peers& peers, Figures& figures) {
  ProjectCalls calls(peers, RowsOf(mebibytes), kColumns);
  const auto seconds =
      MedianSecondsInTurns(repetitions, {[&] { calls.InProcess(); }, [&] { calls.CallRaw(peers.raw_unix); }});
  figures.Add(absl::StrCat("rpc.unix.", mebibytes, "MiB.ms_per_mib"),
              (seconds[1] - seconds[0]) * kMsPerSecond / calls.CarriedMiB(), "ms/MiB");
}

// Inputs and results in shared memory; the call itself on the Unix domain socket.
void BenchSharedMemory(int mebibytes, int repetitions, Peers& peers, Figures& figures) {
  ProjectSetup setup(RowsOf(mebibytes), kColumns);
  const uint64_t bytes = setup.x().size() * sizeof(float);
  const auto file = client::SharedFile::Create(kSharedMemory, 2 * bytes);
  if (!file.ok()) Fail(std::string(file.status().message()));
  std::memcpy(file->bytes().data(), setup.x().data(), bytes);
  v1::ProjectRequest request = setup.Request();
  *request.mutable_linear()->mutable_x() =
      *client::SharedTensor(v1::DATA_TYPE_FLOAT32, {setup.rows(), setup.d()}, *file, 0);
  *request.mutable_results() = file->Region(bytes, bytes);
  const grpc::ByteBuffer serialized = Serialized(request);
  const auto seconds = MedianSecondsInTurns(
      repetitions, {[&] { setup.Run(peers.compute); }, [&] { Answer(peers.raw_unix, serialized); }});
  if (std::memcmp(file->bytes().data() + bytes, setup.output().data(), bytes) != 0) {
    Fail("shared memory holds other results than this process");
  }
  figures.Add(absl::StrCat("rpc.shm.", mebibytes, "MiB.ms_per_mib"),
              (seconds[1] - seconds[0]) * kMsPerSecond / setup.CarriedMiB(), "ms/MiB");
}

// Against an empty unary call of generated stubs, the smallest thing gRPC does.
void BenchSmall(Peers& peers, Figures& figures) {
  constexpr int kRepetitions = 2000;
  ProjectCalls calls(peers, 24, 8);  // x and w together: 1 KiB
  const auto empty = [&] {
    grpc::ClientContext context;
    v1::GetServerInfoResponse response;
    if (!peers.stub->GetServerInfo(&context, {}, &response).ok()) Fail("the plain server fails");
  };
  const auto seconds = MedianSecondsInTurns(kRepetitions, {[&] { calls.CallRaw(peers.raw); }, empty});
  figures.Add("rpc.1KiB.ms", seconds[0] * kMsPerSecond, "ms");
  figures.Add("rpc.1KiB.over_empty_call", seconds[0] / seconds[1], "ratio");
}

}  // namespace

void BenchRpc(Figures& figures) {
  Peers peers;
  BenchSmall(peers, figures);
  BenchLarge(16, 30, peers, figures);
  BenchLarge(64, 10, peers, figures);
  BenchUnixSocket(16, 30, peers, figures);
  BenchSharedMemory(64, 15, peers, figures);
}

}  // namespace attend::bench
