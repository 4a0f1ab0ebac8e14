// Fast f32 convolution in NCHW: per group, weights [O/G, K] times the im2col matrix [K, pixels],
// which is never stored whole: a task packs the piece it is about to use into panels. K = (C/G) *
// kernel elements.
//
// Every result is one chain of multiply-adds over k ascending (padding adds products with 0),
// whatever the blocking, the number of threads and the image's place in the batch.
#include <algorithm>

#include "base/checked_math.h"
#include "ops/nn/conv.h"
#include "ops/nn/conv_pack.h"
#include "ops/nn/gemm_block.h"

namespace fusee::ops {

namespace {

constexpr int64_t kPixelBlock =
    128;  // x kDepthBlock floats: 128 KiB of packed input, half of a small L2
constexpr int64_t kMinChannelBlock = 64;
constexpr int64_t kMaxLanes = 64;  // tasks at once; each has its own packing buffer

// How the work of one run is cut.
struct Blocks {
  ConvShape shape;
  Window window;  // of the packing; a pointwise convolution sees each plane as one row
  int64_t k = 0, pixels = 0;
  int64_t pixel_blocks = 0, channel_block = 0, channel_blocks = 0;
  int64_t units() const { return shape.batch * channel_blocks * pixel_blocks * groups; }
  int64_t groups = 1;
};

bool Pointwise(const Window& w) {
  bool plain = w.KernelElements() == 1;
  for (size_t a = 0; a < kMaxSpatial; ++a) {
    plain = plain && w.stride[a] == 1 && w.pad_begin[a] == 0 && w.pad_end[a] == 0;
  }
  return plain;
}

class ConvBlocked final : public BoundKernel {
 public:
  ConvBlocked(const GemmTile& tile, ConvParams params) : tile_(tile), params_(params) {}

  size_t workspace_bytes() const override { return workspace_bytes_; }

  // Sizes the workspace for the profile's maximum.
  Status SizeWorkspace(const Shape& x, const Shape& w) {
    ConvShape s;
    FUSEE_TRY(ConvGeometry(params_, x, w, &s));
    slice_floats_ = SliceFloats(s);
    const Blocks blocks = Cut(s, kMaxLanes);
    workspace_bytes_ =
        static_cast<size_t>(std::clamp<int64_t>(blocks.units(), 1, kMaxLanes) * slice_floats_) * 4;
    return OkStatus();
  }

  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckConv(params_, args));
    ConvShape s;
    FUSEE_TRY(ConvGeometry(params_, args.inputs[0].shape, args.inputs[1].shape, &s));
    if (SliceFloats(s) > slice_floats_) {
      return OutOfRange("Conv: shapes above the profile that the workspace was sized for");
    }
    return OkStatus();
  }

  Status Run(const RunArgs& args) const override {
    ConvShape s;
    FUSEE_TRY(ConvGeometry(params_, args.inputs[0].shape, args.inputs[1].shape, &s));
    const Blocks blocks = Cut(s, args.parallel->width());
    const int64_t slices = static_cast<int64_t>(workspace_bytes_) / 4 / slice_floats_;
    const int64_t lanes =
        std::min({blocks.units(), slices, kMaxLanes, int64_t{4} * args.parallel->width()});
    args.parallel->Run(lanes, [&](int64_t lane) {
      float* buffer = reinterpret_cast<float*>(args.workspace.data()) + lane * slice_floats_;
      for (int64_t unit = lane; unit < blocks.units(); unit += lanes)
        Unit(args, blocks, unit, buffer);
    });
    return OkStatus();
  }

 private:
  // Floats of one packing buffer.
  int64_t SliceFloats(const ConvShape& s) const {
    const int64_t k = s.group_channels * s.window.KernelElements();
    const int64_t panels =
        std::min(kPixelBlock / tile_.columns, PanelCount(tile_, s.window.OutElements()));
    return std::max<int64_t>(std::min(k, kDepthBlock) * panels * tile_.columns, 16);
  }

  // Output channels are cut only as far as it takes to occupy `width` threads, since each cut packs
  // again.
  Blocks Cut(const ConvShape& s, int64_t width) const {
    Blocks b;
    b.shape = s;
    b.window = s.window;
    if (Pointwise(s.window)) {
      b.window.in = b.window.out = {1, 1, s.window.InElements()};
    }
    b.k = s.group_channels * s.window.KernelElements();
    b.pixels = s.window.OutElements();
    b.groups = params_.group;
    b.pixel_blocks = (b.pixels + kPixelBlock - 1) / kPixelBlock;
    const int64_t others = std::max<int64_t>(s.batch * b.groups * b.pixel_blocks, 1);
    const int64_t wanted = (width + others - 1) / others;
    const int64_t most = (s.group_out_channels + kMinChannelBlock - 1) / kMinChannelBlock;
    const int64_t parts = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(most, 1));
    const int64_t rows = (s.group_out_channels + parts - 1) / parts;
    b.channel_block =
        std::max<int64_t>((rows + tile_.rows - 1) / tile_.rows * tile_.rows, tile_.rows);
    b.channel_blocks = (s.group_out_channels + b.channel_block - 1) / b.channel_block;
    return b;
  }

  void Unit(const RunArgs& args, const Blocks& b, int64_t unit, float* buffer) const {
    const ConvShape& s = b.shape;
    const int64_t first_pixel = unit % b.pixel_blocks * kPixelBlock;
    unit /= b.pixel_blocks;
    const int64_t first_row = unit % b.channel_blocks * b.channel_block;
    unit /= b.channel_blocks;
    const int64_t group = unit % b.groups;
    const int64_t image = unit / b.groups;
    const int64_t rows = std::min(b.channel_block, s.group_out_channels - first_row);
    const int64_t pixels = std::min(kPixelBlock, b.pixels - first_pixel);
    const int64_t channel = group * s.group_out_channels + first_row;

    Epilogue epilogue{1, 1, nullptr, 1, 0, params_.activation};
    if (args.has_input(2)) epilogue.c = args.inputs[2].as<float>();
    if (args.has_input(3)) {
      epilogue.residual = args.inputs[3].as<float>() + image * s.out_channels * b.pixels;
      epilogue.residual_row = b.pixels;
    }
    const float* x = args.inputs[0].as<float>() +
                     (image * s.channels + group * s.group_channels) * s.window.InElements();
    const float* w = args.inputs[1].as<float>() + channel * b.k;
    float* y =
        args.outputs[0].as<float>() + (image * s.out_channels + channel) * b.pixels + first_pixel;
    for (int64_t k = 0; k == 0 || k < b.k; k += kDepthBlock) {
      const int64_t depth = std::min(kDepthBlock, b.k - k);
      PackPixels(b.window, x, k, k + depth, first_pixel, pixels, tile_.columns, buffer);
      for (int64_t p = 0; p < pixels; p += tile_.columns) {
        MultiplyPanel(tile_, rows, std::min<int64_t>(tile_.columns, pixels - p), depth, w + k, b.k,
                      buffer + p * depth, y + p, b.pixels, k > 0,
                      k + depth >= b.k ? &epilogue : nullptr, channel, first_pixel + p);
      }
    }
  }

  const GemmTile& tile_;
  ConvParams params_;
  int64_t slice_floats_ = 16;
  size_t workspace_bytes_ = 0;
};

Result<std::unique_ptr<BoundKernel>> Bind(const GemmTile& tile, const StepSpec& spec) {
  FUSEE_TRY(ConvParams params, ParseConv(spec));
  if (params.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  if (params.window.channels_last) return RefuseTactic(spec, "takes layout NCHW only");
  auto kernel = std::make_unique<ConvBlocked>(tile, params);
  const Status sized = kernel->SizeWorkspace(spec.inputs[0].max_shape, spec.inputs[1].max_shape);
  if (!sized.ok()) return RefuseTactic(spec, sized.message());
  return std::unique_ptr<BoundKernel>(std::move(kernel));
}

Result<std::unique_ptr<BoundKernel>> BindAvx2(const StepSpec& spec) {
  return Bind(kGemmTileAvx2, spec);
}
Result<std::unique_ptr<BoundKernel>> BindAvx512(const StepSpec& spec) {
  return Bind(kGemmTileAvx512, spec);
}

}  // namespace

extern const KernelDef conv_f32_nchw_avx2 = {
    .id = "conv_f32_nchw_avx2.1", .op = "Conv", .isa = Isa::kAvx2, .bind = BindAvx2};
extern const KernelDef conv_f32_nchw_avx512 = {
    .id = "conv_f32_nchw_avx512.1", .op = "Conv", .isa = Isa::kAvx512, .bind = BindAvx512};

}  // namespace fusee::ops
