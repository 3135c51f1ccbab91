// The program as a user runs it: a process of its own, files, pipes, and the real server inside (--local).
#include <cmath>
#include <cstring>
#include <sstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "client/cli/npy.h"
#include "tests/client/cli/scratch_folder.h"

extern char** environ;

namespace attend::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kStreet[] = ATTEND_SOURCE_DIR "/examples/street/";

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

std::string Npy(const std::vector<int64_t>& shape, const std::vector<float>& elements) {
  std::string data(elements.size() * sizeof(float), '\0');
  if (!data.empty()) std::memcpy(data.data(), elements.data(), data.size());
  return NpyHeader(NpyType::kFloat32, shape) + data;
}

std::vector<float> Floats(const std::string& file) {
  std::istringstream stream(file);
  const absl::StatusOr<NpyArray> array = ReadNpy(stream);
  EXPECT_TRUE(array.ok()) << array.status();
  if (!array.ok()) return {};
  EXPECT_EQ(array->type, NpyType::kFloat32);
  std::vector<float> floats(array->bytes.size() / sizeof(float));
  if (!floats.empty()) std::memcpy(floats.data(), array->bytes.data(), array->bytes.size());
  return floats;
}

class ProgramTest : public ::testing::Test {
 protected:
  // Standard streams are files of the scratch folder, unless `out` names another.
  Outcome Attend(std::vector<std::string> arguments, const std::string& input = "", std::string out = "") const {
    const std::string in = folder_.Write("stdin", input);
    const std::string err = folder_.File("stderr");
    if (out.empty()) out = folder_.Write("stdout", "");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, in.c_str(), O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    arguments.insert(arguments.begin(), "attend");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, ATTEND_PROGRAM, &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    return {WEXITSTATUS(status), ScratchFolder::Read(folder_.File("stdout")), ScratchFolder::Read(err)};
  }

  ScratchFolder folder_;
};

TEST_F(ProgramTest, DemoAgreesWithTensorFlowJsAndDrawsThePicture) {
  const std::string picture = folder_.File("street.png");
  const Outcome outcome = Attend({"demo", "--data", kStreet, "--picture", picture});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("Against TensorFlow.js"));
  EXPECT_THAT(outcome.out, HasSubstr("\"it\" in full: "));
  EXPECT_THAT(ScratchFolder::Read(picture), ::testing::StartsWith("\x89PNG"));
}

TEST_F(ProgramTest, DemoInJson) {
  const Outcome outcome = Attend({"demo", "--data", kStreet, "--picture", folder_.File("p.png"), "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto document = nlohmann::json::parse(outcome.out);
  EXPECT_LE(document["comparison"]["weights_error"], 1e-5);
  EXPECT_LE(document["comparison"]["output_error"], 1e-4);
  for (const auto& head : document["lie_action"]) EXPECT_LE(head["max_row_sum_error"], 1e-6);
  EXPECT_EQ(document["attends_to"].size(), 14u);
}

TEST_F(ProgramTest, DemoFailsWithOneWhenTheNumbersAreOthers) {
  for (const char* name : {"tokens.json", "x.npy", "w_qkv.npy", "b_qkv.npy", "w_out.npy", "b_out.npy", "output.npy"}) {
    folder_.Write(name, ScratchFolder::Read(std::string(kStreet) + name));
  }
  std::string weights = ScratchFolder::Read(std::string(kStreet) + "weights.npy");
  weights[weights.size() - 2] ^= 0x40;  // in the last element's exponent's lowest bits
  folder_.Write("weights.npy", weights);
  const Outcome outcome = Attend({"demo", "--data", folder_.File(""), "--picture", folder_.File("p.png")});
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("TOO FAR"));
}

// Two queries, two keys; the second query is orthogonal to both keys, the first prefers the first key by 2.
TEST_F(ProgramTest, AttentionFromFilesIntoFiles) {
  const std::string q = folder_.Write("q.npy", Npy({1, 1, 2, 1}, {2, 0}));
  const std::string k = folder_.Write("k.npy", Npy({1, 1, 2, 1}, {1, 0}));
  const std::string v = folder_.Write("v.npy", Npy({1, 1, 2, 1}, {10, 20}));
  const std::string o = folder_.File("o.npy");
  const std::string w = folder_.File("w.npy");
  const std::string l = folder_.File("l.npy");
  const Outcome outcome = Attend(
      {"attention", "--query", q, "--key", k, "--value", v, "--output", o, "--weights", w, "--lse", l, "--local"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("output    [1, 1, 2, 1] float32 -> " + o));
  EXPECT_THAT(outcome.out, HasSubstr("server: waited"));
  // Numbers below 32 and a handful of float32 operations: 1e-5 is 5 units of the last place of 20, and more.
  const double first = 1 / (1 + std::exp(-2.0));
  EXPECT_NEAR(Floats(ScratchFolder::Read(o))[0], 10 * first + 20 * (1 - first), 1e-5);
  EXPECT_NEAR(Floats(ScratchFolder::Read(o))[1], 15, 1e-5);
  EXPECT_NEAR(Floats(ScratchFolder::Read(w))[0], first, 1e-6);
  EXPECT_NEAR(Floats(ScratchFolder::Read(l))[0], std::log(1 + std::exp(2.0)), 1e-6);
}

// Equal keys: weights of a half, which pass on half of each slope. What a key gets from one query it gets back from its
// place in the mean: the gradient of the keys is w_i (v_i - output) times query and slope.
TEST_F(ProgramTest, AttentionGradientsIntoAFolder) {
  const std::string q = folder_.Write("q.npy", Npy({1, 1, 1, 1}, {2}));
  const std::string k = folder_.Write("k.npy", Npy({1, 1, 2, 1}, {1, 1}));
  const std::string v = folder_.Write("v.npy", Npy({1, 1, 2, 1}, {10, 20}));
  const std::string b = folder_.Write("b.npy", Npy({1, 1, 1, 2}, {0, 0}));
  const std::string g = folder_.Write("g.npy", Npy({1, 1, 1, 1}, {3}));
  const Outcome outcome = Attend({"attention", "--query", q, "--key", k, "--value", v, "--bias", b, "--grad-output", g,
                                  "--gradients", folder_.File(""), "--local"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("grad_bias [1, 1, 1, 2] float32 -> " + folder_.File("bias.npy")));
  const auto gradient = [&](const char* name) { return Floats(ScratchFolder::Read(folder_.File(name))); };
  // Sums of two terms below 32, each rounded a few times: units of 2e-6.
  using ::testing::FloatNear;
  EXPECT_THAT(gradient("value.npy"), ::testing::Pointwise(FloatNear(1e-5f), {1.5f, 1.5f}));
  EXPECT_THAT(gradient("key.npy"), ::testing::Pointwise(FloatNear(1e-5f), {-15.0f, 15.0f}));
  EXPECT_THAT(gradient("bias.npy"), ::testing::Pointwise(FloatNear(1e-5f), {-7.5f, 7.5f}));
  EXPECT_THAT(gradient("query.npy"), ::testing::Pointwise(FloatNear(1e-5f), {0.0f}));
}

TEST_F(ProgramTest, AttentionGradientsOfTokensInJson) {
  const std::string x = folder_.Write("x.npy", Npy({1, 2, 1}, {1, 2}));
  const std::string w = folder_.Write("w.npy", Npy({1, 1}, {1}));
  const std::string g = folder_.Write("g.npy", Npy({1, 2, 1}, {1, 1}));
  const Outcome outcome =
      Attend({"attention", "--x", x, "--w-q", w, "--w-k", w, "--w-v", w, "--grad-output", g, "--local", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto tensors = nlohmann::json::parse(outcome.out)["tensors"];
  for (const char* name : {"grad_x", "grad_w_q", "grad_w_k", "grad_w_v"}) EXPECT_TRUE(tensors.contains(name)) << name;
}

TEST_F(ProgramTest, ExpmThroughPipes) {
  // exp [0 1; 0 0] = [1 1; 0 1].
  const Outcome outcome = Attend({"expm", "--a", "-", "--output", "-", "--local"}, Npy({2, 2}, {0, 1, 0, 0}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(Floats(outcome.out), ::testing::Pointwise(::testing::FloatNear(1e-6f), {1.0f, 1.0f, 0.0f, 1.0f}));
  EXPECT_THAT(outcome.err, HasSubstr("result    [2, 2] float32 -> stdout"));
}

TEST_F(ProgramTest, ExpmAtSeveralTimes) {
  const std::string a = folder_.Write("a.npy", Npy({1, 1}, {1}));
  const std::string o = folder_.File("o.npy");
  const Outcome outcome = Attend({"expm", "--a", a, "--times", "-1,0,0.5", "--output", o, "--local", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  // One unit of the last place of e^0.5 is 1.2e-7.
  EXPECT_THAT(Floats(ScratchFolder::Read(o)),
              ::testing::Pointwise(::testing::FloatNear(2e-7f), {std::exp(-1.0f), 1.0f, std::exp(0.5f)}));
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["reports"].size(), 3u);
}

TEST_F(ProgramTest, LogSaysWhetherAGeneratorMadeIt) {
  const std::string a =
      folder_.Write("a.npy", Npy({2, 2, 2}, {0.75f, 0.25f, 0.125f, 0.875f, 0.25f, 0.75f, 0.75f, 0.25f}));
  const std::string l = folder_.File("l.npy"), q = folder_.File("q.npy");
  const std::vector<std::string> arguments = {"log", "--a", a, "--output", l, "--nearest-generator", q, "--local"};
  const Outcome outcome = Attend(arguments);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  // Eigenvalues 1 and 5/8: log = -log(5/8) / (3/8) (S - I).
  const float factor = -std::log(0.625f) / 0.375f;
  const std::vector<float> log = Floats(ScratchFolder::Read(l));
  EXPECT_NEAR(log[1], 0.25f * factor, 1e-6);
  EXPECT_TRUE(std::isnan(log[4]));
  EXPECT_NEAR(Floats(ScratchFolder::Read(q))[2], 0.125f * factor, 1e-6);
  EXPECT_THAT(outcome.out, HasSubstr("    0 embeddable"));
  EXPECT_THAT(outcome.out, HasSubstr("    1 not_embeddable"));
  std::vector<std::string> in_json = arguments;
  in_json.push_back("--json");
  const auto document = nlohmann::json::parse(Attend(in_json).out);
  EXPECT_EQ(document["reports"][0]["verdict"], "embeddable");
  EXPECT_FALSE(document["reports"][1]["exists"]);
}

TEST_F(ProgramTest, DiagnosticsAsTableAndJson) {
  const std::string g = folder_.Write("g.npy", Npy({2, 2}, {-3, 3, 1, -1}));
  const Outcome table = Attend({"expm", "--a", g, "--times", "0.25,1", "--diagnostics", "--local"});
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("|lambda2|"));
  EXPECT_THAT(table.out, HasSubstr("2 steps"));
  const auto document = nlohmann::json::parse(Attend({"expm", "--a", g, "--diagnostics", "--local", "--json"}).out);
  EXPECT_TRUE(document["diagnostics"][0]["generator"]["is_generator"]);
  EXPECT_NEAR(document["diagnostics"][0]["chain"]["second_modulus"], std::exp(-4.0), 1e-6);
  const std::string x = folder_.Write("x.npy", Npy({2, 1}, {1, -1}));
  const Outcome attention = Attend({"attention", "--query", x, "--key", x, "--value", x, "--diagnostics", "--local",
                                    "--normalization", "generator_exp"});
  ASSERT_EQ(attention.code, 0) << attention.err;
  EXPECT_THAT(attention.out, HasSubstr("|softmax - S|"));
}

TEST_F(ProgramTest, ExpmActionWithGradients) {
  // exp [0 1; 0 0] [1; 2] = [3; 2]; with G = [1; 0]: grad B = exp(A)^T G = [1; 1].
  const std::string a = folder_.Write("a.npy", Npy({2, 2}, {0, 1, 0, 0}));
  const std::string b = folder_.Write("b.npy", Npy({2, 1}, {1, 2}));
  const std::string g = folder_.Write("g.npy", Npy({2, 1}, {1, 0}));
  const std::string o = folder_.File("o.npy");
  const std::string da = folder_.File("da.npy");
  const std::string db = folder_.File("db.npy");
  const Outcome outcome = Attend({"expm", "--a", a, "--apply-to", b, "--grad-output", g, "--output", o, "--grad-a", da,
                                  "--grad-apply-to", db, "--local"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(Floats(ScratchFolder::Read(o)), ::testing::Pointwise(::testing::FloatNear(1e-6f), {3.0f, 2.0f}));
  EXPECT_THAT(Floats(ScratchFolder::Read(db)), ::testing::Pointwise(::testing::FloatNear(1e-6f), {1.0f, 1.0f}));
  // The integral over s of exp(sA^T) G B^T exp((1 - s)A^T): [1; s] [1 + 2 (1 - s), 2].
  EXPECT_THAT(Floats(ScratchFolder::Read(da)),
              ::testing::Pointwise(::testing::FloatNear(1e-6f), {2.0f, 2.0f, 5.0f / 6, 1.0f}));
  EXPECT_THAT(outcome.out, HasSubstr("triangular"));
  EXPECT_THAT(outcome.out, HasSubstr("grad_a"));
}

TEST_F(ProgramTest, FieldsOfLaterVersionsAreRefusedByName) {
  const std::string q = folder_.Write("q.npy", Npy({1, 1}, {1}));
  const Outcome outcome =
      Attend({"attention", "--query", q, "--key", q, "--value", q, "--alibi-slopes", "0.5,0.25", "--local", "--json"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["error"]["fields"][0]["field"], "mask.alibi_slopes");
}

TEST_F(ProgramTest, ProjectLinearWithTwoWeights) {
  const std::string x = folder_.Write("x.npy", Npy({1, 2}, {1, 2}));
  const std::string a = folder_.Write("a.npy", Npy({2, 1}, {3, 4}));
  const std::string b = folder_.Write("b.npy", Npy({2, 2}, {0, 1, 1, 0}));
  const std::string oa = folder_.File("oa.npy");
  const std::string ob = folder_.File("ob.npy");
  const Outcome outcome =
      Attend({"project", "linear", "--x", x, "--w", a, "--w", b, "--output", oa, "--output", ob, "--local", "--quiet"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(Floats(ScratchFolder::Read(oa)), ::testing::ElementsAre(11));
  EXPECT_THAT(Floats(ScratchFolder::Read(ob)), ::testing::ElementsAre(2, 1));
  EXPECT_THAT(outcome.out, ::testing::Not(HasSubstr("server:")));
}

TEST_F(ProgramTest, ProjectCongruence) {
  const std::string e = folder_.Write("e.npy", Npy({2, 2}, {1, 0, 1, 1}));
  const std::string a = folder_.Write("a.npy", Npy({2, 2}, {1, 2, 3, 4}));
  const std::string o = folder_.File("o.npy");
  const Outcome outcome =
      Attend({"project", "congruence", "--e", e, "--a", a, "--scale", "1", "--output", o, "--local", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(Floats(ScratchFolder::Read(o)), ::testing::ElementsAre(1, 3, 4, 10));
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["tensors"][0]["file"], o);
}

TEST_F(ProgramTest, ProjectAlgebra) {
  const std::string m = folder_.Write("m.npy", Npy({2, 2}, {1, 2, 4, 9}));
  const std::string o = folder_.File("g.npy");
  const Outcome outcome =
      Attend({"project", "algebra", "--m", m, "--onto", "generator", "--output", o, "--local", "--quiet"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(Floats(ScratchFolder::Read(o)), ::testing::ElementsAre(-0.5, 0.5, 0, 0));
  EXPECT_THAT(outcome.out, HasSubstr("distance 10.0747, |row sum| at most 0.0e+00"));  // sqrt(101.5)
}

TEST_F(ProgramTest, ProjectLowRank) {
  const std::string a = folder_.Write("a.npy", Npy({2, 3}, {0, 4, 0, 3, 0, 0}));
  const std::string u = folder_.File("u.npy"), s = folder_.File("s.npy"), vt = folder_.File("vt.npy");
  const Outcome outcome = Attend({"project", "low-rank", "--a", a, "--rank", "1", "--u", u, "--singular-values", s,
                                  "--vt", vt, "--local", "--quiet"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(Floats(ScratchFolder::Read(u)), ::testing::ElementsAre(1, 0));
  EXPECT_THAT(Floats(ScratchFolder::Read(s)), ::testing::ElementsAre(4));
  EXPECT_THAT(Floats(ScratchFolder::Read(vt)), ::testing::ElementsAre(0, 1, 0));
  EXPECT_THAT(outcome.out, HasSubstr("distance 3, energy kept 0.64, numerical rank 2"));
  const Outcome energy = Attend({"project", "low-rank", "--a", a, "--energy", "0.9", "--local", "--json"});
  ASSERT_EQ(energy.code, 0) << energy.err;
  EXPECT_EQ(nlohmann::json::parse(energy.out)["tensors"][1]["shape"], std::vector<int>{2});
  const Outcome refused = Attend({"project", "low-rank", "--a", a, "--rank", "3", "--local", "--json"});
  EXPECT_EQ(refused.code, 3);
  EXPECT_EQ(nlohmann::json::parse(refused.out)["error"]["fields"][0]["field"], "low_rank.rank");
}

TEST_F(ProgramTest, RefusalsShowFieldGotAndExpected) {
  const std::string q = folder_.Write("q.npy", Npy({2, 3}, {1, 2, 3, 4, 5, 6}));
  const std::string k = folder_.Write("k.npy", Npy({3, 2}, {1, 2, 3, 4, 5, 6}));
  const Outcome outcome = Attend({"attention", "--query", q, "--key", k, "--value", k, "--local"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("INVALID_ARGUMENT"));
  EXPECT_THAT(outcome.err, HasSubstr("\n  field     heads.key"));
  EXPECT_THAT(outcome.err, HasSubstr("\n  got       "));
  EXPECT_THAT(outcome.err, HasSubstr("\n  expected  "));
  EXPECT_THAT(outcome.out, IsEmpty());
}

TEST_F(ProgramTest, InfoAndHealth) {
  const Outcome info = Attend({"info", "--local", "--json"});
  ASSERT_EQ(info.code, 0) << info.err;
  EXPECT_GE(nlohmann::json::parse(info.out)["compute_threads"], 1);
  EXPECT_EQ(Attend({"health", "--local"}).out, "SERVING\n");
  EXPECT_EQ(Attend({"health", "attend.v1.AttentionService", "--local"}).code, 0);
  EXPECT_EQ(Attend({"health", "no.such.Service", "--local"}).code, 1);
}

TEST_F(ProgramTest, FullDiskBehindStdoutIsExitCodeTwo) {
  const Outcome outcome = Attend({"info", "--local"}, "", "/dev/full");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("cannot write to stdout"));
}

}  // namespace
}  // namespace attend::cli
