// The host side of convolutions on CUDA: which steps each kernel takes, and what a run hands it.
#include "ops/nn/conv_cuda.h"

#include <fmt/format.h>

#include <cstring>

#include "ops/kernel.h"
#include "ops/nn/conv.h"

namespace fusee::ops {
namespace {

constexpr int kPackBytes = 16;

bool IsPackAligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kPackBytes == 0; }

struct Params {
  ConvParams conv;
  bool w_is_constant = false;
  int tile = -1;  // of ConvMma; -1: chosen in each run
  int multiprocessors = 132;
};

Result<Params> Parse(const StepSpec& spec) {
  Params p;
  FUSEE_TRY(p.conv, ParseConv(spec));
  const DType d = p.conv.dtype;
  if (d != DType::kF32 && d != DType::kF16 && d != DType::kBF16)
    return RefuseTactic(spec, "takes f32, f16 and bf16");
  p.w_is_constant = spec.inputs[1].data != nullptr;
  return p;
}

// The geometry of a run. Errors: kOutOfRange when an image has too many elements for the kernels.
Status Describe(const Params& p, const RunArgs& args, ConvCuda* c) {
  ConvShape s;
  FUSEE_TRY(ConvGeometry(p.conv, args.inputs[0].shape, args.inputs[1].shape, &s));
  const int64_t image_in = s.channels * s.window.InElements();
  const int64_t image_out = s.out_channels * s.window.OutElements();
  if (image_in > kConvCudaImageMax || image_out > kConvCudaImageMax ||
      s.window.KernelElements() * s.group_channels > kConvCudaImageMax) {
    return OutOfRange(
        fmt::format("Conv: an image of {} or {} elements, at most {} are supported on CUDA",
                    image_in, image_out, kConvCudaImageMax));
  }
  c->dtype = p.conv.dtype;
  c->channels_last = p.conv.window.channels_last;
  c->batch = s.batch;
  c->channels = static_cast<int>(s.channels);
  c->out_channels = static_cast<int>(s.out_channels);
  c->group_channels = static_cast<int>(s.group_channels);
  c->group_out_channels = static_cast<int>(s.group_out_channels);
  for (size_t i = 0; i < 3; ++i) {
    c->in[i] = static_cast<int>(s.window.in[i]);
    c->out[i] = static_cast<int>(s.window.out[i]);
    c->kernel[i] = static_cast<int>(s.window.kernel[i]);
    c->stride[i] = static_cast<int>(s.window.stride[i]);
    c->dilation[i] = static_cast<int>(s.window.dilation[i]);
    c->pad[i] = static_cast<int>(s.window.pad_begin[i]);
    const int64_t reach =
        (s.window.out[i] - 1) * s.window.stride[i] + s.window.Extent(static_cast<int>(i));
    if (reach > kConvCudaImageMax || s.window.pad_begin[i] > kConvCudaImageMax)
      return OutOfRange("Conv: stride, dilation or pads exceed what is supported on CUDA");
  }
  c->activation = p.conv.activation;
  c->w_is_constant = p.w_is_constant;
  return OkStatus();
}

Status DescribeRun(const Params& p, const RunArgs& args, ConvCuda* c) {
  FUSEE_TRY(Describe(p, args, c));
  c->x = args.inputs[0].data;
  c->w = args.inputs[1].data;
  if (args.has_input(2)) c->bias = args.inputs[2].data;
  if (args.has_input(3)) c->residual = args.inputs[3].data;
  c->y = args.outputs[0].data;
  return OkStatus();
}

bool IsDepthwise(const ConvCuda& c) {
  const int pack = kPackBytes * 8 / BitsPerElement(c.dtype);
  return c.channels_last && c.group_channels == 1 && c.group_out_channels == 1 &&
         c.channels % pack == 0 && c.in[0] == 1 && c.kernel[0] == 1 && c.pad[0] == 0 &&
         c.stride[0] == 1 && IsPackAligned(c.x) && IsPackAligned(c.y) &&
         (c.residual == nullptr || IsPackAligned(c.residual));
}

class ConvDirect final : public BoundKernel {
 public:
  explicit ConvDirect(Params params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckConv(params_.conv, args));
    ConvCuda c;
    return Describe(params_, args, &c);
  }
  Status Run(const RunArgs& args) const override {
    if (args.outputs[0].elements() == 0) return OkStatus();
    ConvCuda c;
    FUSEE_TRY(DescribeRun(params_, args, &c));
    return IsDepthwise(c) ? EnqueueConvDepthwise(c, args.queue) : EnqueueConvDirect(c, args.queue);
  }

 private:
  const Params params_;
};

Result<std::unique_ptr<BoundKernel>> BindDirect(const StepSpec& spec) {
  FUSEE_TRY(const Params params, Parse(spec));
  if (!spec.config.empty()) return BadStep(spec, "conv_direct_cuda has no configurations");
  return std::unique_ptr<BoundKernel>(std::make_unique<ConvDirect>(params));
}

// --- tensor cores ---

constexpr uint32_t kConfigMagic = 0x314D4346;  // "FCM1"
struct MmaConfig {
  uint32_t magic = kConfigMagic;
  uint32_t tile = 0;
};

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t BlocksOf(const ConvCuda& c, const ConvMmaTile& tile) {
  return DivideUp(c.batch * c.out_pixels(), tile.rows) * DivideUp(c.out_channels, tile.columns);
}

// For a run without a configuration, among tiles that take all operands and do not split.
int ChooseTile(const ConvCuda& c, int multiprocessors) {
  int best = 0;
  double best_cost = 0;
  for (int t = 0; t < kConvMmaAnyTileCount; ++t) {
    const ConvMmaTile tile = ConvMmaTileOf(t);
    const int64_t blocks = BlocksOf(c, tile);
    // Time in units of one tile's reads and products; a block's fixed cost counts as 48 columns.
    const double cost =
        static_cast<double>(DivideUp(blocks, multiprocessors)) * (tile.rows + tile.columns + 48.0);
    if (t == 0 || cost < best_cost) {
      best = t;
      best_cost = cost;
    }
  }
  return best;
}

class ConvMma final : public BoundKernel {
 public:
  explicit ConvMma(Params params) : params_(params) {}
  Status LoadOnDevice(Device& device) override {
    params_.multiprocessors = std::max(1, device.info().multiprocessors);
    if (params_.tile >= 0) {
      if (ConvMmaTileOf(params_.tile).split > 1 && device.info().compute_capability < 90) {
        return FailedPrecondition(
            "conv_mma_cuda: the plan's tile needs compute capability 9.0; build the plan on this "
            "GPU");
      }
      return LoadConvMma(params_.conv.dtype, params_.tile);
    }
    for (int t = 0; t < kConvMmaAnyTileCount; ++t) FUSEE_TRY(LoadConvMma(params_.conv.dtype, t));
    return OkStatus();
  }
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckConv(params_.conv, args));
    ConvCuda c;
    FUSEE_TRY(Describe(params_, args, &c));
    if (c.batch * c.out_pixels() > kConvCudaImageMax ||
        c.batch * c.channels * c.in[0] * static_cast<int64_t>(c.in[1]) * c.in[2] >
            kConvCudaImageMax * int64_t{1024})
      return OutOfRange("Conv: the batch has more pixels than one launch can have");
    return OkStatus();
  }
  Status Run(const RunArgs& args) const override {
    if (args.outputs[0].elements() == 0) return OkStatus();
    ConvCuda c;
    FUSEE_TRY(DescribeRun(params_, args, &c));
    return EnqueueConvMma(
        c, params_.tile >= 0 ? params_.tile : ChooseTile(c, params_.multiprocessors), args.queue);
  }

 private:
  Params params_;
};

Result<Params> ParseMma(const StepSpec& spec) {
  FUSEE_TRY(const Params params, Parse(spec));
  if (params.conv.dtype == DType::kF32) return RefuseTactic(spec, "takes f16 and bf16");
  if (!params.conv.window.channels_last) return RefuseTactic(spec, "takes layout NHWC");
  if (params.conv.group != 1) return RefuseTactic(spec, "takes one group");
  if (params.conv.window.spatial > 2) return RefuseTactic(spec, "takes 1-D and 2-D windows");
  return params;
}

Result<std::unique_ptr<BoundKernel>> BindMma(const StepSpec& spec) {
  FUSEE_TRY(Params params, ParseMma(spec));
  if (!spec.config.empty()) {
    MmaConfig config;
    if (spec.config.size() != sizeof(config))
      return BadStep(spec, "the configuration is not of conv_mma_cuda");
    std::memcpy(&config, spec.config.data(), sizeof(config));
    if (config.magic != kConfigMagic || config.tile >= static_cast<uint32_t>(kConvMmaTileCount))
      return BadStep(spec, "the configuration is not of conv_mma_cuda");
    params.tile = static_cast<int>(config.tile);
  }
  return std::unique_ptr<BoundKernel>(std::make_unique<ConvMma>(params));
}

std::string TileName(const ConvMmaTile& t) {
  return fmt::format("{}tile {}x{}x{} stages {}",
                     t.split > 1 ? fmt::format("splitk {} ", t.split) : "", t.rows, t.columns,
                     t.depth, t.stages);
}

// Whether a tile could be the fastest: a split where blocks are few and the depth is long.
bool MayWin(const ConvCuda& c, const ConvMmaTile& t, const DeviceInfo& device) {
  constexpr int64_t kSplitTilesMin = 2;   // tiles of depth for each part
  constexpr int64_t kSplitBlocksMax = 4;  // blocks a multiprocessor, all parts counted
  if (t.split == 1) return true;
  const int64_t depth = int64_t{c.taps()} * c.channels;
  return device.compute_capability >= 90 &&
         BlocksOf(c, t) * t.split <= kSplitBlocksMax * std::max(device.multiprocessors, 1) &&
         DivideUp(depth, t.depth) >= kSplitTilesMin * t.split;
}

Result<std::vector<Configuration>> MmaConfigurations(const StepSpec& spec, Device& device) {
  FUSEE_TRY(const Params params, ParseMma(spec));
  RunArgs shapes;
  std::vector<ConstTensorView> inputs;
  for (const TensorSpec& t : spec.inputs) inputs.push_back({t.dtype, t.max_shape, nullptr});
  shapes.inputs = inputs;
  ConvCuda c;
  FUSEE_TRY(Describe(params, shapes, &c));
  std::vector<Configuration> list;
  for (int t = 0; t < kConvMmaTileCount; ++t) {
    if (t >= kConvMmaAnyTileCount && !ConvMmaReadsPieces(c)) break;
    const ConvMmaTile tile = ConvMmaTileOf(t);
    if (!MayWin(c, tile, device.info())) continue;
    const MmaConfig config{.tile = static_cast<uint32_t>(t)};
    Configuration one;
    one.name = TileName(tile);
    one.bytes.resize(sizeof(config));
    std::memcpy(one.bytes.data(), &config, sizeof(config));
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace

extern const KernelDef conv_mma_cuda = {.id = "conv_mma_cuda.1",
                                        .op = "Conv",
                                        .device = DeviceKind::kCuda,
                                        .compute_capability = 80,
                                        .bind = &BindMma,
                                        .configurations = &MmaConfigurations};
extern const KernelDef conv_direct_cuda = {
    .id = "conv_direct_cuda.1", .op = "Conv", .device = DeviceKind::kCuda, .bind = &BindDirect};

}  // namespace fusee::ops
