#include "base/wire.h"

#include <gmock/gmock.h>

#include <vector>

namespace fusee::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Walks a message to its end and says how it ended.
Status Walk(std::string_view text) {
  Reader in(Bytes(text));
  while (in.Next()) {
  }
  return in.status();
}

TEST(Wire, ReadsWhatItWrote) {
  Writer inner;
  inner.Varint(1, UINT64_MAX);
  Writer out;
  out.Varint(1, 300);
  out.Float(2, 1.5f);
  out.Bytes(3, "name");
  out.Bytes(536870911, inner.str());  // the largest field number
  Reader in(Bytes(out.str()));

  int64_t number = 0;
  float real = 0;
  std::string_view text;
  ASSERT_TRUE(in.Next());
  ASSERT_TRUE(in.Int64("a", &number).ok());
  EXPECT_EQ(number, 300);
  ASSERT_TRUE(in.Next());
  ASSERT_TRUE(in.Float("b", &real).ok());
  EXPECT_EQ(real, 1.5f);
  ASSERT_TRUE(in.Next());
  ASSERT_TRUE(in.String("c", &text).ok());
  EXPECT_EQ(text, "name");
  ASSERT_TRUE(in.Next());
  EXPECT_EQ(in.field(), 536870911u);
  Reader nested = in.Message("d", 7);
  ASSERT_TRUE(nested.Next());
  ASSERT_TRUE(nested.Int64("e", &number).ok());
  EXPECT_EQ(number, -1);
  EXPECT_FALSE(nested.Next());
  EXPECT_FALSE(in.Next());
  EXPECT_TRUE(in.status().ok());
}

TEST(Wire, RefusesWhatIsNoMessage) {
  const struct {
    std::string_view bytes;
    const char* says;
  } cases[] = {
      {std::string_view("\x80", 1), "byte 0: expected a field's tag"},
      {std::string_view("\x00\x01", 2), "field number of 1 to 2^29-1, got tag 0x0"},
      {std::string_view("\xff\xff\xff\xff\x7f\x00", 6), "field number"},
      {std::string_view("\x08", 1), "field 1: a varint is cut off"},
      {std::string_view("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11), "exceeds 64 bits"},
      {std::string_view("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12), "exceeds 64 bits"},
      {std::string_view("\x09\x00\x00\x00\x00\x00\x00\x00", 8), "expected 8 bytes, 7 are left"},
      {std::string_view("\x0d\x00\x00\x00", 4), "expected 4 bytes, 3 are left"},
      {std::string_view("\x08\x01\x12\x05xyz", 7), "byte 2: field 2 claims 5 bytes, 3 are left"},
      {std::string_view("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11),
       "claims 18446744073709551615"},
      {std::string_view("\x0b\x0c", 2), "is a group (wire type 3)"},
      {std::string_view("\x0c", 1), "is a group (wire type 4)"},
      {std::string_view("\x0e", 1), "unknown wire type 6"},
      {std::string_view("\x0f", 1), "unknown wire type 7"},
  };
  for (const auto& c : cases) {
    const Status status = Walk(c.bytes);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(c.says));
  }
}

TEST(Wire, AcceptsOverlongVarints) {
  Reader in(Bytes(std::string_view("\x08\x81\x80\x00", 4)));
  int64_t value = 0;
  ASSERT_TRUE(in.Next());
  ASSERT_TRUE(in.Int64("v", &value).ok());
  EXPECT_EQ(value, 1);
}

TEST(Wire, ErrorNamesOffsetAndPath) {
  Writer leaf;
  leaf.Bytes(1, "text where a number belongs");
  Writer middle;
  middle.Bytes(5, leaf.str());
  Writer out;
  out.Varint(1, 3);
  out.Bytes(7, middle.str());
  Reader in(Bytes(out.str()));
  ASSERT_TRUE(in.Next());
  ASSERT_TRUE(in.Next());
  Reader graph = in.Message("graph");
  ASSERT_TRUE(graph.Next());
  Reader node = graph.Message("node", 17);
  ASSERT_TRUE(node.Next());
  int64_t value = 0;
  const Status status = node.Int64("index", &value);
  EXPECT_EQ(status.message(),
            "byte 6, graph.node[17].index: expected a varint (wire type 0), got length-delimited "
            "bytes (wire type 2)");
  EXPECT_EQ(node.Place(), "byte 6, graph.node[17]");
}

TEST(Wire, MessageOfAScalarIsAnError) {
  Reader in(Bytes(std::string_view("\x08\x01", 2)));
  ASSERT_TRUE(in.Next());
  Reader nested = in.Message("graph");
  EXPECT_FALSE(nested.Next());
  EXPECT_THAT(nested.status().message(), HasSubstr("graph: expected length-delimited bytes"));
}

TEST(Wire, RepeatedScalarsPackedOrNot) {
  Writer out;
  out.Varint(1, 5);
  out.Bytes(1, std::string_view("\x01\xac\x02", 3));  // packed 1, 300
  out.Bytes(1, "");
  std::vector<uint64_t> values;
  uint64_t predicted = 0;
  Reader in(Bytes(out.str()));
  while (in.Next()) {
    predicted += in.CountVarints();
    ASSERT_TRUE(in.Varints("v", [&](uint64_t v) { values.push_back(v); }).ok());
  }
  EXPECT_THAT(values, ElementsAre(5, 1, 300));
  EXPECT_EQ(predicted, 3u);
}

TEST(Wire, RefusesPackedValuesCutOff) {
  Writer out;
  out.Bytes(1, "\x80");
  out.Bytes(2, "12345");
  Reader in(Bytes(out.str()));
  ASSERT_TRUE(in.Next());
  EXPECT_THAT(in.Varints("v", [](uint64_t) {}).message(), HasSubstr("packed varint is cut off"));
  ASSERT_TRUE(in.Next());
  EXPECT_THAT(in.Fixed<uint32_t>("f", [](uint32_t) {}).message(), HasSubstr("got 5 bytes"));
}

TEST(Wire, CountsFieldsUpToTheFirstError) {
  Writer out;
  out.Varint(1, 5);
  out.Varint(3, 5);
  out.Varint(1, 5);
  out.Varint(9, 5);  // beyond the array
  out.str() += '\x80';
  Reader in(Bytes(out.str()));
  EXPECT_THAT(in.CountFields<4>(), ElementsAre(0, 2, 0, 1));
}

TEST(Wire, ChargesTheBudget) {
  Budget budget{10, 10};
  Reader in(Bytes("\x08\x01"), &budget);
  EXPECT_TRUE(in.Charge(6).ok());
  const Status status = in.Charge(5);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("4 of 10 are left"));
  EXPECT_TRUE(in.Charge(4).ok());
}

}  // namespace
}  // namespace fusee::wire
