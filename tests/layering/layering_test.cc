// Which room may include what. The arrows of docs/architecture.md, held.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace attend {
namespace {

namespace fs = std::filesystem;

struct Include {
  std::string file;    // "server/rpc/call.cc"
  std::string header;  // "grpcpp/support/byte_buffer.h"
};

std::vector<Include> IncludesUnder(const std::string& folder) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::vector<Include> includes;
  const fs::path root(ATTEND_SOURCE_DIR);
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const std::string extension = entry.path().extension();
    if (extension != ".cc" && extension != ".h") continue;
    std::ifstream in(entry.path());
    std::string line;
    std::smatch match;
    while (std::getline(in, line)) {
      if (std::regex_search(line, match, kInclude)) {
        includes.push_back({fs::relative(entry.path(), root).generic_string(), match[1]});
      }
    }
  }
  return includes;
}

bool StartsWith(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

// "server/compute" for "server/compute/gemm.h"; "" for what is no room of ours.
std::string RoomOf(const std::string& path) {
  static const std::regex kRoom(R"(^((?:server|client)/[a-z_]+)/)");
  std::smatch match;
  if (std::regex_search(path, match, kRoom)) return match[1];
  return path == "server/main.cc" ? "server/main" : "";
}

TEST(Layering, RoomsIncludeOnlyTheRoomsBelow) {
  const std::map<std::string, std::set<std::string>> allowed = {
      {"server/runtime", {}},
      {"server/logging", {}},
      {"server/metrics", {}},
      {"server/compute", {"server/runtime"}},
      {"server/rpc", {"server/compute", "server/metrics", "server/runtime", "server/logging"}},
      {"server/app", {"server/rpc", "server/compute", "server/metrics", "server/runtime", "server/logging"}},
      {"server/main", {"server/app", "server/logging"}},
      {"client/lib", {}},
      {"client/cli", {"client/lib", "server/app"}},
  };
  for (const std::string folder : {"server", "client"}) {
    for (const Include& include : IncludesUnder(folder)) {
      const std::string from = RoomOf(include.file);
      const std::string to = RoomOf(include.header);
      ASSERT_TRUE(allowed.contains(from)) << include.file << " is in no known room";
      if (to.empty() || to == from) continue;
      EXPECT_TRUE(allowed.at(from).contains(to)) << include.file << " includes " << include.header;
    }
  }
}

bool IsGrpc(const std::string& header) {
  return StartsWith(header, "grpc/") || StartsWith(header, "grpcpp/") || header.find(".grpc.pb.h") != std::string::npos;
}
bool IsProtobuf(const std::string& header) {
  return StartsWith(header, "google/") || header.find(".pb.h") != std::string::npos;
}
bool IsPrometheus(const std::string& header) { return StartsWith(header, "prometheus/"); }
bool IsOneDnn(const std::string& header) {
  return header.find("dnnl") != std::string::npos || StartsWith(header, "oneapi/");
}
bool IsBlas(const std::string& header) { return header.find("blas") != std::string::npos; }
bool IsHighway(const std::string& header) { return StartsWith(header, "hwy/"); }
bool IsEigen(const std::string& header) { return StartsWith(header, "Eigen/"); }
bool IsCairo(const std::string& header) { return header.find("cairo") != std::string::npos; }

struct LibraryRule {
  std::string library;
  bool (*is)(const std::string& header);
  std::vector<std::string> may;  // prefixes of the files that may include it
};

TEST(Layering, LibrariesStayWhereTheyBelong) {
  const std::vector<LibraryRule> rules = {
      {"gRPC", IsGrpc, {"server/rpc/", "server/app/", "client/"}},
      {"protobuf", IsProtobuf, {"server/rpc/", "server/app/", "client/"}},
      {"Prometheus", IsPrometheus, {"server/metrics/"}},
      {"oneDNN", IsOneDnn, {"server/compute/gemm_f32.cc"}},
      {"BLAS", IsBlas, {"server/compute/gemm_f64.cc"}},
      {"Highway", IsHighway, {"server/compute/"}},
      {"Eigen", IsEigen, {"server/compute/"}},
      {"Cairo", IsCairo, {"client/cli/heatmap.cc", "client/cli/spectrum_plot.cc"}},
  };
  for (const std::string folder : {"server", "client"}) {
    for (const Include& include : IncludesUnder(folder)) {
      for (const LibraryRule& rule : rules) {
        if (!rule.is(include.header)) continue;
        bool permitted = false;
        for (const std::string& prefix : rule.may) permitted = permitted || StartsWith(include.file, prefix);
        EXPECT_TRUE(permitted) << include.file << " includes " << include.header << " of " << rule.library;
      }
    }
  }
}

TEST(Layering, OneFileIncludesOneDnn) {
  std::set<std::string> files;
  for (const Include& include : IncludesUnder("server")) {
    if (IsOneDnn(include.header)) files.insert(include.file);
  }
  EXPECT_EQ(files.size(), 1u);
}

TEST(Layering, TheScanSeesIncludes) {
  EXPECT_GT(IncludesUnder("server").size(), 100u);
  EXPECT_EQ(RoomOf("server/compute/attention/tokens.cc"), "server/compute");
  EXPECT_EQ(RoomOf("absl/status/status.h"), "");
}

}  // namespace
}  // namespace attend
