// Damaged models: whatever happens to the bytes, Parse gives a model or a Status. Most useful under
// the asan preset.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/file.h"
#include "base/wire.h"
#include "onnx/model.h"

namespace fusee::onnx {
namespace {

// Parses an exact-size heap copy, so that reading one byte too far is seen by the sanitizer, and
// sums every weight.
bool Survives(std::string_view bytes) {
  const std::vector<char> copy(bytes.begin(), bytes.end());
  const auto model = Parse(std::as_bytes(std::span(copy)));
  if (!model.ok()) {
    EXPECT_FALSE(model.status().message().empty());
    return false;
  }
  unsigned sum = 0;
  for (const TensorRef& tensor : (*model)->graph.initializers) {
    EXPECT_NE(tensor.tensor.present(), !tensor.problem.ok());
    if (!tensor.tensor.present()) continue;
    for (const std::byte b : tensor.tensor.bytes()) sum += static_cast<unsigned>(b);
  }
  volatile unsigned sink = sum;
  (void)sink;
  return true;
}

std::string Sample() {
  auto bytes = ReadSmallFile(FUSEE_TESTDATA "/every_part.onnx");
  EXPECT_TRUE(bytes.ok()) << bytes.status().message();
  return bytes.ok() ? *bytes : std::string();
}

// What each test below damages: the sample and, where the corpora are at hand, some of the
// standard's own cases.
std::vector<std::string> Samples() {
  std::vector<std::string> samples = {Sample()};
  const char* corpora = std::getenv("FUSEE_CORPORA");
  if (corpora == nullptr) return samples;
  for (const char* name : {"test_if", "test_loop11", "test_lstm_with_peepholes", "test_constant",
                           "test_sequence_map_add_1_sequence_1_tensor"}) {
    auto bytes = ReadSmallFile(std::string(corpora) + "/onnx/node/" + name + "/model.onnx");
    if (bytes.ok()) samples.push_back(*bytes);
  }
  return samples;
}

TEST(Mutation, SampleIsWhole) {
  const std::string bytes = Sample();
  const auto model = Parse(std::as_bytes(std::span(bytes.data(), bytes.size())));
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ((*model)->graph.nodes.size(), 5u);
  EXPECT_EQ((*model)->graph.nodes[0].FindAttribute("then_branch")->graphs[0]->nodes[0].name, "mul");
  EXPECT_EQ((*model)->functions.size(), 1u);
}

// A message cut at a field's end is a valid, shorter message; everything else is refused.
TEST(Mutation, EveryTruncationIsHandled) {
  for (const std::string& bytes : Samples()) {
    size_t accepted = 0;
    for (size_t size = 0; size < bytes.size(); ++size) {
      accepted += Survives(std::string_view(bytes).substr(0, size)) ? 1 : 0;
    }
    EXPECT_LT(accepted, 32u);
  }
}

TEST(Mutation, EverySingleBitFlipIsHandled) {
  for (std::string bytes : Samples()) {
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      const char mask = static_cast<char>(1 << (bit % 8));
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
      (void)Survives(bytes);
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
    }
  }
}

TEST(Mutation, SeededHavocIsHandled) {
  constexpr uint32_t kSeed = 20240607;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  const auto below = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  const std::vector<std::string> samples = Samples();
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = samples[below(samples.size())];
    for (size_t edits = 1 + below(6); edits > 0 && !bytes.empty(); --edits) {
      const size_t at = below(bytes.size());
      switch (below(5)) {
        case 0: bytes[at] = static_cast<char>(random()); break;
        case 1: bytes[at] = static_cast<char>(0xff); break;
        case 2: bytes.erase(at, 1 + below(16)); break;
        case 3: bytes.insert(at, bytes.substr(below(bytes.size()), below(64))); break;
        default: bytes.insert(at, std::string(1 + below(10), '\x80')); break;
      }
    }
    (void)Survives(bytes);
  }
}

TEST(Mutation, RegressionInputsAreHarmless) {
  for (const auto& entry : std::filesystem::directory_iterator(FUSEE_TESTDATA)) {
    if (!entry.path().filename().string().starts_with("regression_")) continue;
    const auto bytes = ReadSmallFile(entry.path().string());
    ASSERT_TRUE(bytes.ok());
    (void)Survives(*bytes);
  }
}

// A graph in a graph in a graph ...: each level costs the attacker about ten bytes. Refused at the
// limit, not by the stack.
TEST(Mutation, DeepNestingIsRefused) {
  std::string graph;
  for (int i = 0; i < 20000; ++i) {
    wire::Writer attribute;
    attribute.Bytes(6, graph);
    wire::Writer node;
    node.Bytes(5, attribute.str());
    wire::Writer outer;
    outer.Bytes(1, node.str());
    graph = outer.str();
  }
  wire::Writer model;
  model.Varint(1, 8);
  model.Bytes(7, graph);
  const auto read = Parse(std::as_bytes(std::span(model.str().data(), model.str().size())));
  EXPECT_EQ(read.status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace fusee::onnx
