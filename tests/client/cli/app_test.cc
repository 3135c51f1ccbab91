// The program's arguments, help and failures, without a server.
#include "client/cli/app.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/client/cli/scratch_folder.h"

namespace attend::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kStreet[] = ATTEND_SOURCE_DIR "/examples/street";

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

std::string Drain(int fd) {
  std::string text(static_cast<size_t>(lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  close(fd);
  return text;
}

Outcome Attend(std::vector<const char*> arguments, const std::string& input = "") {
  arguments.insert(arguments.begin(), "attend");
  std::istringstream standard_input(input);
  const int out = memfd_create("out", 0);
  const int err = memfd_create("err", 0);
  const int code = RunProgram(static_cast<int>(arguments.size()), arguments.data(),
                              {standard_input, out, err, [](uint64_t) -> absl::StatusOr<std::unique_ptr<HostedServer>> {
                                 return absl::UnavailableError("no server in this test");
                               }});
  return {code, Drain(out), Drain(err)};
}

const std::vector<std::vector<const char*>> kCommands = {{},
                                                         {"demo"},
                                                         {"attention"},
                                                         {"expm"},
                                                         {"log"},
                                                         {"lie-view"},
                                                         {"project"},
                                                         {"project", "linear"},
                                                         {"project", "congruence"},
                                                         {"project", "algebra"},
                                                         {"project", "low-rank"},
                                                         {"info"},
                                                         {"health"}};

std::vector<const char*> With(std::vector<const char*> arguments, std::initializer_list<const char*> more) {
  arguments.insert(arguments.end(), more);
  return arguments;
}

TEST(App, HelpFitsIntoOneHundredColumnsAndNamesTheExitCodes) {
  for (const std::vector<const char*>& command : kCommands) {
    const std::vector<const char*> arguments = With(command, {"--help"});
    const Outcome outcome = Attend(arguments);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out, HasSubstr("Examples:"));
    if (std::string(arguments[0]) != "project" || arguments.size() == 3) {
      EXPECT_THAT(outcome.out, HasSubstr("Exit codes:")) << arguments[0];
    }
    for (const absl::string_view line : absl::StrSplit(outcome.out, '\n')) {
      EXPECT_LE(line.size(), 100u) << arguments[0] << ": " << line;
    }
  }
}

TEST(App, VersionIsOneLine) {
  const Outcome outcome = Attend({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, ::testing::MatchesRegex("[0-9.]+\n"));
}

struct Mistake {
  std::vector<const char*> arguments;
  const char* message;
};

TEST(App, MistakesInTheArgumentsAreExitCodeTwo) {
  const std::vector<Mistake> mistakes = {
      {{}, "subcommand"},
      {{"frobnicate"}, "frobnicate"},
      {{"info", "--tarrget", "x"}, "tarrget"},
      {{"info", "--timeout", "soon"}, "--timeout"},
      {{"info", "--timeout", "-1"}, "--timeout"},
      {{"info", "--timeout", "nan"}, "--timeout"},
      {{"info", "--target"}, "--target"},
      {{"info", "--target", ""}, "--target: got an empty value, expected HOST:PORT"},
      {{"info", "--target", "two words"}, "is not HOST:PORT"},
      {{"info", "--max-message-mib", "0"}, "--max-message-mib"},
      {{"attention"}, "no input"},
      {{"attention", "--query", "q.npy", "--x", "x.npy"}, "exclude each other"},
      {{"attention", "--query", "q.npy", "--num-heads", "2"}, "--num-heads needs --x"},
      {{"attention", "--query", "q.npy", "--rate", "exp"}, "--rate needs --normalization generator_exp"},
      {{"attention", "--query", "q.npy", "--w-key", "k.npy"}, "--w-key needs --score additive"},
      {{"attention", "--query", "q.npy", "--score", "cosine"}, "cosine"},
      {{"attention", "--query", "q.npy", "--score", "dot", "--scale", "2"}, "--scale needs"},
      {{"attention", "--query", "q.npy", "--num-kv-heads", "many"}, "--num-kv-heads"},
      {{"attention", "--query", "/nowhere/q.npy"}, "--query /nowhere/q.npy"},
      {{"attention", "--query", "q.npy", "--output", "/nowhere/o.npy"}, "there is no folder /nowhere"},
      {{"attention", "--query", "q.npy", "--output", "o.npy", "--weights", "o.npy"}, "two outputs go to o.npy"},
      {{"attention", "--query", "-", "--key", "-"}, "it is empty"},
      {{"attention", "--query", "q.npy", "--gradients", "."}, "--gradients needs --grad-output"},
      {{"attention", "--query", "q.npy", "--grad-output", "g.npy", "--gradients", "/nowhere"},
       "there is no folder /nowhere"},
      {{"attention", "--query", "q.npy", "--output", "./query.npy", "--grad-output", "g.npy", "--gradients", "."},
       "two outputs go to ./query.npy"},
      {{"expm"}, "--a"},
      {{"expm", "--a", "a.npy", "--times", "1,now"}, "now"},
      {{"expm", "--a", "a.npy", "--structure", "round"}, "round"},
      {{"project"}, "subcommand"},
      {{"project", "linear", "--x", "x.npy"}, "--w"},
      {{"project", "linear", "--x", "x.npy", "--w", "a", "--w", "b", "--output", "c"}, "1 --output for 2 --w"},
      {{"project", "congruence", "--e", "e.npy"}, "expected either --a"},
      {{"project", "congruence", "--e", "e.npy", "--a", "a", "--w-query", "b"}, "expected either --a"},
      {{"project", "algebra", "--m", "m.npy"}, "--onto"},
      {{"project", "algebra", "--m", "m.npy", "--onto", "round"}, "round"},
      {{"project", "low-rank", "--a", "a.npy"}, "expected either --rank or --energy"},
      {{"project", "low-rank", "--a", "a.npy", "--rank", "2", "--energy", "0.5"}, "--energy"},
      {{"project", "low-rank", "--a", "a.npy", "--rank", "many"}, "--rank"},
      {{"demo", "--data", "/nowhere"}, "tokens.json in /nowhere"},
      {{"demo", "--data", kStreet, "--picture", "/nowhere/p.png"}, "there is no folder /nowhere"},
      {{"lie-view", "--data", kStreet, "--pictures", "/nowhere"}, "there is no folder /nowhere"},
      {{"lie-view", "--head", "5"}, "--head: Value 5 not in range 1 to 4"},
      {{"lie-view", "--beside", "-1"}, "--beside: got \"-1\", expected a number of at least 0"},
      {{"lie-view", "--beside", "inf"}, "--beside: got \"inf\""},
      {{"lie-view", "--beside", "soon"}, "--beside: got \"soon\""},
  };
  for (const Mistake& mistake : mistakes) {
    const Outcome outcome = Attend(mistake.arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(mistake.message));
    EXPECT_THAT(outcome.out, IsEmpty());
  }
}

struct Flag {
  std::string name;
  std::string type;
};

// Of "  --times LIST    The t in ...".
std::vector<Flag> FlagsWithValues(const std::string& help) {
  std::vector<Flag> flags;
  for (const absl::string_view line : absl::StrSplit(help, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() > 3 && words[2].starts_with("--") && !words[3].empty()) flags.push_back({words[2], words[3]});
  }
  return flags;
}

TEST(App, NoFlagTakesAnEmptyValue) {
  size_t flags = 0;
  for (const std::vector<const char*>& command : kCommands) {
    for (const Flag& flag : FlagsWithValues(Attend(With(command, {"--help"})).out)) {
      const Outcome outcome = Attend(With(command, {flag.name.c_str(), ""}));
      EXPECT_EQ(outcome.code, 2) << flag.name;
      EXPECT_THAT(outcome.err, HasSubstr(flag.name + ": got an empty value, expected ")) << outcome.err;
      ++flags;
    }
  }
  EXPECT_GT(flags, 90u);
  // The empty one among others of a flag that may come several times.
  EXPECT_EQ(Attend({"expm", "--a", "a.npy", "--times", "", "--times", "2"}).code, 2);
  EXPECT_EQ(Attend({"project", "linear", "--x", "x.npy", "--w", "w.npy", "--w", ""}).code, 2);
}

TEST(App, NoListTakesAnEmptyElement) {
  size_t lists = 0;
  for (const std::vector<const char*>& command : kCommands) {
    for (const Flag& flag : FlagsWithValues(Attend(With(command, {"--help"})).out)) {
      if (!flag.type.starts_with("LIST")) continue;
      for (const char* list : {"1,,2", "1,", ",1", ",", " ", "1, ,2"}) {
        std::vector<const char*> arguments = With(command, {flag.name.c_str(), list});
        const std::string required = command[0];
        if (required == "attention")
          arguments = With(arguments, {"--query", ATTEND_SOURCE_DIR "/examples/street/x.npy"});
        if (required == "expm") arguments = With(arguments, {"--a", "a.npy"});
        const Outcome outcome = Attend(arguments);
        EXPECT_EQ(outcome.code, 2) << flag.name;
        EXPECT_THAT(outcome.err, HasSubstr(flag.name)) << list;
        EXPECT_THAT(outcome.err, HasSubstr(absl::StrCat("got \"", list, "\", expected "))) << flag.name;
      }
      ++lists;
    }
  }
  EXPECT_EQ(lists, 4u);  // of attention: --alibi-slopes, --key-lengths; --times of expm and of lie-view
}

TEST(App, TypesOfFlagsAreWords) {
  for (const std::vector<const char*>& command : kCommands) {
    for (const Flag& flag : FlagsWithValues(Attend(With(command, {"--help"})).out)) {
      EXPECT_THAT(flag.type, ::testing::MatchesRegex("HOST:PORT|[A-Z|]+|N|[a-z0-9_|]+")) << flag.name;
    }
  }
}

TEST(App, TimesOutOfRangeAreNamedWithWhatIsAllowed) {
  EXPECT_EQ(Attend({"lie-view", "--times", "0,-1"}).err,
            "attend: --times: got \"0,-1\", expected numbers of at least 0\n"
            "Run 'attend lie-view --help' for what it takes.\n");
  EXPECT_EQ(Attend({"lie-view", "--times", "nan"}).code, 2);
}

TEST(App, MalformedFilesAreExitCodeTwo) {
  const ScratchFolder folder;
  const std::string path = folder.Write("q.npy", "not an array");
  const Outcome outcome = Attend({"expm", "--a", path.c_str()});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.err, "attend: --a " + path + ": it is not an .npy file (the first bytes are not \\x93NUMPY)\n");
}

TEST(App, ErrorsAreJsonTooWhenAskedFor) {
  const Outcome outcome = Attend({"expm", "--a", "/nowhere/\xff.npy", "--json"});
  EXPECT_EQ(outcome.code, 2);
  const auto document = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(document["ok"], false);
  EXPECT_EQ(document["exit_code"], 2);
  EXPECT_EQ(document["error"]["code"], "NOT_FOUND");
}

TEST(App, UnreachableServersAreExitCodeFour) {
  // Port 1 of the loopback: nobody listens there.
  const Outcome outcome = Attend({"info", "--target", "127.0.0.1:1", "--timeout", "5"});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("no server at 127.0.0.1:1?"));
  EXPECT_EQ(Attend({"health", "--target", "127.0.0.1:1"}).code, 4);
  EXPECT_EQ(Attend({"info", "--local"}).code, 4);
}

TEST(App, DemoHostsItsServerUnlessATargetIsGiven) {
  EXPECT_THAT(Attend({"demo", "--data", ATTEND_SOURCE_DIR "/examples/street"}).err,
              HasSubstr("no server in this test"));
  EXPECT_THAT(Attend({"demo", "--data", ATTEND_SOURCE_DIR "/examples/street", "--target", "127.0.0.1:1"}).err,
              HasSubstr("no server at 127.0.0.1:1?"));
}

}  // namespace
}  // namespace attend::cli
