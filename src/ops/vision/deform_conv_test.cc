// DeformConv: inference, import rules, and the kernel against Conv and on cases worked out by hand.
#include <cmath>
#include <limits>

#include "ops/movement/import_test_util.h"
#include "ops/vision/vision_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

TEST(DeformConvDef, HasTheWindowsPlaces) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8);
  const ir::ValueId x = h.Input("x", DType::kF32, {n, 4, 9, 8});
  const ir::ValueId w = h.Input("w", DType::kF32, {6, 2, 3, 2});
  const ir::ValueId offset = h.Input("offset", DType::kF32, {n, 24, 4, 8});
  const ir::ValueId mask = h.Input("mask", DType::kF32, {n, 12, 4, 8});
  const ir::ValueId bias = h.Input("bias", DType::kF32, {6});
  const auto attrs = [] {
    return H::Attrs(H::Attr("group", 2), H::Attr("offset_group", 2),
                    H::Attr("strides", std::vector<int64_t>{2, 1}),
                    H::Attr("pads", std::vector<int64_t>{0, 0, 0, 1}));
  };
  for (const int opset : {19, 22}) {
    EXPECT_EQ(h.Shape(h.Import("DeformConv", opset, {x, w, offset}, attrs())), "[n,6,4,8]");
    EXPECT_EQ(h.Shape(h.Import("DeformConv", opset, {x, w, offset, bias, mask}, attrs())),
              "[n,6,4,8]");
    EXPECT_EQ(h.Shape(h.Import("DeformConv", opset, {x, w, offset, ir::ValueId(), mask}, attrs())),
              "[n,6,4,8]");
  }
}

TEST(DeformConvDef, RefusesWhatDoesNotFit) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {1, 4, 5, 5});
  const ir::ValueId w = h.Input("w", DType::kF32, {6, 4, 2, 2});
  const ir::ValueId offset = h.Input("offset", DType::kF32, {1, 8, 4, 4});
  const auto code = [&](std::vector<ir::ValueId> in, std::vector<onnx::Attribute> attrs = {}) {
    return h.TryImport("DeformConv", 22, std::move(in), std::move(attrs)).status().code();
  };
  const auto f32 = [&](ir::SymShape shape) {
    return h.Input(h.graph.FreshName("in"), DType::kF32, std::move(shape));
  };
  EXPECT_EQ(code({x, w, offset}), StatusCode::kOk);
  EXPECT_EQ(code({x, w}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, f32({1, 8, 4, 3})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, f32({1, 4, 4, 4})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, h.Input("f16", DType::kF16, {1, 8, 4, 4})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, offset, f32({5})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, offset, ir::ValueId(), f32({1, 8, 4, 4})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, offset}, H::Attrs(H::Attr("group", 2))), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, offset}, H::Attrs(H::Attr("offset_group", 3))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, offset}, H::Attrs(H::Attr("offset_group", 0))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, w, offset}, H::Attrs(H::Attr("kernel_shape", std::vector<int64_t>{2, 3}))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({f32({1, 1, 2, 2, 2, 2}), f32({1, 1, 1, 1, 1, 1}), offset}),
            StatusCode::kUnimplemented);
}

// A 1-D x of four elements under a kernel of one tap, moved by the given offset.
double TapAt(double offset, DType dtype = DType::kF32) {
  return RunOnce(
      {.op = "DeformConv",
       .attrs = {{"kernel_shape", std::vector<int64_t>{1}}, {"strides", std::vector<int64_t>{4}}},
       .inputs = {Numbers(dtype, {1, 1, 4}, {10, 20, 30, 40}), Numbers(dtype, {1, 1, 1}, {2}),
                  Numbers(dtype, {1, 1, 1}, {offset})},
       .outputs = {{dtype, {1, 1, 1}}}})[0];
}

TEST(DeformConv, InterpolatesInEveryType) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    EXPECT_EQ(TapAt(1.5, dtype), 50) << DTypeName(dtype);
  }
  EXPECT_EQ(TapAt(-0.5), 10);  // half of it is outside
  EXPECT_EQ(TapAt(3.75), 20);
  EXPECT_EQ(TapAt(3), 80);
}

TEST(DeformConv, StaysInsideWhateverTheOffsetIs) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const double offset : {inf, -inf, std::nan(""), 3e38, -3e38, -1.0, 4.0}) {
    EXPECT_EQ(TapAt(offset), 0) << offset;
  }
}

Tensor Random(const Shape& shape, uint64_t stream) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(DType::kF64, shape, &view).value();
  FillRandom(view, Fill::kUniform, 7, stream);
  return tensor;
}

TEST(DeformConv, IsConvWithoutOffsets) {
  const Attrs window = {{"kernel_shape", std::vector<int64_t>{3, 2}},
                        {"strides", std::vector<int64_t>{2, 1}},
                        {"dilations", std::vector<int64_t>{1, 2}},
                        {"pads", std::vector<int64_t>{1, 0, 1, 2}},
                        {"group", int64_t{2}}};
  const Tensor x = Random({2, 4, 7, 5}, 1), w = Random({6, 2, 3, 2}, 2), b = Random({6}, 3);
  const std::pair<DType, Shape> out = {DType::kF64, {2, 6, 4, 5}};
  Attrs deform = window;
  deform.Set("offset_group", int64_t{2});
  const auto want = RunOnce({.op = "Conv", .attrs = window, .inputs = {x, w, b}, .outputs = {out}});
  const std::vector<double> zeros(2 * 24 * 4 * 5, 0.0), halves(2 * 12 * 4 * 5, 0.5);
  const auto got = RunOnce({.op = "DeformConv",
                            .attrs = deform,
                            .inputs = {x, w, Numbers(DType::kF64, {2, 24, 4, 5}, zeros), b},
                            .outputs = {out}});
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-12) << i;
  // A mask of halves halves all but the bias.
  const auto masked = RunOnce({.op = "DeformConv",
                               .attrs = deform,
                               .inputs = {x, w, Numbers(DType::kF64, {2, 24, 4, 5}, zeros), b,
                                          Numbers(DType::kF64, {2, 12, 4, 5}, halves)},
                               .outputs = {out}});
  for (size_t i = 0; i < got.size(); ++i) {
    const double bias = DoubleAt(b.view(), static_cast<int64_t>(i / 20 % 6));
    EXPECT_NEAR(masked[i], (want[i] - bias) / 2 + bias, 1e-12) << i;
  }
}

TEST(DeformConv, RefusesShapesThatDoNotFit) {
  KernelCall call = {.op = "DeformConv",
                     .attrs = {{"kernel_shape", std::vector<int64_t>{1}}},
                     .inputs = {Random({1, 2, 3}, 1), Random({1, 2, 1}, 2), Random({1, 1, 3}, 3)},
                     .outputs = {{DType::kF64, {1, 1, 3}}}};
  EXPECT_EQ(RunCode(call), StatusCode::kOk);
  KernelCall wrong = call;
  wrong.inputs[2] = Random({1, 1, 2}, 3);
  EXPECT_EQ(RunCode(wrong), StatusCode::kInvalidArgument);
  wrong = call;
  wrong.inputs[1] = Random({1, 1, 1}, 3);
  EXPECT_EQ(RunCode(wrong), StatusCode::kInvalidArgument);
  wrong = call;
  wrong.attrs.Set("group", int64_t{2});
  EXPECT_EQ(RunCode(wrong), StatusCode::kInvalidArgument);
  wrong = call;
  wrong.inputs.push_back(Random({2}, 3));
  EXPECT_EQ(RunCode(wrong), StatusCode::kInvalidArgument);
  wrong = call;
  wrong.inputs = {Random({0, 2, 3}, 1), Random({1, 2, 1}, 2), Random({0, 1, 3}, 3)};
  wrong.outputs = {{DType::kF64, {0, 1, 3}}};
  EXPECT_EQ(RunCode(wrong), StatusCode::kOk);
}

}  // namespace
}  // namespace fusee::ops
