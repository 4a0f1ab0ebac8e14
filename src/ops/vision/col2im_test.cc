// Col2Im: inference, import rules, and the kernel against scattering written out here.
#include "ops/movement/import_test_util.h"
#include "ops/vision/vision_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

TEST(Col2ImDef, HasTheImagesSizes) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8);
  const ir::ValueId x = h.Input("x", DType::kF32, {n, 12, 9});
  EXPECT_EQ(h.Shape(h.Import("Col2Im", 18, {x, h.Ints({4, 4}), h.Ints({2, 2})})), "[n,3,4,4]");
  const ir::ValueId line = h.Input("line", DType::kF32, {n, 6, 4});
  EXPECT_EQ(h.Shape(h.Import("Col2Im", 18, {line, h.Ints({7}), h.Ints({3})},
                             H::Attrs(H::Attr("strides", std::vector<int64_t>{2}),
                                      H::Attr("pads", std::vector<int64_t>{1, 1})))),
            "[n,2,7]");
}

TEST(Col2ImDef, RefusesWhatDoesNotFit) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {1, 12, 9});
  const auto code = [&](ir::ValueId data, std::vector<int64_t> image, std::vector<int64_t> block) {
    return h.TryImport("Col2Im", 18, {data, h.Ints(std::move(image)), h.Ints(std::move(block))})
        .status()
        .code();
  };
  EXPECT_EQ(code(x, {4, 4}, {2, 2}), StatusCode::kOk);
  EXPECT_EQ(code(x, {4, 5}, {2, 2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {4, 4}, {5, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {4, 4}, {1, 8}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {4, 4}, {2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {0, 4}, {2, 2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {-4, 4}, {2, 2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {2, 2, 2, 2}, {1, 1, 1, 1}), StatusCode::kUnimplemented);
  EXPECT_EQ(code(h.Input("b", DType::kBool, {1, 12, 9}), {4, 4}, {2, 2}),
            StatusCode::kUnimplemented);
  EXPECT_EQ(h.TryImport("Col2Im", 18, {x, h.Input("s", DType::kI64, {2}), h.Ints({2, 2})})
                .status()
                .code(),
            StatusCode::kUnimplemented);
}

TEST(Col2Im, AddsUpOverlapsInEveryType) {
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kU8, DType::kI16,
        DType::kU16, DType::kI32, DType::kU32, DType::kI64, DType::kU64}) {
    const auto got = RunOnce({.op = "Col2Im",
                              .attrs = {{"kernel_shape", std::vector<int64_t>{2}}},
                              .inputs = {Numbers(dtype, {1, 2, 3}, {1, 2, 3, 4, 5, 6})},
                              .outputs = {{dtype, {1, 1, 4}}},
                              .dims = {4}});
    EXPECT_EQ(got, (std::vector<double>{1, 6, 8, 6})) << DTypeName(dtype);
  }
  // 100 + 100 in an i8 wraps.
  EXPECT_EQ(RunOnce({.op = "Col2Im",
                     .attrs = {{"kernel_shape", std::vector<int64_t>{2}}},
                     .inputs = {Numbers(DType::kI8, {1, 2, 2}, {0, 100, 100, 0})},
                     .outputs = {{DType::kI8, {1, 1, 3}}},
                     .dims = {3}}),
            (std::vector<double>{0, -56, 0}));
}

struct Blocks {
  int64_t kernel, stride, dilation, begin, end;
};

TEST(Col2Im, ScattersEachBlockOnItsPlace) {
  const Blocks cases[] = {
      {1, 1, 1, 0, 0}, {2, 1, 1, 0, 0}, {3, 2, 1, 1, 1}, {2, 1, 3, 0, 2}, {3, 4, 2, 2, 0}};
  for (const Blocks& rows : cases) {
    for (const Blocks& columns : cases) {
      const int64_t height = 7, width = 6, planes = 4;
      const auto places = [](const Blocks& b, int64_t size) {
        return (size + b.begin + b.end - (b.kernel - 1) * b.dilation - 1) / b.stride + 1;
      };
      const int64_t down = places(rows, height), across = places(columns, width);
      const int64_t block = rows.kernel * columns.kernel;
      std::vector<double> data(static_cast<size_t>(planes * block * down * across));
      for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<double>(i % 97) - 40;
      std::vector<double> want(static_cast<size_t>(planes * height * width));
      size_t next = 0;
      for (int64_t p = 0; p < planes; ++p) {
        for (int64_t k = 0; k < block; ++k) {
          for (int64_t place = 0; place < down * across; ++place, ++next) {
            const int64_t y =
                place / across * rows.stride - rows.begin + k / columns.kernel * rows.dilation;
            const int64_t x = place % across * columns.stride - columns.begin +
                              k % columns.kernel * columns.dilation;
            if (y < 0 || y >= height || x < 0 || x >= width) continue;
            want[static_cast<size_t>((p * height + y) * width + x)] += data[next];
          }
        }
      }
      const Attrs attrs = {
          {"kernel_shape", std::vector<int64_t>{rows.kernel, columns.kernel}},
          {"strides", std::vector<int64_t>{rows.stride, columns.stride}},
          {"dilations", std::vector<int64_t>{rows.dilation, columns.dilation}},
          {"pads", std::vector<int64_t>{rows.begin, columns.begin, rows.end, columns.end}}};
      EXPECT_EQ(RunOnce({.op = "Col2Im",
                         .attrs = attrs,
                         .inputs = {Numbers(DType::kF32, {2, 2 * block, down * across}, data)},
                         .outputs = {{DType::kF32, {2, 2, height, width}}},
                         .dims = {height, width}}),
                want);
    }
  }
}

TEST(Col2Im, RefusesShapesThatDoNotFit) {
  KernelCall call = {.op = "Col2Im",
                     .attrs = {{"kernel_shape", std::vector<int64_t>{2}}},
                     .inputs = {Numbers(DType::kF32, {1, 2, 3}, {1, 2, 3, 4, 5, 6})},
                     .outputs = {{DType::kF32, {1, 1, 4}}},
                     .dims = {4}};
  EXPECT_EQ(RunCode(call), StatusCode::kOk);
  call.dims = {5};
  EXPECT_EQ(RunCode(call), StatusCode::kInvalidArgument);
  call.outputs = {{DType::kF32, {1, 1, 5}}};
  EXPECT_EQ(RunCode(call), StatusCode::kInvalidArgument);
  call.dims = {1};
  call.outputs = {{DType::kF32, {1, 1, 1}}};
  EXPECT_EQ(RunCode(call), StatusCode::kInvalidArgument);
  KernelCall odd = {.op = "Col2Im",
                    .attrs = {{"kernel_shape", std::vector<int64_t>{2}}},
                    .inputs = {Numbers(DType::kF32, {1, 3, 1}, {1, 2, 3})},
                    .outputs = {{DType::kF32, {1, 1, 2}}},
                    .dims = {2}};
  EXPECT_EQ(RunCode(odd), StatusCode::kInvalidArgument);
  KernelCall none = {.op = "Col2Im",
                     .attrs = {{"kernel_shape", std::vector<int64_t>{2}}},
                     .inputs = {Numbers(DType::kF32, {0, 2, 3}, {})},
                     .outputs = {{DType::kF32, {0, 1, 4}}},
                     .dims = {4}};
  EXPECT_EQ(RunCode(none), StatusCode::kOk);
}

}  // namespace
}  // namespace fusee::ops
