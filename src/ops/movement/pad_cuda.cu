// Pad in every mode: one thread an element of the result finds where it comes from.
#include "ops/movement/fill_steps.h"
#include "ops/movement/index_cuda.cuh"

namespace fusee::ops {
namespace {

// Axes of the result, outermost first; neighbours that are not padded are merged.
struct PadPlan {
  uint32_t count = 0;
  int axes = 0;
  PadMode mode = PadMode::kConstant;
  int64_t offset = 0;  // of the window in the operand
  std::array<cuda::FastDiv, kMaxRank> extent{};
  std::array<int64_t, kMaxRank> begin{};
  std::array<int64_t, kMaxRank> window{};
  std::array<int64_t, kMaxRank> stride{};  // of the operand
};

// Where position p, counted from the start of a window of n, reads in it; -1: the constant.
__device__ __forceinline__ int64_t SourceIndex(PadMode mode, int64_t p, int64_t n) {
  if (p >= 0 && p < n) return p;
  switch (mode) {
    case PadMode::kConstant: return -1;
    case PadMode::kEdge: return p < 0 ? 0 : n - 1;
    case PadMode::kWrap: return (p % n + n) % n;
    case PadMode::kReflect: {
      if (n == 1) return 0;
      const int64_t period = 2 * (n - 1);
      const int64_t folded = (p % period + period) % period;
      return folded < n ? folded : period - folded;
    }
  }
  return -1;
}

template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    PadKernel(const Bits* src, const Bits* constant, Bits* dst,
              const __grid_constant__ PadPlan plan) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= plan.count) return;
  int64_t from = plan.offset;
  bool inside = true;
  uint32_t rest = i;
  for (int a = plan.axes - 1; a >= 0; --a) {
    uint32_t position;
    rest = plan.extent[a].Divide(rest, &position);
    const int64_t index = SourceIndex(plan.mode, position - plan.begin[a], plan.window[a]);
    inside = inside && index >= 0;
    from += index * plan.stride[a];
  }
  Bits value{};
  if (inside)
    value = src[from];
  else if (constant != nullptr)
    value = *constant;
  dst[i] = value;
}

PadPlan MakePlan(const PadParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const Shape& out = args.outputs[0].shape;
  const Shape strides = RowMajorStrides(in);
  PadPlan plan;
  plan.count = static_cast<uint32_t>(out.elements());
  plan.mode = params.mode;
  bool last_whole = false;
  for (int axis = 0; axis < params.rank; ++axis) {
    PadAxis pad = ResolvePad(params, args, axis);
    // Then nothing of the operand is read, and its place may lie far outside.
    if (pad.window == 0) pad.low = 0;
    const bool whole = pad.window == in[axis] && in[axis] == out[axis];
    if (whole && last_whole) {
      const auto last = static_cast<size_t>(plan.axes - 1);
      plan.window[last] *= out[axis];
      plan.extent[last] = cuda::FastDiv(plan.window[last]);
      plan.stride[last] = strides[axis];
      continue;
    }
    last_whole = whole;
    const auto i = static_cast<size_t>(plan.axes++);
    plan.extent[i] = cuda::FastDiv(out[axis]);
    plan.begin[i] = pad.begin;
    plan.window[i] = pad.window;
    plan.stride[i] = strides[axis];
    plan.offset += pad.low * strides[axis];
  }
  return plan;
}

Status Run(const PadParams& params, const RunArgs& args) {
  if (args.outputs[0].elements() == 0) return OkStatus();
  const PadPlan plan = MakePlan(params, args);
  return cuda::VisitElement(BytesPerElement(args.inputs[0].dtype), [&]<typename Bits>() -> Status {
    return cuda::Launch(&PadKernel<Bits>, cuda::BlocksFor(plan.count), dim3(cuda::kElementThreads),
                        0, args.queue, static_cast<const Bits*>(args.inputs[0].data),
                        args.has_input(1) ? static_cast<const Bits*>(args.inputs[1].data) : nullptr,
                        static_cast<Bits*>(args.outputs[0].data), plan);
  });
}

Status Check(const PadParams& params, const RunArgs& args) {
  FUSEE_TRY(CheckPad(params, args));
  return CheckNotLarge("Pad", args.outputs[0].shape);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const PadParams params, ReadPad(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.outputs[0]));
  return MakeKernel(params, Check, Run);
}

}  // namespace

extern const KernelDef pad_cuda = {
    .id = "pad_cuda.1", .op = "Pad", .device = DeviceKind::kCuda, .bind = Bind};

}  // namespace fusee::ops
