// Resize: one thread an element of the result. Axes on which nothing moves are merged with their
// neighbours; up to three others are interpolated, in float, with the taps and weights of the
// reference (resize_ref.cc). Nearest moves any number of axes and any type.
//
// Floor: the result is written once; the operand's elements are read as often as they are taps,
// from the caches.
#include <cmath>

#include "cuda/numeric.cuh"
#include "ops/movement/index_cuda.cuh"
#include "ops/movement/pieces_cuda.cuh"
#include "ops/movement/resize.h"

namespace fusee::ops {
namespace {

// Images and volumes.
constexpr int kMovedMax = 3;
// Taps of one axis, which a thread walks: an antialiasing filter stretched by 1/scale.
constexpr int64_t kTapsMax = 1 << 16;
// Positions of an interpolated axis are exact in float.
constexpr int64_t kAxisMax = 1 << 24;

// Runs of axes that do not move count as one.
struct AxesPlan {
  uint32_t count = 0;
  int axes = 0;
  std::array<cuda::FastDiv, kMaxRank> extent{};  // of the result
  std::array<int64_t, kMaxRank> stride{};        // of the operand
  std::array<int, kMaxRank> moved{};             // index into lines, or -1
};

struct NearestPlan {
  AxesPlan axes;
  ResizeNearest nearest = ResizeNearest::kPreferFloor;
  std::array<ResizeLine, kMaxRank> lines{};
};

// Fills plan and lines; returns how many axes move.
template <size_t n>
int MakeAxes(const ResizeParams& params, const RunArgs& args, AxesPlan& plan,
             std::array<ResizeLine, n>& lines) {
  const Shape strides = RowMajorStrides(args.inputs[0].shape);
  plan.count = static_cast<uint32_t>(args.outputs[0].elements());
  int moved = 0;
  int64_t whole = 0;  // extent of the run of unmoved axes that ends here; 0: none
  for (int i = 0; i < params.rank; ++i) {
    const ResizeAxis axis(params, args, i);
    if (axis.identity && whole > 0) {
      const auto last = static_cast<size_t>(plan.axes - 1);
      whole *= axis.out;
      plan.extent[last] = cuda::FastDiv(whole);
      plan.stride[last] = strides[i];
      continue;
    }
    whole = axis.identity ? axis.out : 0;
    const auto at = static_cast<size_t>(plan.axes++);
    plan.extent[at] = cuda::FastDiv(axis.out);
    plan.stride[at] = strides[i];
    plan.moved[at] = axis.identity ? -1 : moved;
    if (!axis.identity) lines[static_cast<size_t>(moved++)] = axis;
  }
  return moved;
}

template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    NearestKernel(const Bits* src, Bits* dst, Bits extrapolated,
                  const __grid_constant__ NearestPlan plan) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= plan.axes.count) return;
  int64_t from = 0;
  bool outside = false;
  uint32_t rest = i;
  for (int a = plan.axes.axes - 1; a >= 0; --a) {
    uint32_t position;
    rest = plan.axes.extent[a].Divide(rest, &position);
    int64_t index = position;
    if (plan.axes.moved[a] >= 0) {
      const ResizeLine& line = plan.lines[plan.axes.moved[a]];
      const float source = line.Source(position);
      outside = outside || line.Outside(source);
      index = line.Nearest(plan.nearest, source);
    }
    from += index * plan.axes.stride[a];
  }
  dst[i] = outside ? extrapolated : src[from];
}

Status RunNearest(const ResizeParams& params, const RunArgs& args) {
  const TensorView& out = args.outputs[0];
  if (out.elements() == 0) return OkStatus();
  NearestPlan plan;
  plan.nearest = params.nearest;
  (void)MakeAxes(params, args, plan.axes, plan.lines);
  uint64_t extrapolated = 0;
  StoreDouble(TensorView{out.dtype, Shape{}, &extrapolated}, 0, params.extrapolation);
  return cuda::VisitElement(BytesPerElement(out.dtype), [&]<typename Bits>() -> Status {
    return cuda::Launch(&NearestKernel<Bits>, cuda::BlocksFor(plan.axes.count),
                        dim3(cuda::kElementThreads), 0, args.queue,
                        static_cast<const Bits*>(args.inputs[0].data), static_cast<Bits*>(out.data),
                        static_cast<Bits>(extrapolated), plan);
  });
}

struct WeightedPlan {
  AxesPlan axes;
  std::array<ResizeLine, kMovedMax> lines{};
  std::array<int32_t, kMovedMax> half{};  // taps on either side of a position
  bool cubic = false;
  bool exclude_outside = false;
  bool antialias = false;
  float cubic_coeff_a = -0.75f;
  float extrapolation = 0;

  __device__ __forceinline__ float Weight(float distance) const {
    const float x = fabsf(distance);
    if (!cubic) return fmaxf(0.0f, 1 - x);
    const float a = cubic_coeff_a;
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0.0f;
  }
};

// The taps of one position on one axis: elements first .. first + count - 1, which may lie outside
// the operand (then the border element counts, or none with exclude_outside).
struct Taps {
  int32_t first = 0;
  int32_t count = 1;
  float source = 0;
  float stretch = 1;    // filter argument per element
  float normalise = 1;  // weights are divided by this
  bool outside = false;

  __device__ __forceinline__ float Weight(const WeightedPlan& plan, const ResizeLine& line,
                                          int32_t k) const {
    const int32_t index = first + k;
    if (plan.exclude_outside && (index < 0 || index >= line.in)) return 0;
    return plan.Weight((static_cast<float>(index) - source) * stretch);
  }

  __device__ __forceinline__ void Make(const WeightedPlan& plan, const ResizeLine& line,
                                       int32_t half, uint32_t position) {
    source = line.Source(position);
    outside = line.Outside(source);
    if (outside) return;
    if (plan.antialias && line.scale < 1) stretch = line.scale;
    // An exact hit counts as the right end of the interval on its left.
    first = static_cast<int32_t>(ceilf(source)) - half;
    count = 2 * half;
    if (plan.exclude_outside || stretch != 1) {
      normalise = 0;
      for (int32_t k = 0; k < count; ++k) normalise += Weight(plan, line, k);
    }
  }
};

// The weighted sum over the taps of axes `axis` and above; src points at what the axes below chose.
template <int axis, int moved, typename T>
__device__ __forceinline__ float Sample(const WeightedPlan& plan, const Taps (&taps)[moved],
                                        const int64_t (&stride)[moved], const T* src) {
  if constexpr (axis == moved) {
    return cuda::ToFloat(*src);
  } else {
    const ResizeLine& line = plan.lines[axis];
    float sum = 0;
    for (int32_t k = 0; k < taps[axis].count; ++k) {
      const float weight = taps[axis].Weight(plan, line, k);
      if (weight == 0) continue;
      const int64_t last = line.in - 1;
      int64_t index = taps[axis].first + k;
      index = index < 0 ? 0 : (index < last ? index : last);
      sum += weight * Sample<axis + 1, moved>(plan, taps, stride, src + index * stride[axis]);
    }
    return sum / taps[axis].normalise;
  }
}

// Two blocks a multiprocessor are enough: more would leave too few registers for three axes of
// taps.
template <int moved, typename T>
__global__ void __launch_bounds__(cuda::kElementThreads, 2)
    WeightedKernel(const T* src, T* dst, const __grid_constant__ WeightedPlan plan) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= plan.axes.count) return;
  Taps taps[moved];
  int64_t stride[moved];
  int64_t from = 0;
  uint32_t rest = i;
  for (int a = plan.axes.axes - 1; a >= 0; --a) {
    uint32_t position;
    rest = plan.axes.extent[a].Divide(rest, &position);
    const int own = plan.axes.moved[a];
    if (own < 0) from += position * plan.axes.stride[a];
      // Unrolled, so that what belongs to an axis stays in registers.
#pragma unroll
    for (int m = 0; m < moved; ++m) {
      if (own != m) continue;
      taps[m].Make(plan, plan.lines[m], plan.half[m], position);
      stride[m] = plan.axes.stride[a];
    }
  }
  bool outside = false;
#pragma unroll
  for (int m = 0; m < moved; ++m) outside = outside || taps[m].outside;
  const float value =
      outside ? plan.extrapolation : Sample<0, moved>(plan, taps, stride, src + from);
  dst[i] = cuda::FromFloat<T>(value);
}

// Taps on either side of a position, as the reference counts them.
double HalfTaps(const ResizeParams& params, float scale) {
  const double radius = params.mode == ResizeMode::kLinear ? 1 : 2;
  return params.antialias && scale < 1 ? std::ceil(radius / static_cast<double>(scale)) : radius;
}

// Can an axis be interpolated?
bool IsShort(const ResizeParams& params, int64_t in, float scale) {
  return in <= kAxisMax && 2 * HalfTaps(params, scale) <= static_cast<double>(kTapsMax);
}

template <typename T>
Status LaunchWeighted(const ResizeParams& params, const RunArgs& args) {
  WeightedPlan plan;
  plan.cubic = params.mode == ResizeMode::kCubic;
  plan.exclude_outside = params.exclude_outside;
  plan.antialias = params.antialias;
  plan.cubic_coeff_a = static_cast<float>(params.cubic_coeff_a);
  plan.extrapolation = static_cast<float>(params.extrapolation);
  const int moved = MakeAxes(params, args, plan.axes, plan.lines);
  for (size_t m = 0; m < plan.half.size(); ++m)
    plan.half[m] = static_cast<int32_t>(HalfTaps(params, plan.lines[m].scale));
  const auto launch = [&](auto kernel) {
    return cuda::Launch(kernel, cuda::BlocksFor(plan.axes.count), dim3(cuda::kElementThreads), 0,
                        args.queue, static_cast<const T*>(args.inputs[0].data),
                        static_cast<T*>(args.outputs[0].data), plan);
  };
  switch (moved) {
    case 0:
      return LaunchCopyBytes(args.inputs[0].data, args.outputs[0].data,
                             args.outputs[0].size_bytes(), args.queue);
    case 1: return launch(&WeightedKernel<1, T>);
    case 2: return launch(&WeightedKernel<2, T>);
    default: return launch(&WeightedKernel<3, T>);
  }
}

Status RunWeighted(const ResizeParams& params, const RunArgs& args) {
  if (args.outputs[0].elements() == 0) return OkStatus();
  return cuda::VisitComputeFloat(args.inputs[0].dtype, [&]<typename T>() -> Status {
    return LaunchWeighted<T>(params, args);
  });
}

// Few enough axes move, none of them too far.
Status CheckMoved(const ResizeParams& params, const RunArgs& args) {
  int moved = 0;
  for (int i = 0; i < params.rank; ++i) {
    const ResizeAxis axis(params, args, i);
    if (axis.identity) continue;
    ++moved;
    if (!IsShort(params, axis.in, axis.scale))
      return InvalidArgument("Resize: axis " + std::to_string(i) +
                             " is too long, or its filter too wide");
  }
  if (moved > kMovedMax) return InvalidArgument("Resize: more than three axes are interpolated");
  return OkStatus();
}

Status Check(const ResizeParams& params, const RunArgs& args) {
  FUSEE_TRY(CheckResize(params, args));
  FUSEE_TRY(CheckNotLarge("Resize", args.outputs[0].shape));
  return params.mode == ResizeMode::kNearest ? OkStatus() : CheckMoved(params, args);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ResizeParams params, ReadResize(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.outputs[0]));
  if (params.mode == ResizeMode::kNearest) return MakeKernel(params, Check, RunNearest);
  if (!cuda::IsComputeFloat(spec.inputs[0].dtype))
    return RefuseTactic(spec, "interpolates f32, f16 and bf16 only");
  const ConstTensorView in{spec.inputs[0].dtype, spec.inputs[0].max_shape, nullptr};
  const TensorView out{spec.outputs[0].dtype, spec.outputs[0].max_shape, nullptr};
  if (out.shape.rank() != params.rank) return BadStep(spec, "the result has another rank");
  const RunArgs largest{.inputs = {&in, 1}, .outputs = {&out, 1}};
  if (const Status fits = CheckMoved(params, largest); !fits.ok())
    return RefuseTactic(spec, fits.message());
  return MakeKernel(params, Check, RunWeighted);
}

}  // namespace

extern const KernelDef resize_cuda = {
    .id = "resize_cuda.1", .op = "Resize", .device = DeviceKind::kCuda, .bind = Bind};

}  // namespace fusee::ops
