// --listen unix:PATH.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/e2e/e2e_test_util.h"

namespace attend {
namespace {

// A folder of the test's own, and a server's options with a socket in it.
class UnixSocket : public ::testing::Test {
 protected:
  UnixSocket() {
    std::string name = ::testing::TempDir() + "unix_XXXXXX";
    folder_ = mkdtemp(name.data());
    path_ = folder_ + "/attend.sock";
    options_.listen = "unix:" + path_;
  }
  ~UnixSocket() override { std::filesystem::remove_all(folder_); }

  mode_t Mode() const {
    struct stat found {};
    EXPECT_EQ(lstat(path_.c_str(), &found), 0);
    EXPECT_TRUE(S_ISSOCK(found.st_mode));
    return found.st_mode & 0777;
  }
  void ExpectUnavailable(const std::string& why) {
    const auto server = app::Server::Start(options_);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(server.status().message().find(options_.listen), std::string::npos) << server.status();
    EXPECT_NE(server.status().message().find(why), std::string::npos) << server.status();
  }

  std::string folder_;
  std::string path_;
  app::Options options_ = LoopbackOptions();
};

void ExpectAnswers(Loopback& loopback) {
  grpc::ClientContext context;
  v1::AttentionResponse response;
  const grpc::Status status = loopback.stub().Attention(&context, SelfAttention(2, 20, 64), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.output().shape(2), 20);
}

TEST_F(UnixSocket, AnswersAndLeavesNothingBehind) {
  {
    Loopback loopback(options_);
    ExpectAnswers(loopback);
    EXPECT_EQ(loopback.server().port(), 0);
    EXPECT_NE(loopback.server().Banner().find("listening on " + options_.listen + ","), std::string::npos);
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixSocket, HasTheModeThatWasAskedFor) {
  const mode_t mask = umask(0);
  umask(mask);
  {
    Loopback loopback(options_);
    EXPECT_EQ(Mode(), 0660u);
  }
  options_.socket_mode = 0606;
  Loopback loopback(options_);
  EXPECT_EQ(Mode(), 0606u);
  EXPECT_EQ(umask(mask), mask) << "the process keeps its mask";
}

TEST_F(UnixSocket, ReplacesTheSocketOfAServerThatDied) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path_.copy(name.sun_path, sizeof(name.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
  close(fd);
  ASSERT_TRUE(std::filesystem::exists(path_));
  Loopback loopback(options_);
  ExpectAnswers(loopback);
}

TEST_F(UnixSocket, ATakenSocketIsAnErrorAndStaysTaken) {
  Loopback first(options_);
  ExpectUnavailable("a server listens there");
  ExpectAnswers(first);
}

TEST_F(UnixSocket, WhatIsNoSocketStays) {
  std::ofstream(path_) << "precious";
  ExpectUnavailable("something else than a socket");
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
}

TEST_F(UnixSocket, AMissingFolderIsAnError) {
  options_.listen = "unix:" + folder_ + "/missing/attend.sock";
  ExpectUnavailable("No such file");
}

TEST_F(UnixSocket, ARelativePathStartsAtTheWorkingFolder) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  options_.listen = "unix:attend.sock";
  {
    Loopback loopback(options_);
    EXPECT_EQ(Mode(), 0660u);
    ExpectAnswers(loopback);
  }
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace attend
