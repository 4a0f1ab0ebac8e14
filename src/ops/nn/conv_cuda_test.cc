// Conv of a device under test (FUSEE_TEST_DEVICE) against the CPU's reference: halves and float,
// both layouts, sizes around the edges of every tile, every configuration.
#include "ops/device_test_util.h"
#include "ops/nn/test_support.h"
#include "ops/nn/window.h"

namespace fusee::ops {
namespace {

using Ints = std::vector<int64_t>;

double RoundingOf(DType dtype) {
  if (dtype == DType::kF16) return 0x1p-10;
  return dtype == DType::kBF16 ? 0x1p-7 : 1e-4;
}
double SumErrorOf(int64_t depth) { return 0x1p-22 * static_cast<double>(depth) + 0x1p-20; }

struct Case {
  DType dtype = DType::kF16;
  int64_t batch = 1, height = 1, width = 1, channels = 8, out = 8;
  int64_t kernel = 1, stride = 1, dilation = 1, pad = 0, group = 1;
  bool bias = true, residual = false;
  const char* activation = "";
};

KernelCall CallOf(const Case& c) {
  Attrs attrs({{"kernel_shape", Ints{c.kernel, c.kernel}},
               {"strides", Ints{c.stride, c.stride}},
               {"dilations", Ints{c.dilation, c.dilation}},
               {"pads", Ints{c.pad, c.pad, c.pad, c.pad}},
               {"group", c.group},
               {"layout", std::string("NHWC")}});
  if (*c.activation != '\0') attrs.Set("activation", std::string(c.activation));
  if (std::string_view(c.activation) == "Clip") {
    attrs.Set("activation_alpha", 0.0);
    attrs.Set("activation_beta", 1.5);
  }
  const Shape x{c.batch, c.height, c.width, c.channels};
  const Shape w{c.out, c.kernel, c.kernel, c.channels / c.group};
  auto window_attrs = ParseWindow(attrs, 2);
  FUSEE_CHECK(window_attrs.ok(), "a test's attributes");
  Window window;
  FUSEE_CHECK(ResolveWindow(*window_attrs, x, &window).ok(), "a test's window does not fit");
  const Shape y{c.batch, window.out[1], window.out[2], c.out};
  KernelCall call{
      "Conv", attrs, {RandomTensor(c.dtype, x, 1), RandomTensor(c.dtype, w, 2)}, {{c.dtype, y}}};
  if (c.bias || c.residual)
    call.inputs.push_back(c.bias ? RandomTensor(c.dtype, Shape{c.out}, 3) : Tensor());
  if (c.residual) call.inputs.push_back(RandomTensor(c.dtype, y, 4));
  call.constant_inputs = 6;
  return call;
}

void ExpectAgrees(const Case& c, size_t tactics) {
  SCOPED_TRACE(::testing::Message()
               << DTypeName(c.dtype) << " [" << c.batch << "," << c.height << "," << c.width << ","
               << c.channels << "] to " << c.out << " kernel " << c.kernel << " stride " << c.stride
               << " dilation " << c.dilation << " pad " << c.pad << " group " << c.group << " "
               << c.activation);
  const int64_t depth = c.kernel * c.kernel * c.channels / c.group;
  ExpectTacticsAgree(CallOf(c), tactics, RoundingOf(c.dtype), SumErrorOf(depth));
}

// Tiles have 32 to 128 pixels and channels and 32 or 64 of depth; packs are 8 channels.
TEST(ConvOnDevice, PointwiseAgreesAroundTileEdges) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t pixels : {1, 31, 32, 33, 127, 128, 129}) {
    for (int64_t out : {1, 8, 31, 33, 64, 72, 129}) {
      for (int64_t channels : {1, 3, 8, 24, 32, 40, 64, 72}) {
        const DType dtype = (pixels + out + channels) % 2 == 0 ? DType::kF16 : DType::kBF16;
        ExpectAgrees({.dtype = dtype, .width = pixels, .channels = channels, .out = out}, 3);
      }
    }
  }
}

TEST(ConvOnDevice, WindowsAgree) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    const size_t tactics = dtype == DType::kF32 ? 2 : 3;
    ExpectAgrees({dtype, 2, 9, 11, 16, 24, 3, 1, 1, 1}, tactics);
    ExpectAgrees({dtype, 1, 17, 13, 3, 16, 7, 2, 1, 3}, tactics);
    ExpectAgrees({dtype, 3, 14, 14, 64, 64, 3, 2, 1, 1}, tactics);
    ExpectAgrees({dtype, 2, 12, 10, 8, 40, 3, 1, 2, 2}, tactics);
    ExpectAgrees({dtype, 1, 5, 5, 16, 8, 5, 1, 1, 4}, tactics);
    ExpectAgrees({dtype, 2, 7, 7, 16, 8, 1, 2, 1, 0}, tactics);
    ExpectAgrees({dtype, 0, 7, 7, 16, 8, 3, 1, 1, 1}, tactics);
    // Patches: rows of windows are contiguous, in pieces of 8 or not.
    ExpectAgrees({dtype, 2, 32, 48, 3, 72, 16, 16, 1, 0}, tactics);
    ExpectAgrees({dtype, 1, 33, 47, 3, 40, 8, 8, 1, 0}, tactics);
    ExpectAgrees({dtype, 1, 20, 24, 3, 8, 4, 4, 1, 0}, tactics);
    ExpectAgrees({dtype, 1, 9, 16, 4, 8, 3, 2, 1, 0}, tactics);
    ExpectAgrees({dtype, 1, 9, 10, 16, 8, 3, 1, 1, 0}, tactics);
  }
}

TEST(ConvOnDevice, GroupsAndDepthwiseAgree) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    for (int64_t stride : {1, 2}) {
      ExpectAgrees({dtype, 2, 9, 7, 32, 32, 3, stride, 1, 1, 32, true, false, "Clip"}, 2);
      ExpectAgrees({dtype, 1, 9, 7, 12, 12, 3, stride, 1, 1, 12}, 2);
      ExpectAgrees({dtype, 2, 6, 6, 12, 24, 3, stride, 1, 1, 3}, 2);
      ExpectAgrees({dtype, 1, 6, 6, 16, 32, 5, stride, 1, 2, 16}, 2);
    }
  }
}

TEST(ConvOnDevice, BiasResidualAndActivationsAgree) {
  FUSEE_NEEDS_DEVICE();
  for (const char* activation : {"", "Relu", "Clip", "Sigmoid", "HardSwish", "Gelu", "Silu"}) {
    for (bool bias : {false, true}) {
      for (bool residual : {false, true}) {
        for (int64_t out : {40, 37}) {
          ExpectAgrees({.dtype = DType::kF16,
                        .batch = 2,
                        .height = 5,
                        .width = 9,
                        .channels = 24,
                        .out = out,
                        .kernel = 3,
                        .pad = 1,
                        .bias = bias,
                        .residual = residual,
                        .activation = activation},
                       3);
        }
      }
    }
  }
}

TEST(ConvOnDevice, BatchDoesNotMatter) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF16, DType::kF32}) {
    const KernelCall call = CallOf({dtype, 5, 14, 14, 32, 72, 3, 1, 1, 1});
    for (int64_t image : {0, 2, 4}) ExpectBatchInvariant(call, image);
  }
}

TEST(ConvOnDevice, EveryConfigurationAgrees) {
  FUSEE_NEEDS_DEVICE();
  constexpr size_t kConfigurationsMax = 64;
  const Case cases[] = {
      {DType::kF16, 1, 14, 14, 64, 128, 3, 1, 1, 1, 1, true, false, "Relu"},
      {DType::kF16, 2, 7, 7, 256, 64, 1, 1, 1, 0, 1, true, true, "Relu"},
      {DType::kBF16, 1, 28, 28, 3, 64, 7, 2, 1, 3, 1, true, false, "Relu"},
      {DType::kF16, 1, 14, 14, 64, 64, 3, 2, 1, 1, 1, false, false, ""},
      {DType::kF32, 1, 14, 14, 32, 64, 3, 1, 1, 1, 1, true, false, "Relu"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(::testing::Message() << DTypeName(c.dtype) << " " << c.channels << " to " << c.out
                                      << " kernel " << c.kernel);
    const int64_t depth = c.kernel * c.kernel * c.channels;
    const auto ran = CompareConfigurations(CallOf(c), 2 * RoundingOf(c.dtype),
                                           2 * SumErrorOf(depth), kConfigurationsMax);
    ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kTestSeed << ")";
    for (const std::string& one : *ran) RecordProperty("ran", one);
  }
}

TEST(ConvOnDevice, EveryTf32ConfigurationAgrees) {
  FUSEE_NEEDS_DEVICE();
  constexpr size_t kConfigurationsMax = 64;
  constexpr double kTolerance = 0x1p-8 * 17;  // 17 is the square root of the depth
  for (int64_t kernel : {3, 1}) {
    SCOPED_TRACE(kernel);
    KernelCall call =
        CallOf({DType::kF32, 1, 14, 14, 32, 64, kernel, 1, 1, kernel / 2, 1, true, false, "Relu"});
    call.attrs.Set("math", "tf32");
    const auto ran = CompareConfigurations(call, 0x1p-9, kTolerance, kConfigurationsMax);
    ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kTestSeed << ")";
    for (const std::string& one : *ran) RecordProperty("ran", one);
    const auto uses_tf32 = [](const std::string& one) { return one.find(": tf32") != one.npos; };
    if (kernel == 1 && TestsLibraries()) {  // cuDNN's plans do not tell
      EXPECT_TRUE(std::ranges::any_of(*ran, uses_tf32));
    }
  }
}

}  // namespace
}  // namespace fusee::ops
