#include "tests/bench/plain_server.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>

#include "attend/v1/attend.grpc.pb.h"
#include "server/runtime/cpu_quota.h"
#include "tests/bench/project_setup.h"

namespace attend::bench {
namespace {

class PlainService final : public v1::AttentionService::Service {
 public:
  grpc::Status Project(grpc::ServerContext*, const v1::ProjectRequest* request,
                       v1::ProjectResponse* response) override {
    const v1::Tensor& x = request->linear().x();
    const v1::Tensor& w = request->linear().w(0);
    v1::Tensor& output = *response->add_outputs();
    output.set_dtype(v1::DATA_TYPE_FLOAT32);
    *output.mutable_shape() = x.shape();
    output.mutable_raw()->resize(x.raw().size());
    RunProjection(pool_, buffers_, reinterpret_cast<const float*>(x.raw().data()), x.shape(0),
                  reinterpret_cast<const float*>(w.raw().data()), x.shape(1),
                  reinterpret_cast<float*>(output.mutable_raw()->data()));
    return grpc::Status::OK;
  }

  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse*) override {
    return grpc::Status::OK;
  }

 private:
  runtime::ComputePool pool_{runtime::CpuQuota()};
  runtime::BufferPool buffers_;
};

}  // namespace

int ServePlainly(const std::string& address) {
  PlainService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::printf("listening on %s:%d\n", address.substr(0, address.rfind(':')).c_str(), port);
  std::fflush(stdout);
  server->Wait();
  return 0;
}

}  // namespace attend::bench
