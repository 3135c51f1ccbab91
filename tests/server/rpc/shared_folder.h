// A directory of shared memory for tests; it goes with all its files.
#ifndef ATTEND_TESTS_SERVER_RPC_SHARED_FOLDER_H_
#define ATTEND_TESTS_SERVER_RPC_SHARED_FOLDER_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "server/rpc/shared_memory.h"

namespace attend::rpc {

class SharedFolder {
 public:
  SharedFolder() {
    std::string name = ::testing::TempDir() + "shared_XXXXXX";
    path_ = mkdtemp(name.data());
    folder_ = *SharedMemoryFolder::Open(path_);
  }
  ~SharedFolder() { std::filesystem::remove_all(path_); }

  const SharedMemoryFolder& folder() const { return *folder_; }
  const std::string& path() const { return path_; }

  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
  }
  std::string Read(const std::string& name) const {
    std::ifstream in(path_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string path_;
  std::unique_ptr<const SharedMemoryFolder> folder_;
};

inline v1::SharedMemory PlaceIn(const std::string& name, uint64_t offset, uint64_t length) {
  v1::SharedMemory place;
  place.set_name(name);
  place.set_offset(offset);
  place.set_length(length);
  return place;
}

}  // namespace attend::rpc

#endif  // ATTEND_TESTS_SERVER_RPC_SHARED_FOLDER_H_
