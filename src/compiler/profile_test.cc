#include "compiler/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fusee::compiler {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

onnx::ValueDecl Input(std::string_view name, std::vector<onnx::DimDecl> shape, int32_t type = 1) {
  onnx::ValueDecl decl;
  decl.name = name;
  decl.kind = onnx::ValueDecl::Kind::kTensor;
  decl.onnx_type = type;
  decl.has_shape = true;
  decl.shape = std::move(shape);
  return decl;
}
onnx::DimDecl Named(std::string_view name) { return {std::nullopt, name}; }
onnx::DimDecl Fixed(int64_t value) { return {value, ""}; }

Result<ResolvedProfile> Resolve(const std::vector<onnx::ValueDecl>& inputs,
                                const std::vector<std::string>& profiles) {
  BuildOptions options;
  for (const std::string& text : profiles) {
    FUSEE_TRY(NamedProfile named, ParseShapeProfile(text));
    options.profiles[named.name] = named.profile;
  }
  std::vector<const onnx::ValueDecl*> pointers;
  for (const onnx::ValueDecl& d : inputs) pointers.push_back(&d);
  return ResolveProfile(pointers, options);
}

TEST(ParseShapeProfile, ReadsEveryPoint) {
  auto named = ParseShapeProfile("image:1x1x8x8,8x1x8x8");
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(named->name, "image");
  EXPECT_THAT(named->profile.shapes, ElementsAre(ElementsAre(1, 1, 8, 8), ElementsAre(8, 1, 8, 8)));
}

TEST(ParseShapeProfile, TakesNamesWithColonsAndScalars) {
  auto named = ParseShapeProfile("serving:x:0:[]");
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(named->name, "serving:x:0");
  EXPECT_THAT(named->profile.shapes, ElementsAre(ElementsAre()));
}

TEST(ParseShapeProfile, RefusesWhatIsNoShape) {
  for (const char* bad : {"x", ":1x2", "x:", "x:1x", "x:ax2", "x:-1x2", "x:1,", "x:99999999999x1",
                          "x:1x1x1x1x1x1x1x1x1"}) {
    auto named = ParseShapeProfile(bad);
    ASSERT_FALSE(named.ok()) << bad;
    EXPECT_EQ(named.status().code(), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(ResolveProfile, MakesSymbolsWithRangesAndBuckets) {
  auto p = Resolve({Input("x", {Named("batch"), Fixed(3)})}, {"x:1x3,4x3,16x3"});
  ASSERT_TRUE(p.ok()) << p.status().ToString();
  EXPECT_EQ(ir::ToString(p->inputs[0].shape), "[batch,3]");
  EXPECT_EQ(p->ranges.at("batch"), (ir::DimRange{1, 16}));
  ASSERT_EQ(p->buckets.size(), 3u);
  EXPECT_EQ(p->buckets[1].values.at("batch"), 4);
  EXPECT_EQ(p->opt.values.at("batch"), 4);
  ASSERT_EQ(p->symbols.size(), 1u);
  EXPECT_EQ(p->symbols[0].axis, 0);
}

TEST(ResolveProfile, MakesAConstantOfWhatDoesNotVary) {
  auto p = Resolve({Input("x", {Named("batch"), Fixed(3)})}, {"x:5x3"});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(ir::ToString(p->inputs[0].shape), "[5,3]");
  EXPECT_TRUE(p->symbols.empty());
  EXPECT_EQ(p->buckets.size(), 1u);
}

TEST(ResolveProfile, SharesASymbolBetweenInputs) {
  auto p = Resolve({Input("ids", {Named("batch"), Named("seq")}, 7),
                    Input("mask", {Named("batch"), Named("seq")}, 7)},
                   {"ids:1x16,8x128"});
  ASSERT_TRUE(p.ok()) << p.status().ToString();
  EXPECT_EQ(ir::ToString(p->inputs[1].shape), "[batch,seq]");
  EXPECT_EQ(p->symbols.size(), 2u);
}

TEST(ResolveProfile, DefaultsTheFirstAxisAndSaysSo) {
  auto p = Resolve({Input("x", {Named("N"), Fixed(3)})}, {});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(p->buckets.size(), 4u);
  EXPECT_EQ(p->ranges.at("N"), (ir::DimRange{1, 8}));
  ASSERT_EQ(p->notes.size(), 1u);
  EXPECT_THAT(p->notes[0], HasSubstr("1, 2, 4, 8"));
}

TEST(ResolveProfile, RefusesToGuessAnotherAxis) {
  auto p = Resolve({Input("ids", {Fixed(1), Named("seq")}, 7)}, {});
  ASSERT_FALSE(p.ok());
  EXPECT_THAT(p.status().message(), HasSubstr("--shape-profile ids:"));
  EXPECT_THAT(p.status().message(), HasSubstr("'seq'"));
}

TEST(ResolveProfile, MakesIdentifiersOfAnyDimensionName) {
  auto p = Resolve({Input("x", {Named("2*batch size")})}, {"x:1,4"});
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(p->symbols[0].name, "d2_batch_size");
}

TEST(ResolveProfile, RefusesContradictions) {
  struct Case {
    std::vector<onnx::ValueDecl> inputs;
    std::vector<std::string> profiles;
    const char* says;
  };
  const std::vector<Case> cases = {
      {{Input("x", {Named("n"), Fixed(3)})},
       {"x:1x3,2x4"},
       "gives axis 1 the size 4, but the model fixes 3: nx3"},
      {{Input("x", {Named("n")})}, {"y:4"}, "inputs are: x"},
      {{Input("x", {Named("n")})},
       {"x:4x4"},
       "shape 4x4 of rank 2, the model declares n of rank 1"},
      {{Input("x", {Named("n")})}, {"x:4,2"}, "lists 4, 2 for axis 0, which is not ascending"},
      {{Input("a", {Named("n")}), Input("b", {Named("n")})},
       {"a:1,2", "b:1,4"},
       "'a' and 'b' disagree on dimension 'n': 1, 2 and 1, 4"},
      {{Input("a", {Named("n")}), Input("b", {Named("m")})},
       {"a:1,2", "b:1,2,4"},
       "equally many shapes, or one; 'b' lists 3, 'a' 2"},
  };
  for (const Case& c : cases) {
    auto p = Resolve(c.inputs, c.profiles);
    ASSERT_FALSE(p.ok()) << c.says;
    EXPECT_THAT(p.status().message(), HasSubstr(c.says));
  }
}

TEST(ParseShapeProfile, ShowsWhatItCannotRead) {
  const auto says = [](std::string_view text) {
    return ParseShapeProfile(text).status().message();
  };
  EXPECT_THAT(says("x"), HasSubstr("'x' is not a profile; expected NAME:SHAPE"));
  EXPECT_THAT(says("x:"), HasSubstr("'x:' names no shape after the colon"));
  EXPECT_THAT(says("x:1x8,axb"), HasSubstr("in 'x:1x8,axb': 'axb' is not a shape"));
  EXPECT_THAT(says("x:-1"), HasSubstr("'-1' is not a shape; expected numbers of 0 to 2147483647"));
  EXPECT_THAT(says("x:1,,2"), HasSubstr("in 'x:1,,2': '' is not a shape"));
}

TEST(ResolveProfile, RefusesTypesByName) {
  auto p = Resolve({Input("text", {Fixed(1)}, 8)}, {});
  ASSERT_FALSE(p.ok());
  EXPECT_EQ(p.status().code(), StatusCode::kUnimplemented);
  EXPECT_THAT(p.status().message(), HasSubstr("'text' is string"));
}

}  // namespace
}  // namespace fusee::compiler
