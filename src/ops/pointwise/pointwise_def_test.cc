// Inference and import rules of the pointwise family.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/op_def.h"

namespace fusee::ops::pointwise {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Dims = std::vector<ir::Dim>;

class PointwiseDefTest : public testing::Test {
 protected:
  PointwiseDefTest() {
    graph_.symbols()["n"] = {1, 32};
    graph_.symbols()["m"] = {1, 64};
  }
  ir::ValueId Input(DType dtype, ir::SymShape shape) {
    return graph_.AddInput(graph_.FreshName("x"), {dtype, std::move(shape), {}});
  }
  // A vector whose elements are known.
  ir::ValueId Tracked(DType dtype, Dims elements) {
    const auto size = static_cast<int64_t>(elements.size());
    return graph_.AddInput(graph_.FreshName("t"), {dtype, {size}, std::move(elements)});
  }
  Result<ir::ValueInfo> InferNode(std::string_view op, std::vector<ir::ValueId> inputs,
                                  Attrs attrs = {}) {
    ir::Node node;
    node.op = std::string(op);
    node.inputs = std::move(inputs);
    node.attrs = std::move(attrs);
    node.sources = {"the_node"};
    const std::string name = graph_.FreshName("y");
    FUSEE_TRY(const std::vector<ir::ValueId> ids,
              AddInferredNode(graph_, std::move(node), {&name, 1}));
    return graph_.value(ids[0]).info;
  }
  // Runs the import rule of a node with results y0, y1, ...
  Result<std::vector<ir::ValueId>> Import(onnx::Node node, int opset,
                                          std::vector<ir::ValueId> inputs) {
    node.name = "the_node";
    const ImportRule* rule = FindImportRule(node.domain, node.op_type, opset);
    if (rule == nullptr) return NotFound("no rule");
    ImportContext context(graph_, node, opset, std::move(inputs));
    FUSEE_TRY(rule->import(context));
    if (!context.UnreadAttrs().empty()) return Unimplemented("unread " + context.UnreadAttrs()[0]);
    return std::vector<ir::ValueId>(context.outputs().begin(), context.outputs().end());
  }
  const ir::Node& Producer(ir::ValueId id) { return graph_.node(graph_.value(id).producer); }
  Dims ElementsOf(const Result<ir::ValueInfo>& info) {
    if (!info.ok()) {
      ADD_FAILURE() << info.status().ToString();
      return {};
    }
    return info->elements ? *info->elements : Dims{};
  }

  ir::Graph graph_;
  const ir::Dim n_ = ir::Dim::Symbol("n");
  const ir::Dim m_ = ir::Dim::Symbol("m");
};

onnx::Node NodeOf(std::string_view op, std::vector<std::string_view> outputs = {"y0"}) {
  onnx::Node node;
  node.op_type = op;
  node.outputs = std::move(outputs);
  return node;
}
onnx::Attribute IntAttribute(std::string_view name, int64_t value) {
  onnx::Attribute a;
  a.name = name;
  a.type = onnx::AttrType::kInt;
  a.i = value;
  return a;
}
onnx::Attribute FloatAttribute(std::string_view name, float value) {
  onnx::Attribute a;
  a.name = name;
  a.type = onnx::AttrType::kFloat;
  a.f = value;
  return a;
}

TEST_F(PointwiseDefTest, BroadcastsSymbolicShapes) {
  const auto a = Input(DType::kF32, {n_, 1, 8});
  const auto b = Input(DType::kF32, {m_, 1});
  const auto info = InferNode("Add", {a, b});
  ASSERT_TRUE(info.ok()) << info.status().ToString();
  EXPECT_EQ(info->shape, (ir::SymShape{n_, m_, 8}));
  EXPECT_EQ(info->dtype, DType::kF32);
  EXPECT_TRUE(graph_.constraints().empty());
}

TEST_F(PointwiseDefTest, RecordsAConstraintWhereTwoSymbolsMeet) {
  const auto info = InferNode("Mul", {Input(DType::kF32, {n_, 4}), Input(DType::kF32, {m_, 4})});
  ASSERT_TRUE(info.ok());
  ASSERT_EQ(graph_.constraints().size(), 1u);
  EXPECT_THAT(graph_.constraints()[0].reason, HasSubstr("the_node"));
}

TEST_F(PointwiseDefTest, RefusesWhatCannotBe) {
  const auto f = Input(DType::kF32, {4});
  const auto i = Input(DType::kI32, {4});
  const auto b = Input(DType::kBool, {4});
  EXPECT_EQ(InferNode("Add", {f, i}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(InferNode("Add", {f, Input(DType::kF32, {5})}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(InferNode("Add", {f}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(InferNode("Add", {f, ir::ValueId()}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(InferNode("Add", {b, b}).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(InferNode("Exp", {i}).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(InferNode("Not", {f}).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(InferNode("Where", {f, f, f}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(InferNode("PRelu", {f, Input(DType::kF32, {2, 4})}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(InferNode("Mod", {f, f}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(InferNode("Clip", {f, f}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(InferNode("Cast", {f}, {{"to", int64_t{8}}}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(PointwiseDefTest, ComparisonsGiveBoolAndPowKeepsTheBase) {
  const auto f = Input(DType::kF32, {4});
  EXPECT_EQ(InferNode("Less", {f, f})->dtype, DType::kBool);
  EXPECT_EQ(InferNode("IsNaN", {f})->dtype, DType::kBool);
  EXPECT_EQ(InferNode("Pow", {Input(DType::kI32, {4}), f})->dtype, DType::kI32);
}

TEST_F(PointwiseDefTest, TracksIntegerArithmetic) {
  const auto x = Tracked(DType::kI64, {n_, 7, -7});
  const auto y = Tracked(DType::kI64, {2, 2, 2});
  EXPECT_EQ(ElementsOf(InferNode("Add", {x, y})), (Dims{n_ + ir::Dim(2), 9, -5}));
  EXPECT_EQ(ElementsOf(InferNode("Sub", {x, y})), (Dims{n_ - ir::Dim(2), 5, -9}));
  EXPECT_EQ(ElementsOf(InferNode("Mul", {x, y})), (Dims{n_ * ir::Dim(2), 14, -14}));
  EXPECT_EQ(ElementsOf(InferNode("Div", {x, y})), (Dims{FloorDiv(n_, 2), 3, -3}))
      << "constants truncate as in C";
  EXPECT_EQ(ElementsOf(InferNode("Mod", {x, y})), (Dims{Mod(n_, 2), 1, 1}));
  EXPECT_EQ(ElementsOf(InferNode("Mod", {x, y}, {{"fmod", int64_t{1}}})),
            (Dims{Mod(n_, 2), 1, -1}));
  EXPECT_EQ(ElementsOf(InferNode("Min", {x, y})), (Dims{Min(n_, 2), 2, -7}));
  EXPECT_EQ(ElementsOf(InferNode("Max", {x, y})), (Dims{Max(n_, 2), 7, 2}));
  EXPECT_EQ(ElementsOf(InferNode("Neg", {x})), (Dims{ir::Dim(0) - n_, -7, 7}));
  EXPECT_EQ(ElementsOf(InferNode("Abs", {x})), (Dims{n_, 7, 7}));
  EXPECT_EQ(ElementsOf(InferNode("Sign", {x})), (Dims{1, 1, -1}));
  EXPECT_EQ(ElementsOf(InferNode("Identity", {x})), (Dims{n_, 7, -7}));
}

TEST_F(PointwiseDefTest, TracksThroughBroadcasting) {
  const auto x = Tracked(DType::kI64, {n_, 3});
  const auto column = graph_.AddInput("column", {DType::kI64, {2, 1}, Dims{10, 20}});
  const auto info = InferNode("Mul", {x, column});
  EXPECT_EQ(info->shape, (ir::SymShape{2, 2}));
  EXPECT_EQ(ElementsOf(info), (Dims{n_ * ir::Dim(10), 30, n_ * ir::Dim(20), 60}));
}

TEST_F(PointwiseDefTest, DoesNotTrackWhatItCannotKnow) {
  const auto untracked = Input(DType::kI64, {2});
  const auto x = Tracked(DType::kI64, {n_, 3});
  EXPECT_FALSE(InferNode("Add", {x, untracked})->elements);
  EXPECT_FALSE(InferNode("Div", {x, Tracked(DType::kI64, {0, 1})})->elements) << "division by zero";
  const auto negative = Tracked(DType::kI64, {n_ - ir::Dim(5), 3});
  EXPECT_FALSE(InferNode("Div", {negative, Tracked(DType::kI64, {2, 2})})->elements)
      << "truncation is no floor";
  EXPECT_FALSE(InferNode("Equal", {x, Tracked(DType::kI64, {4, 3})})->elements) << "n may be 4";
  // 200 + 100 wraps to 44 in u8; the expression would say 300.
  EXPECT_FALSE(
      InferNode("Add", {Tracked(DType::kU8, {200}), Tracked(DType::kU8, {100})})->elements);
}

TEST_F(PointwiseDefTest, DecidesComparisonsByRange) {
  const auto x = Tracked(DType::kI64, {n_, n_, 3});
  const auto y = Tracked(DType::kI64, {-1, n_, 4});
  EXPECT_EQ(ElementsOf(InferNode("Equal", {x, y})), (Dims{0, 1, 0}));
  EXPECT_EQ(ElementsOf(InferNode("Less", {x, y})), (Dims{0, 0, 1}));
  EXPECT_EQ(ElementsOf(InferNode("LessOrEqual", {x, y})), (Dims{0, 1, 1}));
  EXPECT_EQ(ElementsOf(InferNode("Greater", {x, y})), (Dims{1, 0, 0}));
  EXPECT_EQ(ElementsOf(InferNode("GreaterOrEqual", {x, y})), (Dims{1, 1, 0}));
}

TEST_F(PointwiseDefTest, TracksTheExpandIdiomOfExporters) {
  // Where(shape == -1, ones, shape), then a cast back and forth.
  const auto shape = Tracked(DType::kI64, {n_, -1});
  const auto minus_one = Tracked(DType::kI64, {-1});
  ir::Node node;
  node.op = "Equal";
  node.inputs = {shape, minus_one};
  const std::string name = "is_minus_one";
  const auto equal = AddInferredNode(graph_, std::move(node), {&name, 1});
  ASSERT_TRUE(equal.ok());
  const auto ones = Tracked(DType::kI64, {1, 1});
  EXPECT_EQ(ElementsOf(InferNode("Where", {(*equal)[0], ones, shape})), (Dims{n_, 1}));
  EXPECT_EQ(ElementsOf(InferNode("Not", {(*equal)[0]})), (Dims{1, 0}));
  EXPECT_EQ(ElementsOf(InferNode("Cast", {shape}, {{"to", static_cast<int64_t>(DType::kI32)}})),
            (Dims{n_, -1}));
  EXPECT_EQ(ElementsOf(InferNode("Cast", {shape}, {{"to", static_cast<int64_t>(DType::kBool)}})),
            (Dims{1, 1}));
  EXPECT_FALSE(InferNode("Cast", {shape}, {{"to", static_cast<int64_t>(DType::kF32)}})->elements);
  EXPECT_FALSE(InferNode("Cast", {shape}, {{"to", static_cast<int64_t>(DType::kU8)}})->elements)
      << "-1 wraps";
}

TEST_F(PointwiseDefTest, VariadicOperatorsBecomeChains) {
  const auto x = Input(DType::kF32, {4});
  for (const auto& [onnx_op, op] :
       {std::pair("Sum", "Add"), std::pair("Min", "Min"), std::pair("Max", "Max")}) {
    const auto three = Import(NodeOf(onnx_op), 13, {x, x, x});
    ASSERT_TRUE(three.ok()) << three.status().ToString();
    EXPECT_EQ(Producer((*three)[0]).op, op);
    EXPECT_EQ(Producer(Producer((*three)[0]).inputs[0]).op, op);
    const auto one = Import(NodeOf(onnx_op), 13, {x});
    ASSERT_TRUE(one.ok());
    EXPECT_EQ(Producer((*one)[0]).op, "Identity");
    EXPECT_EQ(Import(NodeOf(onnx_op), 13, {}).status().code(), StatusCode::kInvalidArgument);
  }
  const auto mean = Import(NodeOf("Mean"), 13, {x, x});
  ASSERT_TRUE(mean.ok());
  EXPECT_EQ(Producer((*mean)[0]).op, "Div");
}

TEST_F(PointwiseDefTest, ClipReadsAttributesUpToOpset10AndOperandsAfter) {
  const auto x = Input(DType::kF32, {4});
  onnx::Node old = NodeOf("Clip");
  old.attributes.push_back(FloatAttribute("max", 6));
  const auto result = Import(std::move(old), 6, {x});
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  const ir::Node& node = Producer((*result)[0]);
  ASSERT_EQ(node.inputs.size(), 3u);
  EXPECT_FALSE(node.inputs[1].valid());
  EXPECT_EQ(DoubleAt(graph_.value(node.inputs[2]).constant.view(), 0), 6);
  onnx::Node stray = NodeOf("Clip");
  stray.attributes.push_back(FloatAttribute("max", 6));
  EXPECT_FALSE(Import(std::move(stray), 13, {x}).ok()) << "an option without effect";
  EXPECT_TRUE(Import(NodeOf("Clip"), 11, {x, ir::ValueId(), Input(DType::kF32, {})}).ok());
}

TEST_F(PointwiseDefTest, CastRefusesTypesWithoutTensorsByName) {
  const auto x = Input(DType::kF32, {4});
  for (const auto& [to, name] : {std::pair(8, "string"), std::pair(14, "complex64"),
                                 std::pair(27, "unknown element type")}) {
    onnx::Node node = NodeOf("Cast");
    node.attributes.push_back(IntAttribute("to", to));
    const auto result = Import(std::move(node), 21, {x});
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), StatusCode::kUnimplemented);
    EXPECT_THAT(result.status().message(), HasSubstr(name));
    EXPECT_THAT(result.status().message(), HasSubstr("the_node"));
  }
  onnx::Node node = NodeOf("Cast");
  node.attributes.push_back(IntAttribute("to", 10));
  node.attributes.push_back(IntAttribute("saturate", 1));
  const auto half = Import(std::move(node), 21, {x});
  ASSERT_TRUE(half.ok()) << half.status().ToString();
  EXPECT_EQ(graph_.value((*half)[0]).info.dtype, DType::kF16);
  const auto like = Import(NodeOf("CastLike"), 19, {x, Input(DType::kI8, {0})});
  ASSERT_TRUE(like.ok());
  EXPECT_EQ(graph_.value((*like)[0]).info.dtype, DType::kI8);
}

TEST_F(PointwiseDefTest, DropoutIsTheIdentityWithAMaskOfOnes) {
  const auto x = Input(DType::kF32, {n_, 3});
  onnx::Node old = NodeOf("Dropout");
  old.attributes.push_back(FloatAttribute("ratio", 0.5f));
  const auto plain = Import(std::move(old), 7, {x});
  ASSERT_TRUE(plain.ok()) << plain.status().ToString();
  EXPECT_EQ(Producer((*plain)[0]).op, "Identity");

  onnx::Node node = NodeOf("Dropout", {"y0", "y1"});
  node.attributes.push_back(IntAttribute("seed", 3));
  const auto off = graph_.AddConstant("off", Tensor::Of<bool>({}, {false}));
  const auto masked = Import(std::move(node), 13, {x, ir::ValueId(), off});
  ASSERT_TRUE(masked.ok()) << masked.status().ToString();
  EXPECT_EQ(graph_.value((*masked)[1]).info.dtype, DType::kBool);
  EXPECT_EQ(graph_.value((*masked)[1]).info.shape, (ir::SymShape{n_, 3}));
  EXPECT_EQ(graph_.value((*Import(NodeOf("Dropout", {"y0", "y1"}), 7, {x}))[1]).info.dtype,
            DType::kF32);

  const auto on = graph_.AddConstant("on", Tensor::Of<bool>({}, {true}));
  const auto training = Import(NodeOf("Dropout"), 13, {x, ir::ValueId(), on});
  EXPECT_EQ(training.status().code(), StatusCode::kUnimplemented);
}

TEST_F(PointwiseDefTest, DropoutInTrainingIsTheIdentityWhereItDropsNothing) {
  const auto x = Input(DType::kF32, {n_, 3});
  const auto on = graph_.AddConstant("on", Tensor::Of<bool>({}, {true}));
  const auto off = graph_.AddConstant("off", Tensor::Of<bool>({}, {false}));
  const auto zero = graph_.AddConstant("zero", Tensor::Of<float>({}, {0.0F}));
  const auto half = graph_.AddConstant("half", Tensor::Of<float>({}, {0.5F}));
  const auto some = graph_.AddInput("some", {DType::kF32, {}, {}});
  const auto maybe = graph_.AddInput("maybe", {DType::kBool, {}, {}});
  for (const int opset : {12, 13, 22}) {
    for (const auto training : {on, off, maybe}) {
      const auto ids = Import(NodeOf("Dropout", {"y0", "y1"}), opset, {x, zero, training});
      ASSERT_TRUE(ids.ok()) << ids.status().ToString();
      EXPECT_EQ(Producer((*ids)[0]).op, "Identity");
      EXPECT_EQ(Producer((*ids)[1]).op, "Expand");
    }
  }
  const auto code = [&](ir::ValueId ratio, ir::ValueId training) {
    return Import(NodeOf("Dropout"), 13, {x, ratio, training}).status().code();
  };
  EXPECT_EQ(code(some, off), StatusCode::kOk);
  EXPECT_EQ(code(half, off), StatusCode::kOk);
  EXPECT_EQ(code(half, on), StatusCode::kUnimplemented);
  EXPECT_EQ(code(half, maybe), StatusCode::kUnimplemented);
  EXPECT_EQ(code(some, on), StatusCode::kUnimplemented);
  EXPECT_EQ(code(ir::ValueId(), on), StatusCode::kUnimplemented) << "the default is a half";
  const auto two = graph_.AddConstant("two", Tensor::Of<float>({2}, {0.0F, 0.0F}));
  EXPECT_EQ(code(two, on), StatusCode::kInvalidArgument);
  const auto integer = graph_.AddConstant("integer", Tensor::Of<int64_t>({}, {0}));
  EXPECT_EQ(code(integer, on), StatusCode::kInvalidArgument);
}

TEST_F(PointwiseDefTest, AttributesAreWrittenOutWithOnnxDefaults) {
  const auto x = Input(DType::kF32, {4});
  const auto leaky = Import(NodeOf("LeakyRelu"), 16, {x});
  ASSERT_TRUE(leaky.ok());
  EXPECT_EQ(Producer((*leaky)[0]).attrs.Float("alpha", 0).value(), static_cast<double>(0.01f));
  const auto hard = Import(NodeOf("HardSigmoid"), 6, {x});
  ASSERT_TRUE(hard.ok());
  EXPECT_EQ(Producer((*hard)[0]).attrs.Float("beta", 0).value(), 0.5);
  onnx::Node gelu = NodeOf("Gelu");
  onnx::Attribute approximate;
  approximate.name = "approximate";
  approximate.type = onnx::AttrType::kString;
  approximate.s = "sigmoid";
  gelu.attributes.push_back(std::move(approximate));
  EXPECT_EQ(Import(std::move(gelu), 20, {x}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(
      Import(NodeOf("BitShift"), 11, {Input(DType::kU8, {2}), Input(DType::kU8, {2})}).ok());
}

TEST_F(PointwiseDefTest, GelusOfMicrosoftBecomeGeluAndSwish) {
  const ir::ValueId x = graph_.AddInput("x", {DType::kF16, {n_, 8}, {}});
  const ir::ValueId b = graph_.AddInput("b", {DType::kF16, {8}, {}});
  const auto import = [&](std::string_view op, std::vector<ir::ValueId> inputs) {
    onnx::Node node = NodeOf(op);
    node.domain = "com.microsoft";
    auto ids = Import(std::move(node), 1, std::move(inputs));
    EXPECT_TRUE(ids.ok()) << op << ": " << ids.status().ToString();
    return ids.ok() ? (*ids)[0] : x;
  };
  const ir::ValueId biased = import("BiasGelu", {x, b});
  EXPECT_EQ(*Producer(biased).attrs.Str("approximate", ""), "none");
  EXPECT_EQ(Producer(Producer(biased).inputs[0]).op, "Add");
  const ir::ValueId fast = import("FastGelu", {x});
  EXPECT_EQ(*Producer(fast).attrs.Str("approximate", ""), "tanh");
  EXPECT_EQ(Producer(fast).inputs[0], x);
  EXPECT_EQ(Producer(Producer(import("FastGelu", {x, b})).inputs[0]).op, "Add");
  const ir::ValueId quick = import("QuickGelu", {x});
  EXPECT_EQ(Producer(quick).op, "Swish");
  EXPECT_EQ(*Producer(quick).attrs.Float("alpha", 0), static_cast<double>(1.702f));
  EXPECT_EQ(ir::ToString(graph_.value(quick).info.shape), "[n,8]");
}

}  // namespace
}  // namespace fusee::ops::pointwise
