// Cast to, from and between the narrow types: their conversions themselves are tested beside
// tensor/narrow.h, so here every pair of types meets the number that its element stands for.
#include <gmock/gmock.h>

#include <cstring>

#include "ops/op_def.h"
#include "ops/pointwise/pointwise_test_util.h"
#include "tensor/narrow.h"

namespace fusee::ops::pointwise {
namespace {

using testing::HasSubstr;

constexpr DType kNarrowTypes[] = {
    DType::kF8E4M3FN, DType::kF8E4M3FNUZ, DType::kF8E5M2, DType::kF8E5M2FNUZ, DType::kU4,
    DType::kI4,       DType::kF4E2M1,     DType::kF8E8M0, DType::kU2,         DType::kI2};

std::vector<DType> OtherTypes() {
  std::vector<DType> types = FloatTypes();
  types.insert(types.end(), IntTypes().begin(), IntTypes().end());
  types.push_back(DType::kBool);
  return types;
}

KernelCall CastCall(const Tensor& x, DType to) {
  return {.op = "Cast",
          .attrs = {{"to", static_cast<int64_t>(to)}},
          .inputs = {x},
          .outputs = {{to, x.shape()}}};
}

Tensor RunCast(const KernelCall& call) {
  auto got = RunKernel("cast_ref.1", call);
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  return got.ok() ? (*got)[0] : Tensor();
}

// Every byte there is, also those that no element of 4 or 2 bits is stored as.
Tensor AllBytes(DType dtype) {
  return Make(dtype, {256}, [](const TensorView& v) {
    for (int64_t i = 0; i < 256; ++i) static_cast<uint8_t*>(v.data)[i] = static_cast<uint8_t>(i);
  });
}

TEST(NarrowCast, ReadsEveryByteIntoEveryType) {
  for (const DType from : kNarrowTypes) {
    const Tensor x = AllBytes(from);
    std::vector<DType> targets = OtherTypes();
    targets.insert(targets.end(), std::begin(kNarrowTypes), std::end(kNarrowTypes));
    for (const DType to : targets) {
      const Tensor got = RunCast(CastCall(x, to));
      ASSERT_TRUE(got.present());
      for (int64_t i = 0; i < 256; ++i) {
        TensorView one;
        const Tensor want = Tensor::Allocate(to, {}, &one).value();
        StoreDouble(one, 0, DoubleAt(x.view(), i));
        EXPECT_EQ(0, std::memcmp(want.bytes().data(),
                                 got.bytes().data() + static_cast<size_t>(i * BytesPerElement(to)),
                                 static_cast<size_t>(BytesPerElement(to))))
            << DTypeName(from) << " to " << DTypeName(to) << ", byte " << i;
      }
    }
  }
}

TEST(NarrowCast, TakesEveryTypeAndSize) {
  for (const DType from : OtherTypes()) {
    for (const DType to : kNarrowTypes) {
      for (const int64_t n : {0, 1, 7}) {
        const Tensor x = Make(from, {n}, [](const TensorView& v) {
          for (int64_t i = 0; i < v.elements(); ++i) StoreInt(v, i, i % 3);
        });
        const Tensor got = RunCast(CastCall(x, to));
        ASSERT_EQ(got.elements(), n);
        for (int64_t i = 0; i < n; ++i) {
          EXPECT_EQ(static_cast<const uint8_t*>(got.view().data)[i],
                    DoubleToNarrow(to, DoubleAt(x.view(), i)))
              << DTypeName(from) << " to " << DTypeName(to);
        }
      }
    }
  }
}

TEST(NarrowCast, LargeUnsignedNumbersRoundOnce) {
  const Tensor x = Tensor::Of<uint64_t>({2}, {(uint64_t{1} << 63) + 1, uint64_t{1} << 63});
  const Tensor got = RunCast(CastCall(x, DType::kF8E8M0));
  EXPECT_EQ(DoubleAt(got.view(), 0), 0x1p64);
  EXPECT_EQ(DoubleAt(got.view(), 1), 0x1p63);
}

TEST(NarrowCast, SaturatesAndRoundsAsTold) {
  const Tensor x = Tensor::Of<float>({2}, {1e6F, -1e6F});
  KernelCall call = CastCall(x, DType::kF8E5M2);
  EXPECT_EQ(DoubleAt(RunCast(call).view(), 1), -57344);
  call.attrs.Set("saturate", int64_t{0});
  EXPECT_EQ(DoubleAt(RunCast(call).view(), 1), -std::numeric_limits<double>::infinity());
  KernelCall scale = CastCall(Tensor::Of<float>({1}, {1.25F}), DType::kF8E8M0);
  EXPECT_EQ(DoubleAt(RunCast(scale).view(), 0), 2);
  scale.attrs.Set("round_mode", std::string("down"));
  EXPECT_EQ(DoubleAt(RunCast(scale).view(), 0), 1);
  scale.attrs.Set("round_mode", std::string("nearest"));
  EXPECT_EQ(DoubleAt(RunCast(scale).view(), 0), 1);
  scale.attrs.Set("round_mode", std::string("sideways"));
  EXPECT_EQ(RunKernel("cast_ref.1", scale).status().code(), StatusCode::kInvalidArgument);
}

TEST(NarrowCast, FastTacticsLeaveItToTheReference) {
  const Tensor x = Tensor::Of<float>({1}, {1});
  for (const KernelDef* kernel : TacticsUnderTest("Cast")) {
    if (kernel->reference) continue;
    EXPECT_EQ(RunKernel(kernel->id, CastCall(x, DType::kI4)).status().code(),
              StatusCode::kUnimplemented);
  }
}

class NarrowCastDef : public testing::Test {
 protected:
  Result<ir::NodeId> Import(std::string_view op, std::vector<ir::ValueId> inputs,
                            std::vector<onnx::Attribute> attributes) {
    onnx::Node node;
    node.op_type = op;
    node.attributes = std::move(attributes);
    node.outputs = {"y"};
    ImportContext context(graph_, node, 25, std::move(inputs));
    FUSEE_TRY(FindImportRule("", op, 25)->import(context));
    if (!context.UnreadAttrs().empty()) return Internal("an attribute was not read");
    return graph_.value(context.outputs()[0]).producer;
  }
  ir::ValueId Input(DType dtype) {
    return graph_.AddInput(graph_.FreshName("x"), {dtype, {4}, {}});
  }
  template <typename... A>
  static std::vector<onnx::Attribute> List(A... attributes) {
    std::vector<onnx::Attribute> list;
    (list.push_back(std::move(attributes)), ...);
    return list;
  }
  static onnx::Attribute Int(std::string_view name, int64_t value) {
    onnx::Attribute a;
    a.name = name;
    a.type = onnx::AttrType::kInt;
    a.i = value;
    return a;
  }
  static onnx::Attribute Str(std::string_view name, std::string_view value) {
    onnx::Attribute a;
    a.name = name;
    a.type = onnx::AttrType::kString;
    a.s = value;
    return a;
  }

  ir::Graph graph_;
};

TEST_F(NarrowCastDef, KeepsTheOptionsThatMeanSomething) {
  const ir::ValueId x = Input(DType::kF32);
  const auto cast = [&](int64_t to) {
    const auto id =
        Import("Cast", {x}, List(Int("to", to), Int("saturate", 0), Str("round_mode", "down")));
    EXPECT_TRUE(id.ok()) << id.status().ToString();
    return graph_.node(*id).attrs;
  };
  EXPECT_EQ(cast(17), (Attrs{{"to", int64_t{17}}, {"saturate", int64_t{0}}}));
  EXPECT_EQ(
      cast(24),
      (Attrs{{"to", int64_t{24}}, {"saturate", int64_t{0}}, {"round_mode", std::string("down")}}));
  EXPECT_EQ(cast(22), (Attrs{{"to", int64_t{22}}}));
  EXPECT_EQ(cast(10), (Attrs{{"to", int64_t{10}}}));
  EXPECT_EQ(Import("Cast", {x}, List(Int("to", 24), Str("round_mode", "odd"))).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(NarrowCastDef, CastLikeTakesTheTypeOfItsSecondOperand) {
  const auto id = Import("CastLike", {Input(DType::kF16), Input(DType::kI4)}, {});
  ASSERT_TRUE(id.ok()) << id.status().ToString();
  EXPECT_EQ(graph_.value(graph_.node(*id).outputs[0]).info.dtype, DType::kI4);
}

TEST_F(NarrowCastDef, OthersRefuseNarrowTypesWithARemedy) {
  const ir::ValueId x = Input(DType::kF8E4M3FN);
  for (const std::string_view op : {"Relu", "Add", "Exp", "Where"}) {
    const auto got = Import(op, {x, x, x}, {});
    EXPECT_EQ(got.status().code(), StatusCode::kUnimplemented) << op;
    EXPECT_THAT(got.status().message(), HasSubstr("float8e4m3fn")) << op;
    EXPECT_THAT(got.status().message(), HasSubstr("between two Casts")) << op;
  }
  EXPECT_TRUE(Import("Identity", {x}, {}).ok());
}

TEST_F(NarrowCastDef, Float8IsClassifiedInF32) {
  for (const std::string_view op : {"IsNaN", "IsInf"}) {
    const auto id = Import(op, {Input(DType::kF8E5M2)}, {});
    ASSERT_TRUE(id.ok()) << id.status().ToString();
    const ir::Node& node = graph_.node(*id);
    EXPECT_EQ(graph_.node(graph_.value(node.inputs[0]).producer).op, "Cast");
    EXPECT_EQ(graph_.value(node.inputs[0]).info.dtype, DType::kF32);
  }
}

}  // namespace
}  // namespace fusee::ops::pointwise
