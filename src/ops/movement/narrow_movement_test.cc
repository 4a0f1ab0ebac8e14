// What moves elements moves those of the narrow types as it moves bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSeed = 31;
constexpr DType kTypes[] = {
    DType::kF8E4M3FN, DType::kF8E4M3FNUZ, DType::kF8E5M2, DType::kF8E5M2FNUZ, DType::kU4,
    DType::kI4,       DType::kF4E2M1,     DType::kF8E8M0, DType::kU2,         DType::kI2};

Tensor Bytes(DType dtype, const Shape& shape, uint64_t stream = 0) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  for (int64_t i = 0; i < view.elements(); ++i)
    static_cast<uint8_t*>(view.data)[i] =
        static_cast<uint8_t>(RandomBits(kSeed, stream, static_cast<uint64_t>(i)));
  return tensor;
}

// Operands and results of type u8 become of the other one.
KernelCall Retyped(KernelCall call, DType dtype) {
  for (Tensor& t : call.inputs) {
    if (t.dtype() != DType::kU8) continue;
    t = Tensor(dtype, t.shape(), t.view().data, std::make_shared<Tensor>(t));
  }
  for (auto& [type, shape] : call.outputs) {
    if (type == DType::kU8) type = dtype;
  }
  return call;
}

std::vector<KernelCall> Moves() {
  const Tensor x = Bytes(DType::kU8, {3, 5});
  using Ints = std::vector<int64_t>;
  return {
      {.op = "Copy", .inputs = {x}, .outputs = {{DType::kU8, {3, 5}}}},
      {.op = "Identity", .inputs = {x}, .outputs = {{DType::kU8, {3, 5}}}},
      {.op = "Reshape", .inputs = {x}, .outputs = {{DType::kU8, {3, 5}}}},
      {.op = "Transpose",
       .attrs = {{"perm", Ints{1, 0}}},
       .inputs = {x},
       .outputs = {{DType::kU8, {5, 3}}}},
      {.op = "Concat",
       .attrs = {{"axis", int64_t{1}}},
       .inputs = {x, Bytes(DType::kU8, {3, 2}, 1)},
       .outputs = {{DType::kU8, {3, 7}}}},
      {.op = "Split",
       .attrs = {{"axis", int64_t{1}}},
       .inputs = {x},
       .outputs = {{DType::kU8, {3, 2}}, {DType::kU8, {3, 3}}},
       .dims = {2, 3}},
      {.op = "Slice",
       .attrs = {{"axes", Ints{1}}, {"steps", Ints{2}}},
       .inputs = {x},
       .outputs = {{DType::kU8, {3, 2}}},
       .dims = {1, 5}},
      {.op = "Gather",
       .attrs = {{"axis", int64_t{0}}},
       .inputs = {x, Tensor::Of<int64_t>({2}, {2, -3})},
       .outputs = {{DType::kU8, {2, 5}}}},
      {.op = "Expand", .inputs = {x}, .outputs = {{DType::kU8, {2, 3, 5}}}, .dims = {2, 3, 5}},
      {.op = "Tile", .inputs = {x}, .outputs = {{DType::kU8, {6, 5}}}, .dims = {2, 1}},
      {.op = "Pad",
       .attrs = {{"mode", std::string("constant")}},
       .inputs = {x, Bytes(DType::kU8, {}, 2)},
       .outputs = {{DType::kU8, {5, 5}}},
       .dims = {1, 0, 1, 0}},
      {.op = "Pad",
       .attrs = {{"mode", std::string("reflect")}},
       .inputs = {x},
       .outputs = {{DType::kU8, {5, 5}}},
       .dims = {1, 0, 1, 0}},
      {.op = "Shape", .inputs = {x}, .outputs = {{DType::kI64, {2}}}},
      {.op = "Size", .inputs = {x}, .outputs = {{DType::kI64, {}}}},
  };
}

TEST(NarrowMovement, EveryTacticMovesBytes) {
  for (const KernelCall& bytes : Moves()) {
    for (const KernelDef* kernel : KernelsFor(bytes.op)) {
      const auto want = RunKernel(kernel->id, bytes);
      ASSERT_TRUE(want.ok()) << kernel->id << ": " << want.status().ToString();
      for (const DType dtype : kTypes) {
        const auto got = RunKernel(kernel->id, Retyped(bytes, dtype));
        ASSERT_TRUE(got.ok()) << kernel->id << ": " << got.status().ToString();
        for (size_t i = 0; i < want->size(); ++i) {
          EXPECT_TRUE(std::ranges::equal((*got)[i].bytes(), (*want)[i].bytes()))
              << kernel->id << " of " << DTypeName(dtype) << ", seed " << kSeed;
        }
      }
    }
  }
}

TEST(NarrowMovement, ImportRulesKeepTheType) {
  ImportHarness h;
  using H = ImportHarness;
  for (const DType dtype : kTypes) {
    const ir::ValueId x =
        h.Input("x" + std::string(DTypeName(dtype)), dtype, {h.Symbol("n", 1, 8), 1, 4});
    const auto type = [&](ir::ValueId id) { return h.graph.value(id).info.dtype; };
    EXPECT_EQ(type(h.Import("Reshape", 25, {x, h.Ints({-1, 2})})), dtype);
    EXPECT_EQ(type(h.Import("Flatten", 25, {x})), dtype);
    EXPECT_EQ(type(h.Import("Squeeze", 25, {x, h.Ints({1})})), dtype);
    EXPECT_EQ(type(h.Import("Unsqueeze", 25, {x, h.Ints({0})})), dtype);
    EXPECT_EQ(type(h.Import("Transpose", 25, {x})), dtype);
    EXPECT_EQ(type(h.Import("Identity", 25, {x})), dtype);
    EXPECT_EQ(type(h.Import("Pad", 25, {x, h.Ints({0, 0, 1, 0, 0, 1})})), dtype);
    EXPECT_EQ(type(h.Import("Shape", 25, {x})), DType::kI64);
    EXPECT_EQ(type(h.Import("Size", 25, {x})), DType::kI64);
    const auto value = [&] {
      onnx::Attribute attribute;
      attribute.name = "value";
      attribute.type = onnx::AttrType::kTensor;
      attribute.tensors.emplace_back().tensor = Bytes(dtype, {1});
      return H::Attrs(std::move(attribute));
    };
    EXPECT_EQ(type(h.Import("ConstantOfShape", 25, {h.Ints({2, 3})}, value())), dtype);
    EXPECT_EQ(type(h.Import("Constant", 25, {}, value())), dtype);
  }
}

TEST(NarrowMovement, WhatComputesRefuses) {
  ImportHarness h;
  using H = ImportHarness;
  const ir::ValueId x = h.Input("x", DType::kI4, {4, 4});
  for (const auto& [op, inputs] :
       std::vector<std::pair<std::string_view, std::vector<ir::ValueId>>>{
           {"CumSum", {x, h.Int(0)}}, {"Trilu", {x}}, {"GatherElements", {x, h.Ints({0, 1})}}}) {
    const auto got = h.TryImport(op, 14, inputs);
    EXPECT_EQ(got.status().code(), StatusCode::kUnimplemented) << op;
    EXPECT_THAT(got.status().message(), HasSubstr("is int4, which only conversions")) << op;
  }
  // A type that an attribute asks for.
  const auto eye = h.TryImport("EyeLike", 22, {h.Input("y", DType::kF32, {2, 2})},
                               H::Attrs(H::Attr("dtype", 17)));
  EXPECT_EQ(eye.status().code(), StatusCode::kUnimplemented);
  EXPECT_THAT(eye.status().message(), HasSubstr("float8e4m3fn"));
}

// In memory a signed code has its sign in the high bits, and others have none.
TEST(NarrowMovement, BitCastKeepsTheFormInMemory) {
  const struct {
    DType from, to;
    uint8_t in, out;
  } cases[] = {{DType::kI4, DType::kU4, 0xf9, 0x09},     {DType::kU4, DType::kI4, 0x09, 0xf9},
               {DType::kI4, DType::kF4E2M1, 0xff, 0x0f}, {DType::kU2, DType::kI2, 0x02, 0xfe},
               {DType::kF8E5M2, DType::kU8, 0xfc, 0xfc}, {DType::kI8, DType::kF8E8M0, 0x81, 0x81}};
  for (const auto& c : cases) {
    TensorView view;
    const Tensor x = Tensor::Allocate(c.from, {1}, &view).value();
    *static_cast<uint8_t*>(view.data) = c.in;
    const auto got =
        RunKernel("bit_cast_ref.1", {.op = "BitCast", .inputs = {x}, .outputs = {{c.to, {1}}}});
    ASSERT_TRUE(got.ok()) << got.status().ToString();
    EXPECT_EQ(*static_cast<const uint8_t*>((*got)[0].view().data), c.out)
        << DTypeName(c.from) << " to " << DTypeName(c.to);
  }
  EXPECT_EQ(RunKernel("bit_cast_ref.1", {.op = "BitCast",
                                         .inputs = {Bytes(DType::kI4, {2})},
                                         .outputs = {{DType::kI8, {2}}}})
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::ops
