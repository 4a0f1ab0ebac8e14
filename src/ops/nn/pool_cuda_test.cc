// Pools of a device under test (FUSEE_TEST_DEVICE) against the CPU's reference: every type and both
// layouts, channels around the edges of packs, planes around those of warps and blocks.
#include <algorithm>

#include "ops/device_test_util.h"
#include "ops/nn/test_support.h"
#include "ops/nn/window.h"

namespace fusee::ops {
namespace {

using Ints = std::vector<int64_t>;

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

double DeviceRtol(DType dtype) {
  if (dtype == DType::kF16) return 0x1p-10;
  return dtype == DType::kBF16 ? 0x1p-7 : 1e-4;
}
constexpr double kDeviceAtol = 1e-6;  // sums that cancel

KernelCall PoolCall(std::string_view op, const Shape& x, DType dtype, Attrs attrs) {
  auto parsed = ParseWindow(attrs, x.rank() - 2);
  FUSEE_CHECK(parsed.ok(), "a test's window is wrong");
  Window window;
  FUSEE_CHECK(ResolveWindow(*parsed, x, &window).ok(), "a test's window does not fit");
  Shape y = x;
  const int first = parsed->channels_last ? 1 : 2;
  for (int i = 0; i < parsed->spatial; ++i)
    y[first + i] = window.out[static_cast<size_t>(kMaxSpatial - parsed->spatial + i)];
  return {op, std::move(attrs), {RandomTensor(dtype, x, 1)}, {{dtype, y}}};
}

void ExpectDeviceAgrees(const KernelCall& call) {
  SCOPED_TRACE(::testing::Message() << call.op << " of " << DTypeName(call.inputs[0].dtype())
                                    << call.inputs[0].shape().ToString());
  const bool max = call.op.ends_with("MaxPool");
  const auto ran =
      CompareTactics(call, max ? 0 : DeviceRtol(call.outputs[0].first), max ? 0 : kDeviceAtol);
  ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kTestSeed << ")";
  for (const KernelDef* kernel : TestDevice()->kernels->For(call.op))
    EXPECT_EQ(std::ranges::count(*ran, kernel->id), 1) << kernel->id << " did not run";
}

const Attrs kWindows[] = {
    {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}},
    {{"kernel_shape", Ints{2, 3}}, {"dilations", Ints{2, 1}}, {"ceil_mode", int64_t{1}}},
    {{"kernel_shape", Ints{1, 1}}},
    // Windows wholly in padding.
    {{"kernel_shape", Ints{2, 2}}, {"pads", Ints{3, 0, 0, 3}}},
    {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"auto_pad", "SAME_LOWER"}}};

TEST(PoolOnDevice, WindowsAgree) {
  FUSEE_NEEDS_DEVICE();
  for (const Attrs& window : kWindows) {
    for (DType dtype : kFloats) {
      for (int64_t channels : {1, 3, 4, 7, 8, 9, 16, 33, 64}) {
        for (const char* layout : {"NCHW", "NHWC"}) {
          const Shape x = layout[1] == 'C' ? Shape{2, channels, 9, 7} : Shape{2, 9, 7, channels};
          Attrs attrs = window;
          attrs.Set("layout", layout);
          ExpectDeviceAgrees(PoolCall("MaxPool", x, dtype, attrs));
          for (int64_t include : {0, 1}) {
            attrs.Set("count_include_pad", include);
            ExpectDeviceAgrees(PoolCall("AveragePool", x, dtype, attrs));
          }
          for (int64_t p : {1, 2, 3}) {
            attrs.Set("p", p);
            ExpectDeviceAgrees(PoolCall("LpPool", x, dtype, attrs));
          }
        }
      }
    }
  }
}

TEST(PoolOnDevice, OneAndThreeAxes) {
  FUSEE_NEEDS_DEVICE();
  for (const char* op : {"MaxPool", "AveragePool"}) {
    ExpectDeviceAgrees(PoolCall(op, Shape{1, 2, 300}, DType::kF16,
                                {{"kernel_shape", Ints{4}}, {"pads", Ints{2, 3}}}));
    ExpectDeviceAgrees(PoolCall(op, Shape{1, 2, 6, 7, 8}, DType::kF16,
                                {{"kernel_shape", Ints{2, 3, 3}},
                                 {"strides", Ints{2, 2, 2}},
                                 {"pads", Ints{0, 1, 1, 1, 1, 0}}}));
    ExpectDeviceAgrees(PoolCall(
        op, Shape{1, 6, 7, 8, 16}, DType::kF16,
        {{"kernel_shape", Ints{2, 3, 3}}, {"strides", Ints{2, 2, 2}}, {"layout", "NHWC"}}));
    ExpectDeviceAgrees(
        PoolCall(op, Shape{0, 8, 4, 4}, DType::kF16, {{"kernel_shape", Ints{2, 2}}}));
  }
}

TEST(PoolOnDevice, BytesAndIndices) {
  FUSEE_NEEDS_DEVICE();
  for (const Attrs& window : kWindows) {
    for (DType dtype : {DType::kI8, DType::kU8}) {
      for (int64_t channels : {15, 16, 17}) {
        Attrs attrs = window;
        attrs.Set("layout", "NHWC");
        ExpectDeviceAgrees(PoolCall("MaxPool", Shape{2, 9, 7, channels}, dtype, attrs));
      }
    }
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kU8}) {
      for (int64_t order : {0, 1}) {
        KernelCall call = PoolCall("MaxPool", Shape{2, 3, 9, 7}, dtype, window);
        call.attrs.Set("storage_order", order);
        call.outputs.push_back({DType::kI64, call.outputs[0].second});
        ExpectDeviceAgrees(call);
      }
    }
  }
}

TEST(PoolOnDevice, GlobalPoolsAgree) {
  FUSEE_NEEDS_DEVICE();
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool"}) {
    for (DType dtype : kFloats) {
      for (int64_t plane : {1, 7, 15, 16, 31, 32, 33, 49, 1024, 1025, 5000}) {
        for (int64_t channels : {1, 7, 8, 63, 64, 65, 264}) {
          if (plane * channels > 400000) continue;
          const KernelCall first{op,
                                 {},
                                 {RandomTensor(dtype, Shape{3, channels, plane}, 1)},
                                 {{dtype, Shape{3, channels, 1}}}};
          ExpectDeviceAgrees(first);
          const KernelCall last{op,
                                {{"layout", "NHWC"}},
                                {RandomTensor(dtype, Shape{3, plane, channels}, 1)},
                                {{dtype, Shape{3, 1, channels}}}};
          ExpectDeviceAgrees(last);
          ExpectBatchInvariant(last, 2);
        }
      }
    }
  }
}

}  // namespace
}  // namespace fusee::ops
