// MaxUnpool as other operators, and which readings of output_shape it takes.
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

std::vector<onnx::Attribute> Window(std::vector<int64_t> pads = {0, 0, 0, 0}) {
  return H::Attrs(H::Attr("kernel_shape", std::vector<int64_t>{2, 2}),
                  H::Attr("strides", std::vector<int64_t>{2, 2}), H::Attr("pads", std::move(pads)));
}

TEST(MaxUnpoolDef, InvertsTheWindow) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8), w = h.Symbol("w", 2, 9);
  const ir::ValueId x = h.Input("x", DType::kF32, {n, 3, 2, w});
  const ir::ValueId indices = h.Input("indices", DType::kI64, {n, 3, 2, w});
  for (const int opset : {9, 11, 22}) {
    EXPECT_EQ(h.Shape(h.Import("MaxUnpool", opset, {x, indices}, Window())), "[n,3,4,2*w]");
  }
  EXPECT_EQ(h.Shape(h.Import("MaxUnpool", 11, {x, indices}, Window({1, 0, 0, 1}))),
            "[n,3,3,2*w - 1]");
  const ir::ValueId line = h.Input("line", DType::kF16, {1, 1, 5});
  const ir::ValueId places = h.Input("places", DType::kI64, {1, 1, 5});
  EXPECT_EQ(h.Shape(h.Import("MaxUnpool", 11, {line, places},
                             H::Attrs(H::Attr("kernel_shape", std::vector<int64_t>{3})))),
            "[1,1,7]");
}

TEST(MaxUnpoolDef, TakesAnotherShapeOnlyFromTheMaxPoolThatHadIt) {
  H h;
  const ir::ValueId image = h.Input("image", DType::kF32, {1, 1, 5, 5});
  const auto pooled = h.TryImport("MaxPool", 12, {image}, Window(), 2);
  ASSERT_TRUE(pooled.ok()) << pooled.status().ToString();
  const ir::ValueId x = (*pooled)[0], indices = (*pooled)[1];
  const auto code = [&](ir::ValueId positions, std::vector<int64_t> shape) {
    return h.TryImport("MaxUnpool", 11, {x, positions, h.Ints(std::move(shape))}, Window())
        .status()
        .code();
  };
  EXPECT_EQ(code(indices, {1, 1, 5, 5}), StatusCode::kOk);
  EXPECT_EQ(code(indices, {1, 1, 4, 5}), StatusCode::kUnimplemented);
  const ir::ValueId others = h.Input("others", DType::kI64, {1, 1, 2, 2});
  EXPECT_EQ(code(others, {1, 1, 4, 4}), StatusCode::kOk);
  EXPECT_EQ(code(others, {1, 1, 5, 5}), StatusCode::kUnimplemented);
  EXPECT_EQ(code(others, {5, 5}), StatusCode::kInvalidArgument);
}

TEST(MaxUnpoolDef, RefusesWhatDoesNotFit) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {1, 1, 2, 2});
  const ir::ValueId indices = h.Input("indices", DType::kI64, {1, 1, 2, 2});
  const auto code = [&](std::vector<ir::ValueId> in, std::vector<onnx::Attribute> attrs) {
    return h.TryImport("MaxUnpool", 11, std::move(in), std::move(attrs)).status().code();
  };
  EXPECT_EQ(code({x, indices}, Window()), StatusCode::kOk);
  EXPECT_EQ(code({x}, Window()), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, indices}, {}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, indices}, Window({2, 2, 2, 2})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, h.Input("i32", DType::kI32, {1, 1, 2, 2})}, Window()),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, h.Input("few", DType::kI64, {1, 1, 2, 1})}, Window()),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({h.Input("bytes", DType::kU8, {1, 1, 2, 2}), indices}, Window()),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::ops
