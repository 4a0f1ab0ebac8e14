// Slice: a strided copy. Starts and ends come as run-time dims and are clamped as slice_def.cc
// says, so that no value of theirs leaves the operand.
#include <algorithm>
#include <array>

#include "ops/movement/kernel_support.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {
namespace {

struct Params {
  int rank = 0;
  size_t count = 0;
  std::array<int, kMaxRank> axes{};
  std::array<int64_t, kMaxRank> steps{};
};

struct AxisRange {
  int64_t start = 0;
  int64_t length = 0;
};

// Step and bounds are below 2^62 in magnitude (Bind, Check), so nothing here overflows.
AxisRange Resolve(int64_t size, int64_t start, int64_t end, int64_t step) {
  if (start < 0) start += size;
  if (end < 0) end += size;
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, size);
    end = std::clamp<int64_t>(end, 0, size);
    return {start, start < end ? (end - start + step - 1) / step : 0};
  }
  start = std::min(std::max<int64_t>(start, 0), size - 1);
  end = std::min(std::max<int64_t>(end, -1), size - 1);
  return {start, start > end ? (start - end - step - 1) / -step : 0};
}

constexpr int64_t kFar = int64_t{1} << 61;

AxisRange ResolveAxis(const Params& params, const RunArgs& args, size_t i) {
  const int64_t start = std::clamp(args.dims[i], -kFar, kFar);
  const int64_t end = std::clamp(args.dims[params.count + i], -kFar, kFar);
  return Resolve(args.inputs[0].shape[params.axes[i]], start, end, params.steps[i]);
}

Status Check(const Params& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("Slice: the operand has another rank");
  for (size_t i = 0; i < params.count; ++i)
    want[params.axes[i]] = ResolveAxis(params, args, i).length;
  return ExpectShape("Slice", "result", want, args.outputs[0].shape);
}

Status Run(const Params& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const Shape out_strides = RowMajorStrides(out.shape);
  Shape src_strides = RowMajorStrides(in.shape);
  StridedCopy copy;
  for (size_t i = 0; i < params.count; ++i) {
    const int axis = params.axes[i];
    copy.src_offset += ResolveAxis(params, args, i).start * src_strides[axis];
    src_strides[axis] *= params.steps[i];
  }
  for (int i = 0; i < params.rank; ++i) copy.AddAxis(out.shape[i], src_strides[i], out_strides[i]);
  copy.Run(BytesPerElement(in.dtype), in.data, out.data, args.parallel);
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const std::vector<int64_t> axes, spec.attrs->Ints("axes"));
  FUSEE_TRY(CheckSignature(spec, {.dims = 2 * axes.size()}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  FUSEE_TRY(const std::vector<int64_t> steps, StepInts(spec, "steps", axes.size()));
  Params params;
  params.rank = spec.inputs[0].max_shape.rank();
  if (axes.size() > static_cast<size_t>(params.rank))
    return BadStep(spec, "more axes than dimensions");
  params.count = axes.size();
  std::array<bool, kMaxRank> used{};
  for (size_t i = 0; i < axes.size(); ++i) {
    FUSEE_TRY(params.axes[i], StepAxis(spec, axes[i], params.rank));
    if (std::exchange(used[static_cast<size_t>(params.axes[i])], true)) {
      return BadStep(spec, "an axis is sliced twice");
    }
    // A step beyond every dimension takes one element, like any other such step.
    params.steps[i] = std::clamp(steps[i], -(int64_t{1} << 48), int64_t{1} << 48);
    if (steps[i] == 0) return BadStep(spec, "a step is 0");
  }
  return MakeKernel(params, Check, Run);
}

}  // namespace

extern const KernelDef slice_ref = {
    .id = "slice_ref.1", .op = "Slice", .reference = true, .bind = Bind};

}  // namespace fusee::ops
