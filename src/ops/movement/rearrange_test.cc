// CenterCropPad, Compress, ReverseSequence and BitCast: what import makes of them, and the kernels.
#include <cstring>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

std::string Ops(const ir::Graph& graph) {
  std::string names;
  for (const ir::NodeId id : graph.order()) names += (names.empty() ? "" : " ") + graph.node(id).op;
  return names;
}

TEST(CenterCropPadDef, CropsOrPadsWhatEachAxisNeeds) {
  H crop;
  const ir::ValueId x = crop.Input("x", DType::kF32, {crop.Symbol("n", 1, 8), 7, 10});
  EXPECT_EQ(crop.Shape(crop.Import("CenterCropPad", 18, {x, crop.Ints({4, 5})},
                                   H::Attrs(H::Attr("axes", std::vector<int64_t>{-2, 2})))),
            "[n,4,5]");
  EXPECT_EQ(Ops(crop.graph), "Slice");
  H pad;
  EXPECT_EQ(pad.Shape(pad.Import("CenterCropPad", 18,
                                 {pad.Input("x", DType::kU8, {3, 3}), pad.Ints({4, 3})})),
            "[4,3]");
  EXPECT_EQ(Ops(pad.graph), "Pad");
  H both;
  EXPECT_EQ(both.Shape(both.Import("CenterCropPad", 18,
                                   {both.Input("x", DType::kF32, {3, 3}), both.Ints({4, 2})})),
            "[4,2]");
  EXPECT_EQ(Ops(both.graph), "Slice Pad");
  H none;
  EXPECT_EQ(none.Shape(none.Import("CenterCropPad", 18,
                                   {none.Input("x", DType::kF32, {3, 3}), none.Ints({3, 3})})),
            "[3,3]");
}

TEST(CenterCropPadDef, KeepsBothWhereOnlyTheRunTells) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 2});
  EXPECT_EQ(h.Shape(h.Import("CenterCropPad", 18, {x, h.Ints({4, 2})})), "[4,2]");
  EXPECT_EQ(Ops(h.graph), "Slice Pad Reshape");
}

TEST(CenterCropPadDef, RefusesWhatDoesNotFit) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {3, 3});
  const auto code = [&](ir::ValueId shape, std::vector<int64_t> axes) {
    return h.TryImport("CenterCropPad", 18, {x, shape}, H::Attrs(H::Attr("axes", std::move(axes))))
        .status()
        .code();
  };
  EXPECT_EQ(code(h.Ints({3}), {0, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Ints({3, 3}), {0, -2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Ints({3}), {2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Ints({-3}), {1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Input("s", DType::kI64, {1}), {1}), StatusCode::kUnimplemented);
}

ir::ValueId Bools(H& h, std::initializer_list<bool> values) {
  return h.graph.AddConstant(h.graph.FreshName("bools"),
                             Tensor::Of<bool>(Shape{static_cast<int64_t>(values.size())}, values));
}

TEST(CompressDef, PicksWhereAKnownConditionHolds) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 3});
  const auto axis = [](int64_t a) { return H::Attrs(H::Attr("axis", a)); };
  for (const int opset : {9, 11}) {
    EXPECT_EQ(h.Shape(h.Import("Compress", opset, {x, Bools(h, {true, false, true})}, axis(1))),
              "[n,2]");
  }
  EXPECT_EQ(h.Shape(h.Import("Compress", 11, {x, Bools(h, {false, true})}, axis(-2))), "[1,3]");
  EXPECT_EQ(h.Shape(h.Import("Compress", 11, {x, Bools(h, {true, false, true, true})})), "[3]");
  EXPECT_EQ(h.Shape(h.Import("Compress", 11, {x, Bools(h, {false})})), "[0]");
}

TEST(CompressDef, TakesAConditionThatOnlyARunTells) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {3, 2});
  const auto code = [&](ir::ValueId condition) {
    return h.TryImport("Compress", 11, {x, condition}, H::Attrs(H::Attr("axis", 1)))
        .status()
        .code();
  };
  EXPECT_EQ(code(h.Input("c", DType::kBool, {2})), StatusCode::kOk);
  EXPECT_EQ(code(h.Ints({1, 0})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Bools(h, {true, true, false})), StatusCode::kOk);
  EXPECT_EQ(code(Bools(h, {true, true, true})), StatusCode::kInvalidArgument);
}

TEST(ReverseSequenceDef, KeepsTheShape) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8);
  const ir::ValueId x = h.Input("x", DType::kI16, {n, 5, 2});
  const ir::ValueId lengths = h.Input("lengths", DType::kI64, {n});
  const auto axes = [](int64_t batch, int64_t time) {
    return H::Attrs(H::Attr("batch_axis", batch), H::Attr("time_axis", time));
  };
  EXPECT_EQ(h.Shape(h.Import("ReverseSequence", 10, {x, lengths}, axes(0, 1))), "[n,5,2]");
  const auto code = [&](std::vector<ir::ValueId> in, std::vector<onnx::Attribute> attrs) {
    return h.TryImport("ReverseSequence", 10, std::move(in), std::move(attrs)).status().code();
  };
  EXPECT_EQ(code({x, lengths}, axes(1, 1)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, lengths}, axes(-1, 2)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, h.Input("four", DType::kI64, {4})}, axes(1, 0)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, h.Input("i32", DType::kI32, {n})}, axes(0, 1)), StatusCode::kInvalidArgument);
}

KernelCall Reverse(const Tensor& x, std::vector<int64_t> lengths, int64_t time) {
  const Shape count = {static_cast<int64_t>(lengths.size())};
  return {.op = "ReverseSequence",
          .attrs = {{"time_axis", time}},
          .inputs = {x, Tensor::Of<int64_t>(count, lengths)},
          .outputs = {{x.dtype(), x.shape()}}};
}

TEST(ReverseSequence, TurnsTheFirstElementsInEveryType) {
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kU8, DType::kI16,
        DType::kU16, DType::kI32, DType::kU32, DType::kI64, DType::kU64, DType::kBool}) {
    TensorView view;
    const Tensor x = Tensor::Allocate(dtype, {3, 4}, &view).value();
    for (int64_t i = 0; i < 12; ++i) StoreDouble(view, i, static_cast<double>(i));
    const auto by_batch = RunKernel("reverse_sequence_ref.1", Reverse(x, {0, 4, 3}, 1));
    const auto by_time = RunKernel("reverse_sequence_ref.1", Reverse(x, {1, 2, 3, 0}, 0));
    ASSERT_TRUE(by_batch.ok() && by_time.ok());
    const int64_t batch[12] = {0, 1, 2, 3, 7, 6, 5, 4, 10, 9, 8, 11};
    const int64_t time[12] = {0, 5, 10, 3, 4, 1, 6, 7, 8, 9, 2, 11};
    for (int64_t i = 0; i < 12; ++i) {
      EXPECT_EQ(DoubleAt((*by_batch)[0].view(), i), DoubleAt(x.view(), batch[i])) << i;
      EXPECT_EQ(DoubleAt((*by_time)[0].view(), i), DoubleAt(x.view(), time[i])) << i;
    }
  }
}

TEST(ReverseSequence, RefusesLengthsOutOfRange) {
  const Tensor x = Tensor::Of<float>({2, 1}, {1, 2});
  for (const int64_t bad : {int64_t{-1}, int64_t{2}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(RunKernel("reverse_sequence_ref.1", Reverse(x, {1, bad}, 1)).status().code(),
              StatusCode::kOutOfRange);
  }
  EXPECT_EQ(RunKernel("reverse_sequence_ref.1", Reverse(x, {1}, 1)).status().code(),
            StatusCode::kInvalidArgument);
  const Tensor none = Tensor::Of<float>({0, 3}, {});
  EXPECT_TRUE(RunKernel("reverse_sequence_ref.1", Reverse(none, {}, 1)).ok());
  EXPECT_TRUE(RunKernel("reverse_sequence_ref.1", Reverse(none, {0, 0, 0}, 0)).ok());
}

TEST(BitCastDef, KeepsTheWidth) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 2});
  const auto to = [](DType type) { return H::Attrs(H::Attr("to", static_cast<int64_t>(type))); };
  const ir::ValueId bits = h.Import("BitCast", 26, {x}, to(DType::kU32));
  EXPECT_EQ(h.Shape(bits), "[n,2]");
  EXPECT_EQ(h.graph.value(bits).info.dtype, DType::kU32);
  const auto code = [&](ir::ValueId in, int64_t number) {
    return h.TryImport("BitCast", 26, {in}, H::Attrs(H::Attr("to", number))).status().code();
  };
  EXPECT_EQ(code(x, static_cast<int64_t>(DType::kF32)), StatusCode::kOk);
  EXPECT_EQ(code(x, static_cast<int64_t>(DType::kI64)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, 17), StatusCode::kInvalidArgument);  // an 8-bit float
  EXPECT_EQ(code(x, 14), StatusCode::kUnimplemented);    // a complex number
  const ir::ValueId nibbles = h.Input("nibbles", DType::kI4, {3});
  EXPECT_EQ(code(nibbles, static_cast<int64_t>(DType::kF4E2M1)), StatusCode::kOk);
  EXPECT_EQ(code(nibbles, static_cast<int64_t>(DType::kU8)), StatusCode::kInvalidArgument);
  const ir::ValueId eighths = h.Input("eighths", DType::kF8E5M2, {3});
  EXPECT_EQ(code(eighths, static_cast<int64_t>(DType::kU8)), StatusCode::kOk);
  EXPECT_EQ(code(eighths, static_cast<int64_t>(DType::kBool)), StatusCode::kOk);
  EXPECT_EQ(code(x, int64_t{1} << 40), StatusCode::kUnimplemented);
  EXPECT_EQ(h.TryImport("BitCast", 26, {x}).status().code(), StatusCode::kInvalidArgument);
  const ir::ValueId flag =
      h.Import("BitCast", 26, {h.Input("bytes", DType::kU8, {2})}, to(DType::kBool));
  EXPECT_EQ(h.graph.node(h.graph.value(flag).producer).op, "Cast");
}

TEST(BitCast, CopiesTheBytes) {
  const std::pair<DType, DType> pairs[] = {{DType::kF32, DType::kI32},  {DType::kI64, DType::kF64},
                                           {DType::kF16, DType::kBF16}, {DType::kU16, DType::kI16},
                                           {DType::kBool, DType::kU8},  {DType::kU32, DType::kF32}};
  for (const auto& [from, to] : pairs) {
    for (const int64_t count : {0, 1, 7}) {
      TensorView view;
      const Tensor x = Tensor::Allocate(from, {count}, &view).value();
      for (int64_t i = 0; i < count; ++i) StoreDouble(view, i, static_cast<double>(i) * 3);
      const KernelCall call = {.op = "BitCast", .inputs = {x}, .outputs = {{to, {count}}}};
      const auto got = RunKernel("bit_cast_ref.1", call);
      ASSERT_TRUE(got.ok()) << got.status().ToString();
      EXPECT_TRUE(std::ranges::equal((*got)[0].bytes(), x.bytes()));
    }
  }
  for (const auto& [from, to] : {std::pair{DType::kF32, DType::kI64}, {DType::kU8, DType::kBool}}) {
    const KernelCall call = {
        .op = "BitCast", .inputs = {Tensor::Of<float>({1}, {1})}, .outputs = {{to, {1}}}};
    KernelCall typed = call;
    TensorView view;
    typed.inputs = {Tensor::Allocate(from, {1}, &view).value()};
    EXPECT_EQ(RunKernel("bit_cast_ref.1", typed).status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace fusee::ops
