#include "ipc/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace fusee::ipc {
namespace {

LoadedMessage Loaded() {
  LoadedMessage m{.model = 3};
  m.info = {.name = "digits", .version = 2};
  m.info.inputs = {{"image", DType::kF32, {-1, 1, 8, 8}}, {"mask", DType::kBool, {-1}}};
  m.info.outputs = {{"logits", DType::kF32, {-1, 10}}};
  m.info.symbols = {{.name = "batch", .min = 1, .max = 32, .input = 0, .axis = 0}};
  m.info.buckets = {{.symbol_values = {8}, .count = 100, .p50_us = 1.5, .p99_us = 2.5}};
  m.info.batch_symbol = 0;
  m.info.verified = true;
  m.info.verification = "yes";
  m.info.memory_bytes = 12345;
  m.info.plan_digest = "abc";
  using Op = ShapeProgram::Op;
  m.shapes.dims = {
      {Op::kSymbol, 0, 0}, {Op::kConstant, 1, 0}, {Op::kConstant, 8, 0}, {Op::kConstant, 10, 0}};
  m.shapes.inputs = {{0, 1, 2, 2}, {0}};
  m.shapes.outputs = {{0, 3}};
  m.shapes.equal = {{0, 0, "same"}};
  return m;
}

std::vector<std::byte> Bytes(const LoadedMessage& m) {
  std::vector<std::byte> bytes;
  EXPECT_TRUE(Encode(m, &bytes).ok());
  return bytes;
}
// What a front says to a description that comes over the ring.
StatusCode CodeOf(const LoadedMessage& m) {
  LoadedMessage back;
  return Decode(Bytes(m), &back).code();
}

TEST(Messages, ADescriptionComesBackAsItWas) {
  const LoadedMessage m = Loaded();
  LoadedMessage back;
  const Status status = Decode(Bytes(m), &back);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Bytes(back), Bytes(m));
  EXPECT_EQ(back.info.inputs[1].name, "mask");
  EXPECT_EQ(back.info.buckets[0].p99_us, 2.5);
  Shape in[] = {{5, 1, 8, 8}, {5}}, out[1];
  ASSERT_TRUE(OutputShapes(back.info, back.shapes, in, out).ok());
  EXPECT_EQ(out[0], (Shape{5, 10}));
}

TEST(Messages, ARefusalComesBackWithItsReason) {
  LoadedMessage back;
  ASSERT_TRUE(Decode(Bytes({.model = 1, .status = DataLoss("damaged")}), &back).ok());
  EXPECT_EQ(back.status.code(), StatusCode::kDataLoss);
  EXPECT_EQ(back.status.message(), "damaged");
}

TEST(Messages, OthersComeBackAsTheyWere) {
  std::vector<std::byte> bytes;
  Encode(LoadMessage{.model = 1, .path = "/p", .name = "n", .version = 7}, &bytes);
  LoadMessage load;
  ASSERT_TRUE(Decode(bytes, &load).ok());
  EXPECT_EQ(load.path, "/p");
  EXPECT_EQ(load.version, 7);
  const BatchMessage batch{
      .id = 9, .model = 1, .shapes = {{4, 3}, {}}, .places = {{64, 4}, {0, 1}, {128, 2}, {8, 1}}};
  ASSERT_TRUE(Encode(batch, &bytes).ok());
  BatchMessage batch_back;
  ASSERT_TRUE(Decode(bytes, &batch_back).ok());
  EXPECT_EQ(batch_back.places[2].offset, 128u);
  EXPECT_EQ(batch_back.shapes, batch.shapes);
  Encode(DoneMessage{.id = 9, .compute = Duration(5), .outputs = {{1, 2}}}, &bytes);
  DoneMessage done;
  ASSERT_TRUE(Decode(bytes, &done).ok());
  EXPECT_EQ(done.compute, Duration(5));
  EXPECT_EQ(done.outputs[0], (Shape{1, 2}));
}

TEST(Messages, ProbesAndLastWordsComeBackAndAreBounded) {
  std::vector<std::byte> bytes;
  Encode(ProbedMessage{.probed = true}, &bytes);
  ProbedMessage probed;
  ASSERT_TRUE(Decode(bytes, &probed).ok());
  EXPECT_TRUE(probed.probed);
  bytes[0] = std::byte{2};
  EXPECT_EQ(Decode(bytes, &probed).code(), StatusCode::kDataLoss);
  Encode(LastWordsMessage{.text = std::string(kModelTextMax + 1, 'x')}, &bytes);
  LastWordsMessage words;
  ASSERT_TRUE(Decode(bytes, &words).ok());
  EXPECT_EQ(words.text.size(), kModelTextMax);
  bytes.push_back({});
  EXPECT_EQ(Decode(bytes, &words).code(), StatusCode::kDataLoss);
}

TEST(Messages, EveryPrefixAndEveryLongerTextIsRefused) {
  const std::vector<std::byte> whole = Bytes(Loaded());
  LoadedMessage back;
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(Decode(std::span(whole).first(n), &back).ok()) << n;
  std::vector<std::byte> longer = whole;
  longer.push_back({});
  EXPECT_FALSE(Decode(longer, &back).ok());
}

TEST(Messages, EveryBitFlipIsRefusedOrHarmless) {
  std::vector<std::byte> bytes = Bytes(Loaded());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const std::byte mask{static_cast<unsigned char>(1u << (bit % 8))};
    bytes[bit / 8] ^= mask;
    LoadedMessage back;
    if (Decode(bytes, &back).ok() && back.status.ok()) {
      std::vector<Shape> in, out(back.info.outputs.size());
      for (const auto& t : back.info.inputs) {
        std::vector<int64_t> dims = t.shape;
        for (int64_t& d : dims) d = d < 0 ? 1 : d;
        in.emplace_back(dims);
      }
      (void)OutputShapes(back.info, back.shapes, in, out);
    }
    bytes[bit / 8] ^= mask;
  }
}

TEST(Messages, DescriptionsThatLieAreRefused) {
  const std::pair<const char*, void (*)(LoadedMessage&)> lies[] = {
      {"dtype", [](LoadedMessage& m) { m.info.inputs[0].dtype = static_cast<DType>(77); }},
      {"no dtype", [](LoadedMessage& m) { m.info.outputs[0].dtype = DType::kInvalid; }},
      {"rank", [](LoadedMessage& m) { m.info.inputs[0].shape.pop_back(); }},
      {"negative", [](LoadedMessage& m) { m.info.inputs[0].shape[1] = -2; }},
      {"huge",
       [](LoadedMessage& m) {
         m.info.inputs[0].shape = {-1, INT64_MAX, 8, 8};
       }},
      {"tensors", [](LoadedMessage& m) { m.shapes.outputs.clear(); }},
      {"dimension", [](LoadedMessage& m) { m.shapes.outputs[0][1] = 4; }},
      {"operation",
       [](LoadedMessage& m) { m.shapes.dims[0].op = static_cast<ShapeProgram::Op>(8); }},
      {"symbol", [](LoadedMessage& m) { m.shapes.dims[0].a = 1; }},
      {"forward",
       [](LoadedMessage& m) {
         m.shapes.dims[1] = {ShapeProgram::Op::kAdd, 0, 1};
       }},
      {"before",
       [](LoadedMessage& m) {
         m.shapes.dims[1] = {ShapeProgram::Op::kAdd, -1, 0};
       }},
      {"equality", [](LoadedMessage& m) { m.shapes.equal[0].b = 9; }},
      {"range", [](LoadedMessage& m) { m.info.symbols[0].min = 33; }},
      {"symbol's input", [](LoadedMessage& m) { m.info.symbols[0].input = 2; }},
      {"symbol's axis", [](LoadedMessage& m) { m.info.symbols[0].axis = 4; }},
      {"batch", [](LoadedMessage& m) { m.info.batch_symbol = 1; }},
      {"batch axis", [](LoadedMessage& m) { m.info.symbols[0].axis = 1; }},
      {"batch of a scalar",
       [](LoadedMessage& m) {
         m.info.inputs[1].shape.clear();
         m.shapes.inputs[1].clear();
       }},
      {"bucket", [](LoadedMessage& m) { m.info.buckets[0].symbol_values = {}; }},
      {"time", [](LoadedMessage& m) { m.info.buckets[0].p99_us = -1; }},
      {"no time",
       [](LoadedMessage& m) {
         m.info.buckets[0].p50_us = std::numeric_limits<double>::quiet_NaN();
       }},
      {"too long a time", [](LoadedMessage& m) { m.info.buckets[0].max_us = 1e300; }},
  };
  for (const auto& [name, lie] : lies) {
    LoadedMessage m = Loaded();
    lie(m);
    EXPECT_EQ(CodeOf(m), StatusCode::kDataLoss) << name;
  }
  EXPECT_EQ(CodeOf(Loaded()), StatusCode::kOk);
}

TEST(Messages, CountsDoNotAllocateWhatIsNotThere) {
  // A list of 2^32 - 1 tensors in 20 bytes.
  std::vector<std::byte> bytes(20, std::byte{0xff});
  bytes[4] = std::byte{0};
  LoadedMessage loaded;
  EXPECT_FALSE(Decode(bytes, &loaded).ok());
  DoneMessage done;
  EXPECT_FALSE(Decode(bytes, &done).ok());
  BatchMessage batch;
  EXPECT_FALSE(Decode(bytes, &batch).ok());
}

TEST(Messages, AFullBatchOfTheLargestModelFits) {
  BatchMessage batch;
  batch.shapes.assign(kModelTensorsMax, Shape{256, 1, 1, 1, 1, 1, 1, 1});
  batch.places.resize(kModelTensorsMax * 256);
  std::vector<std::byte> bytes;
  ASSERT_TRUE(Encode(batch, &bytes).ok());
  EXPECT_LE(bytes.size(), kMessageBytesMax);
  BatchMessage back;
  EXPECT_TRUE(Decode(bytes, &back).ok());
}

TEST(Messages, ADescriptionBeyondAMessageIsRefusedByName) {
  LoadedMessage m = Loaded();
  m.info.buckets.assign(kModelBucketsMax, m.info.buckets[0]);
  for (auto& b : m.info.buckets) b.symbol_values.assign(200, 1);
  std::vector<std::byte> bytes;
  EXPECT_EQ(Encode(m, &bytes).code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace fusee::ipc
