// Flags that each name an .npy file for one tensor of a message. Not thread-safe.
#ifndef ATTEND_CLIENT_CLI_TENSOR_FLAGS_H_
#define ATTEND_CLIENT_CLI_TENSOR_FLAGS_H_

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "attend/v1/attend.pb.h"
#include "client/cli/array_files.h"

namespace attend::cli {

template <typename Message>
struct TensorFlag {
  const char* name;  // "--query"
  const char* help;  // the shape, first of all
  v1::Tensor* (Message::*mutable_field)();
  std::string path = "";
};

template <typename Message>
class TensorFlags {
 public:
  TensorFlags(std::initializer_list<TensorFlag<Message>> flags) : flags_(flags) {}

  void Declare(CLI::App& app, const std::string& group) {
    for (TensorFlag<Message>& flag : flags_) {
      app.add_option(flag.name, flag.path, flag.help)->type_name("FILE")->group(group);
    }
  }

  // The first flag that was given; empty where none was.
  std::string FirstGiven() const {
    for (const TensorFlag<Message>& flag : flags_) {
      if (!flag.path.empty()) return flag.name;
    }
    return "";
  }
  // The flags that were given, as fields: "--w-q" is "w_q".
  void AddGivenFields(std::vector<std::string>& fields) const {
    for (const TensorFlag<Message>& flag : flags_) {
      if (!flag.path.empty()) fields.push_back(absl::StrReplaceAll(flag.name + 2, {{"-", "_"}}));
    }
  }
  bool any() const { return !FirstGiven().empty(); }

  // Reads the files that were given into `message`. Errors begin with the flag.
  absl::Status Fill(ArrayFiles& files, std::optional<v1::DataType> as, Message& message) const {
    for (const TensorFlag<Message>& flag : flags_) {
      if (flag.path.empty()) continue;
      absl::StatusOr<v1::Tensor> tensor = files.ReadTensor(flag.path, as);
      if (!tensor.ok()) {
        return absl::Status(tensor.status().code(), absl::StrCat(flag.name, " ", tensor.status().message()));
      }
      (message.*flag.mutable_field)()->Swap(&*tensor);
    }
    return absl::OkStatus();
  }

 private:
  std::vector<TensorFlag<Message>> flags_;
};

// --as: the floating type inputs are converted to before they are sent.
class InputTypeFlag {
 public:
  void Declare(CLI::App& app, const std::string& group);
  std::optional<v1::DataType> dtype() const;

 private:
  std::string name_;
};

// Flag with a fixed set of words: "--form sequence|embedding".
CLI::Option* AddChoice(CLI::App& app, const std::string& name, std::string& value,
                       const std::vector<std::string>& choices, const std::string& help);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_TENSOR_FLAGS_H_
