#include "ir/text.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>

namespace fusee::ir {
namespace {

using testing::HasSubstr;

// Everything the text can say, in printed form.
constexpr const char* kEverything = R"(graph "all \"of\" it" {
  symbol "batch size" in [1, 32]
  symbol n in [0, 9223372036854775807]
  input %image : f32["batch size",1,n,(n + 1) floordiv 2]
  input %shape : i64[2]{n, -1}
  input %"odd name" : bool[]
  const %/model/conv.weight::0 : f32[2,2] = {1, -2.5, 1e-45, 0x7fc00001}
  const %big : u64[1] = {18446744073709551615}
  const %bytes : i8[3] = {-128, 0, 127}
  const %empty : f64[0,4] = {}
  const %halves : f16[4] = {inf, -inf, 6.1035156e-05, -0}
  const %yes : bool[] = {1}
  %a : f32[n], _, %c : i32[] = Many(%image, _, %"odd name") {axes = [1, -2], empty = [], flag = -3, floats = [0.5, inf, 1.0], mode = "a \"quoted\"\x0a line", none = floats[], "odd key" = 0.1, scale = 1e+300} dims(n, 2*n + 1, "batch size") from("node 1", "node/2")
  _ = Nothing()
  %r : f32[] = If(%"odd name") regions {
    graph "then" {
      input %p : f32[]
      output %p as "p"
    }
    graph "" {
      input %p : f32[]
      output %p as "p"
    }
  }
  output %a as "result a"
  output %r as "r"
  constraint (2*n, "batch size") because "node 'x': dimensions must agree"
  pin %"odd name" : bool[] = {1}
}
)";

TEST(Text, PrintsWhatItRead) {
  const auto graph = Parse(kEverything);
  ASSERT_TRUE(graph.ok()) << graph.status().ToString();
  EXPECT_EQ(Print(**graph), kEverything);
}

TEST(Text, PrintsGuards) {
  constexpr const char* kGuarded = R"(graph "g" {
  input %x : f32[2]
  input %"the condition" : bool[]
  input %d : bool[1]
  %a : f32[2] = Abs(%x) when(%"the condition") from("abs")
  %b : f32[2] = Neg(%a) when(%"the condition", !%d)
}
)";
  const auto graph = Parse(kGuarded);
  ASSERT_TRUE(graph.ok()) << graph.status().ToString();
  EXPECT_TRUE(Verify(**graph).ok());
  EXPECT_EQ(Print(**graph), kGuarded);
  EXPECT_EQ(Print(*Clone(**graph)), kGuarded);
  for (const char* wrong : {"when()", "when(%x", "when(!)", "when(%nothing)"}) {
    EXPECT_FALSE(
        Parse(fmt::format("graph \"g\" {{ input %x : f32[2] %a : f32[2] = Abs(%x) {} }}", wrong))
            .ok())
        << wrong;
  }
}

TEST(Text, ReadsFreelyWrittenText) {
  const auto graph = Parse(R"(
    // a comment
    graph{input %x:f32[ 2 , n ] // trailing
      %y:f32[2,n]=Relu( %x ){}
      output %y as "y" })");
  ASSERT_TRUE(graph.ok()) << graph.status().ToString();
  EXPECT_EQ(
      Print(**graph),
      "graph \"\" {\n  input %x : f32[2,n]\n  %y : f32[2,n] = Relu(%x)\n  output %y as \"y\"\n}\n");
}

TEST(Text, KeepsEveryBitOfEveryFloat) {
  Graph g;
  std::vector<float> floats;
  for (uint32_t bits : {0x00000000u, 0x80000000u, 0x00000001u, 0x007fffffu, 0x00800000u,
                        0x3f800001u, 0x7f7fffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u,
                        0xffc00000u, 0x7f800001u, 0x3dcccccdu, 0x4b7fffffu}) {
    floats.push_back(std::bit_cast<float>(bits));
  }
  std::vector<double> doubles;
  for (uint64_t bits :
       {0ull, 1ull, 0x8000000000000000ull, 0x3ff0000000000001ull, 0x7fefffffffffffffull,
        0x7ff8000000000000ull, 0xfff8000000000123ull, 0x3fb999999999999aull}) {
    doubles.push_back(std::bit_cast<double>(bits));
  }
  std::vector<Half> halves;
  std::vector<BFloat16> bfloats;
  for (uint32_t bits = 0; bits < 0x10000; bits += 97) {
    Half h;
    h.bits = static_cast<uint16_t>(bits);
    halves.push_back(h);
    BFloat16 b;
    b.bits = static_cast<uint16_t>(bits);
    bfloats.push_back(b);
  }
  const auto shape = [](size_t n) { return Shape{static_cast<int64_t>(n)}; };
  g.AddConstant("f32", Tensor::Of<float>(shape(floats.size()), std::span<const float>(floats)));
  g.AddConstant("f64", Tensor::Of<double>(shape(doubles.size()), std::span<const double>(doubles)));
  g.AddConstant("f16", Tensor::Of<Half>(shape(halves.size()), std::span<const Half>(halves)));
  g.AddConstant("bf16",
                Tensor::Of<BFloat16>(shape(bfloats.size()), std::span<const BFloat16>(bfloats)));
  std::vector<std::string> names = {"f32", "f64", "f16", "bf16"};
  for (const DType dtype :
       {DType::kF8E4M3FN, DType::kF8E4M3FNUZ, DType::kF8E5M2, DType::kF8E5M2FNUZ, DType::kF8E8M0,
        DType::kF4E2M1, DType::kI4, DType::kU2}) {
    TensorView codes;
    const int64_t count = 1 << PackedBitsPerElement(dtype);
    const Tensor tensor = Tensor::Allocate(dtype, {count}, &codes).value();
    for (int64_t i = 0; i < count; ++i) {
      static_cast<uint8_t*>(codes.data)[i] = static_cast<uint8_t>(i);
      if (IsNarrowInt(dtype)) StoreInt(codes, i, i);
    }
    names.emplace_back(DTypeName(dtype));
    g.AddConstant(names.back(), tensor);
  }
  const std::string text = Print(g, {.max_constant_elements = 1 << 20});
  const auto back = Parse(text);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  for (const std::string& name : names) {
    const auto want = g.value(*g.FindValue(name)).constant.bytes();
    const auto got = (*back)->value(*(*back)->FindValue(name)).constant.bytes();
    EXPECT_TRUE(std::ranges::equal(want, got)) << name;
  }
}

TEST(Text, LargeConstantsPrintTheirDigestAndCannotBeReadBack) {
  Graph g;
  g.name = "g";
  g.AddConstant("w", Tensor::Of<uint8_t>(
                         Shape{3}, {97, 98, 99}));  // SHA-256 of "abc" starts with ba7816bf8f01cfea
  const std::string text = Print(g, {.max_constant_elements = 2});
  EXPECT_EQ(text, "graph \"g\" {\n  const %w : u8[3] = digest:ba7816bf8f01cfea\n}\n");
  const auto back = Parse(text);
  EXPECT_EQ(back.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(back.status().message(),
              HasSubstr("line 2 column 22: expected the elements in braces"));
}

TEST(Text, LeavesSourcesOutWhenAsked) {
  const auto graph = Parse(R"(graph "g" { input %x : f32[] %y : f32[] = Relu(%x) from("n") })");
  ASSERT_TRUE(graph.ok());
  EXPECT_THAT(Print(**graph, {.sources = false}), Not(HasSubstr("from")));
}

TEST(Text, RefusesWithLineColumnExpectedAndGot) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"", "line 1 column 1: expected 'graph', got the end"},
      {"graph \"g\"", "column 10: expected '{', got the end"},
      {"graph {\n  foo\n}", "line 2 column 3: expected '}', symbol, input, const"},
      {"graph { input %x : f31[] }",
       "column 20: expected an element type such as f32, got 'f31[] }'"},
      {"graph { input %x : f32[1,1,1,1,1,1,1,1,1] }", "a rank of at most 8"},
      {"graph { input %x : f32[2 }", "expected ']', got '}'"},
      {"graph { input %x : f32[a +] }", "dimension expression, column"},
      {"graph { input %x : f32[-1] }", "a dimension is 0 or more"},
      {"graph { input %x : f32[] input %x : f32[] }", "expected a new name, got 'x' a second time"},
      {"graph { %y : f32[] = Relu(%x) }", "expected a value defined above, got 'x'"},
      {"graph { %y : f32[], %y : f32[] = Relu() }", "expected another name"},
      {"graph { const %w : f32[2] = {1} }", "expected 2 elements for shape [2], got 1"},
      {"graph { const %w : f32[9000000000000000000,9] = {1} }", "whose product fits 63 bits"},
      {"graph { const %w : f32[n] = {1} }", "expected a constant's shape to be numbers"},
      {"graph { const %w : f32[1000000000000] = {0} }", "expected 1000000000000 elements"},
      {"graph { const %w : i8[1] = {128} }", "expected an integer of type i8, got '128} }'"},
      {"graph { const %w : i32[1] = {1.5} }", "expected an integer of type i32"},
      {"graph { const %w : f32[1] = {0x12} }", "expected 8 hex digits"},
      {"graph { const %w : f32[1] = {one} }", "expected a number"},
      {"graph { %y : f32[] = Relu() {a = [1, 2.0]} }", "only integers or only floats"},
      {"graph { %y : f32[] = Relu() {a = 1, a = 2} }", "attribute 'a' once"},
      {"graph { %y : f32[] = Relu() {a = 99999999999999999999} }",
       "expected an integer, a float, a string or a list"},
      {"graph { symbol n in [3, 2] }", "min <= max for symbol 'n'"},
      {"graph { output %x as \"x\" }", "expected a value defined above"},
      {"graph { input %x : f32[] output %x as \"x\" output %x as \"x\" }",
       "output names are unique"},
      {"graph { constraint (a) because \"b\" }", "expected two dimensions"},
      {"graph { input %x : f32[] pin %x : i8[] = {1} }", "a pinned input's bytes have its dtype"},
      {"graph { input %x : i8[2]{1} }", "tracked elements fit the shape"},
      {"graph { } graph { }", "expected the end of the text after the graph"},
      {"graph \"a\\q\" { }", "expected an escape"},
  };
  for (const auto& c : cases) {
    const auto result = Parse(c.text);
    ASSERT_FALSE(result.ok()) << c.text;
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(result.status().message(), HasSubstr(c.message)) << c.text;
  }
}

TEST(Text, RefusesDeepNestingAndTooMuchText) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "graph { _ = If() regions { ";
  EXPECT_THAT(Parse(text).status().message(), HasSubstr("at most 16 nested graphs"));
  EXPECT_THAT(Parse(std::string((16u << 20) + 1, ' ')).status().message(),
              HasSubstr("at most 16 MiB"));
}

// Every prefix of a valid text is refused, none crashes.
TEST(Text, RefusesEveryTruncation) {
  const std::string_view text(kEverything);
  for (size_t length = 0; length + 2 < text.size(); ++length) {
    EXPECT_FALSE(Parse(text.substr(0, length)).ok()) << length;
  }
}

}  // namespace
}  // namespace fusee::ir
