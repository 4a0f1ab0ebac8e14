// DeformConv, plainly: for each place of the result all taps of all channels are sampled once, then
// every output channel is a sum over them, channel by channel and tap by tap, in double.
//
// Offsets are data: a tap may lie anywhere, or nowhere when its offset is no number. Only corners
// inside x are read; others count as zeros.
#include <array>
#include <cmath>

#include "ops/movement/kernel_support.h"
#include "ops/nn/element.h"
#include "ops/nn/window.h"

namespace fusee::ops {
namespace {

constexpr size_t kX = 0, kW = 1, kOffset = 2, kBias = 3, kMask = 4;
// Blocks of places, each with samples of its own in the workspace.
constexpr int64_t kBlocks = 16;
constexpr int64_t kWorkspaceMax = int64_t{1} << 40;

struct Params {
  WindowAttrs window;
  int64_t group = 1;
  int64_t offset_group = 1;
  int64_t max_channels = 0;  // that the workspace is for

  int64_t Taps() const { return window.KernelElements(); }
};

Result<Params> Read(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 3, .max_inputs = 5}));
  Params params;
  const Shape& x = spec.inputs[kX].max_shape;
  if (x.rank() < 3 || x.rank() > 2 + kMaxSpatial) return BadStep(spec, "x should have rank 3 to 5");
  if (!IsFloat(spec.inputs[kX].dtype)) return BadStep(spec, "takes floating-point types only");
  for (const TensorSpec& input : spec.inputs) {
    if (!input.present()) continue;
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[kX], input, "operands"));
  }
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[kX], spec.outputs[0], "operand and result"));
  auto window = ParseWindow(*spec.attrs, x.rank() - 2);
  if (!window.ok()) return BadStep(spec, window.status().message());
  if (window->ceil_mode || window->channels_last) return BadStep(spec, "has channels first");
  params.window = *window;
  FUSEE_TRY(params.group, spec.attrs->Int("group", 1));
  FUSEE_TRY(params.offset_group, spec.attrs->Int("offset_group", 1));
  if (params.group < 1 || params.group >= kMaxWindowValue || params.offset_group < 1 ||
      params.offset_group >= 1 << 16) {
    return BadStep(spec, "group or offset_group is out of range");
  }
  params.max_channels = x[1];
  int64_t bytes = 0;
  if (__builtin_mul_overflow(params.max_channels, params.Taps(), &bytes) ||
      bytes > kWorkspaceMax / (kBlocks * static_cast<int64_t>(sizeof(double)))) {
    return BadStep(spec, "has too many channels and taps");
  }
  return params;
}

size_t WorkspaceBytes(const Params& params) {
  return static_cast<size_t>(kBlocks * params.max_channels * params.Taps()) * sizeof(double);
}

// [N, channels, out...]
Shape Places(const Params& params, const Window& w, int64_t batch, int64_t channels) {
  Shape shape = {batch, channels};
  for (int i = kMaxSpatial - params.window.spatial; i < kMaxSpatial; ++i) {
    shape.push_back(w.out[static_cast<size_t>(i)]);
  }
  return shape;
}

Status Check(const Params& params, const RunArgs& args) {
  const Shape& x = args.inputs[kX].shape;
  const Shape& w = args.inputs[kW].shape;
  const int rank = params.window.spatial + 2;
  if (x.rank() != rank || w.rank() != rank) return InvalidArgument("DeformConv: a rank is wrong");
  if (x[1] > params.max_channels || x[1] % params.offset_group != 0 || x[1] % params.group != 0 ||
      w[0] % params.group != 0) {
    return InvalidArgument("DeformConv: x " + x.ToString() + " and w " + w.ToString() +
                           " do not fit the groups");
  }
  Shape weights = {w[0], x[1] / params.group};
  for (int i = 0; i < params.window.spatial; ++i) {
    weights.push_back(params.window.kernel[static_cast<size_t>(kMaxSpatial + 2 - rank + i)]);
  }
  FUSEE_TRY(ExpectShape("DeformConv", "w", weights, w));
  Window window;
  FUSEE_TRY(ResolveWindow(params.window, x, &window));
  const int64_t taps = params.offset_group * params.Taps();
  FUSEE_TRY(ExpectShape("DeformConv", "offset",
                        Places(params, window, x[0], taps * params.window.spatial),
                        args.inputs[kOffset].shape));
  if (args.has_input(kBias)) {
    FUSEE_TRY(ExpectShape("DeformConv", "bias", Shape{w[0]}, args.inputs[kBias].shape));
  }
  if (args.has_input(kMask)) {
    FUSEE_TRY(ExpectShape("DeformConv", "mask", Places(params, window, x[0], taps),
                          args.inputs[kMask].shape));
  }
  return ExpectShape("DeformConv", "result", Places(params, window, x[0], w[0]),
                     args.outputs[0].shape);
}

using Position = std::array<double, kMaxSpatial>;

// The value at a position of one plane of x.
template <typename T>
double Interpolate(const void* x, int64_t plane, const Spatial& size, const Position& position) {
  Spatial low;
  Position weight;
  for (size_t a = 0; a < low.size(); ++a) {
    // Also false of what is no number.
    if (!(position[a] > -1 && position[a] < static_cast<double>(size[a]))) return 0;
    const double floor = std::floor(position[a]);
    low[a] = static_cast<int64_t>(floor);
    weight[a] = position[a] - floor;
  }
  double sum = 0;
  for (unsigned corner = 0; corner < 8; ++corner) {
    int64_t at = 0;
    double share = 1;
    bool inside = true;
    for (size_t a = 0; a < low.size(); ++a) {
      const bool high = (corner >> (2 - a) & 1) != 0;
      const int64_t index = low[a] + (high ? 1 : 0);
      share *= high ? weight[a] : 1 - weight[a];
      inside = inside && index >= 0 && index < size[a];
      at = at * size[a] + index;
    }
    if (inside && share != 0) sum += share * LoadDouble<T>(x, plane + at);
  }
  return sum;
}

// Samples every tap of every channel for one place of one image: samples[channel][tap].
template <typename T>
void SampleAll(const Params& params, const Window& w, const RunArgs& args, int64_t image,
               int64_t place, double* samples) {
  const int64_t channels = args.inputs[kX].shape[1];
  const int64_t taps = params.Taps(), places = w.OutElements(), axes = w.spatial;
  const int64_t per_group = channels / params.offset_group;
  const Spatial at = {place / w.out[2] / w.out[1], place / w.out[2] % w.out[1], place % w.out[2]};
  for (int64_t g = 0; g < params.offset_group; ++g) {
    for (int64_t k = 0; k < taps; ++k) {
      const Spatial tap = {k / w.kernel[2] / w.kernel[1], k / w.kernel[2] % w.kernel[1],
                           k % w.kernel[2]};
      const int64_t row = (image * params.offset_group + g) * taps + k;
      Position position{};
      for (size_t a = 0; a < position.size(); ++a) {
        position[a] =
            static_cast<double>(at[a] * w.stride[a] - w.pad_begin[a] + tap[a] * w.dilation[a]);
        const int64_t axis = static_cast<int64_t>(a) - (kMaxSpatial - axes);
        if (axis < 0) continue;
        position[a] +=
            LoadDouble<T>(args.inputs[kOffset].data, (row * axes + axis) * places + place);
      }
      const double mask =
          args.has_input(kMask) ? LoadDouble<T>(args.inputs[kMask].data, row * places + place) : 1;
      for (int64_t c = g * per_group; c < (g + 1) * per_group; ++c) {
        const int64_t plane = (image * channels + c) * w.InElements();
        samples[c * taps + k] = mask * Interpolate<T>(args.inputs[kX].data, plane, w.in, position);
      }
    }
  }
}

template <typename T>
Status RunTyped(const Params& params, const RunArgs& args) {
  Window w;
  FUSEE_TRY(ResolveWindow(params.window, args.inputs[kX].shape, &w));
  const int64_t channels = args.inputs[kX].shape[1], out_channels = args.inputs[kW].shape[0];
  const int64_t places = w.OutElements(), total = args.inputs[kX].shape[0] * places;
  const int64_t terms = channels / params.group * params.Taps();
  const int64_t grain = (total + kBlocks - 1) / kBlocks;
  auto* workspace = reinterpret_cast<double*>(args.workspace.data());
  ParallelBlocks(args.parallel, total, grain, [&](int64_t begin, int64_t end) {
    double* samples = workspace + begin / grain * channels * params.Taps();
    for (int64_t i = begin; i < end; ++i) {
      SampleAll<T>(params, w, args, i / places, i % places, samples);
      for (int64_t m = 0; m < out_channels; ++m) {
        const double* own = samples + m / (out_channels / params.group) * terms;
        double sum = args.has_input(kBias) ? LoadDouble<T>(args.inputs[kBias].data, m) : 0;
        for (int64_t t = 0; t < terms; ++t) {
          sum += LoadDouble<T>(args.inputs[kW].data, m * terms + t) * own[t];
        }
        StoreElement(args.outputs[0].data, (i / places * out_channels + m) * places + i % places,
                     RoundTo<T>(sum));
      }
    }
  });
  return OkStatus();
}

Status Run(const Params& params, const RunArgs& args) {
  return DispatchFloat(args.inputs[kX].dtype,
                       [&]<typename T>() { return RunTyped<T>(params, args); });
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const Params params, Read(spec));
  return MakeKernel(params, Check, Run, WorkspaceBytes(params));
}

}  // namespace

extern const KernelDef deform_conv_ref = {
    .id = "deform_conv_ref.1", .op = "DeformConv", .reference = true, .bind = Bind};

}  // namespace fusee::ops
