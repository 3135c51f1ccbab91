// Client against a real gRPC server whose answers the test decides.
#include "client/lib/client.h"

#include <memory>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "attend/v1/attend.grpc.pb.h"
#include "client/lib/status.h"
#include "client/lib/tensor.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace attend::client {
namespace {

constexpr size_t kMib = size_t{1} << 20;

class FakeService final : public v1::AttentionService::Service {
 public:
  // Answers with as many bytes as the query has, and checks the metadata.
  grpc::Status Attention(grpc::ServerContext* context, const v1::AttentionRequest* request,
                         v1::AttentionResponse* response) override {
    const auto stated = context->client_metadata().find("attend-message-bytes");
    uint64_t bytes = 0;
    if (stated == context->client_metadata().end() ||
        !absl::SimpleAtoi(std::string(stated->second.data(), stated->second.size()), &bytes) ||
        bytes != request->ByteSizeLong()) {
      return {grpc::StatusCode::INTERNAL, "attend-message-bytes is not the request's size"};
    }
    *response->mutable_output() = request->heads().query();
    return grpc::Status::OK;
  }

  grpc::Status MatrixExp(grpc::ServerContext*, const v1::MatrixExpRequest*, v1::MatrixExpResponse*) override {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field("a");
    violation->set_description("is not square");
    google::rpc::Status details;
    details.add_details()->PackFrom(bad_request);
    return {grpc::StatusCode::INVALID_ARGUMENT, "a: is not square", details.SerializeAsString()};
  }

  // Waits until the client has given up.
  grpc::Status Project(grpc::ServerContext* context, const v1::ProjectRequest*, v1::ProjectResponse*) override {
    released_.WaitForNotification();
    return grpc::Status::OK;
  }

  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse* response) override {
    response->set_version("fake");
    return grpc::Status::OK;
  }

  void Release() { released_.Notify(); }

 private:
  absl::Notification released_;
};

class FakeHealth final : public grpc::health::v1::Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override {
    if (request->service() == "nobody") return {grpc::StatusCode::NOT_FOUND, "unknown service"};
    response->set_status(request->service().empty() ? grpc::health::v1::HealthCheckResponse::SERVING
                                                    : grpc::health::v1::HealthCheckResponse::NOT_SERVING);
    return grpc::Status::OK;
  }
};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.SetMaxReceiveMessageSize(-1);
    builder.RegisterService(&service_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
  }

  Client Connect(absl::Duration timeout = absl::Seconds(60), uint64_t max_message_bytes = 64 * kMib) const {
    return Client({absl::StrCat("127.0.0.1:", port_), timeout, max_message_bytes});
  }

  static v1::AttentionRequest RequestOf(size_t bytes) {
    v1::AttentionRequest request;
    *request.mutable_heads()->mutable_query() =
        *MakeTensor({static_cast<int64_t>(bytes / sizeof(float))}, std::vector<float>(bytes / sizeof(float), 1.0f));
    return request;
  }

  int port_ = 0;
  FakeService service_;
  FakeHealth health_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ClientTest, StatesEachMessagesSizeInItsMetadata) {
  const absl::StatusOr<v1::AttentionResponse> response = Connect().Attention(RequestOf(100));
  EXPECT_TRUE(response.ok()) << response.status();
}

TEST_F(ClientTest, ReceivesMoreThanGrpcsFourMebibytes) {
  const absl::StatusOr<v1::AttentionResponse> response = Connect().Attention(RequestOf(9 * kMib));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->output().raw().size(), 9 * kMib);
}

TEST_F(ClientTest, RefusesRequestsOverItsLimit) {
  const absl::Status status = Connect(absl::Seconds(60), kMib).Attention(RequestOf(2 * kMib)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ClientTest, KeepsTheServersDetails) {
  const absl::Status status = Connect().MatrixExp({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const ErrorDetails details = DecodeErrorDetails(status);
  ASSERT_EQ(details.violations.size(), 1u);
  EXPECT_EQ(details.violations[0].field, "a");
  EXPECT_EQ(details.violations[0].description, "is not square");
}

TEST_F(ClientTest, GivesUpAtItsDeadline) {
  const absl::Status status = Connect(absl::Milliseconds(50)).Project({}).status();
  service_.Release();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, AsksForHealth) {
  const Client client = Connect();
  EXPECT_EQ(*client.CheckHealth(""), Health::kServing);
  EXPECT_EQ(*client.CheckHealth("other"), Health::kNotServing);
  EXPECT_EQ(client.CheckHealth("nobody").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ClientTest, AsksForServerInfo) { EXPECT_EQ(Connect().GetServerInfo()->version(), "fake"); }

TEST_F(ClientTest, SaysUnavailableWithoutAServer) {
  const Client client = Connect();
  server_->Shutdown();
  EXPECT_EQ(client.GetServerInfo().status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace attend::client
