#include "ops/movement/copy_steps.h"

#include <algorithm>
#include <utility>

#include "base/checked_math.h"

namespace fusee::ops {
namespace {

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

AxisRange ResolveAxis(const SliceParams& params, const RunArgs& args, size_t i) {
  const int64_t start = std::clamp(args.dims[i], -kFar, kFar);
  const int64_t end = std::clamp(args.dims[params.count + i], -kFar, kFar);
  return Resolve(args.inputs[0].shape[params.axes[i]], start, end, params.steps[i]);
}

}  // namespace

Status ReadCopy(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.dims = spec.dim_count}));
  return CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result");
}

Status CheckCopy(const RunArgs& args) {
  if (args.inputs[0].elements() == args.outputs[0].elements()) return OkStatus();
  return ShapeMismatch("Copy", "result", args.inputs[0].shape, args.outputs[0].shape);
}

namespace {

Status CheckShapeStep(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  return spec.outputs[0].dtype == DType::kI64 ? OkStatus()
                                              : BadStep(spec, "the result should be i64");
}

}  // namespace

Result<ShapeParams> ReadShape(const StepSpec& spec) {
  FUSEE_TRY(CheckShapeStep(spec));
  const int64_t rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const int64_t start, spec.attrs->Int("start", 0));
  FUSEE_TRY(const int64_t end, spec.attrs->Int("end", rank));
  if (start < 0 || end < start || end > rank)
    return BadStep(spec, "start and end are no range of axes");
  return ShapeParams{static_cast<int>(rank), static_cast<int>(start), static_cast<int>(end)};
}

Status CheckShapeOf(const ShapeParams& params, const RunArgs& args) {
  if (args.inputs[0].shape.rank() != params.rank) return InvalidArgument("Shape: another rank");
  return ExpectShape("Shape", "result", Shape{params.end - params.start}, args.outputs[0].shape);
}

Status ReadSize(const StepSpec& spec) { return CheckShapeStep(spec); }

Status CheckSize(const RunArgs& args) {
  return ExpectShape("Size", "result", Shape{}, args.outputs[0].shape);
}

Result<SliceParams> ReadSlice(const StepSpec& spec) {
  FUSEE_TRY(const std::vector<int64_t> axes, spec.attrs->Ints("axes"));
  FUSEE_TRY(CheckSignature(spec, {.dims = 2 * axes.size()}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  FUSEE_TRY(const std::vector<int64_t> steps, StepInts(spec, "steps", axes.size()));
  SliceParams params;
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
  return params;
}

Status CheckSlice(const SliceParams& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("Slice: the operand has another rank");
  for (size_t i = 0; i < params.count; ++i)
    want[params.axes[i]] = ResolveAxis(params, args, i).length;
  return ExpectShape("Slice", "result", want, args.outputs[0].shape);
}

StridedCopy SliceCopy(const SliceParams& params, const RunArgs& args) {
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
  return copy;
}

Result<ExpandParams> ReadExpand(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.dims = spec.dim_count}));
  if (spec.dim_count > kMaxRank) return BadStep(spec, "the target shape's rank is too high");
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  return ExpandParams{spec.dim_count};
}

Status CheckExpand(const ExpandParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const Shape& out = args.outputs[0].shape;
  const int rank = std::max(in.rank(), static_cast<int>(params.dims));
  Shape want;
  for (int i = 0; i < rank; ++i) {
    const int in_axis = i - (rank - in.rank());
    const int dim_axis = i - (rank - static_cast<int>(params.dims));
    const int64_t a = in_axis < 0 ? 1 : in[in_axis];
    const int64_t b = dim_axis < 0 ? 1 : args.dims[static_cast<size_t>(dim_axis)];
    if (b < 0 || (a != b && a != 1 && b != 1)) {
      return InvalidArgument("Expand: " + in.ToString() + " does not broadcast to size " +
                             std::to_string(b) + " on axis " + std::to_string(i));
    }
    want.push_back(a == 1 ? b : a);
  }
  return ExpectShape("Expand", "result", want, out);
}

StridedCopy ExpandCopy(const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const Shape in_strides = RowMajorStrides(in.shape);
  const Shape out_strides = RowMajorStrides(out.shape);
  const int lead = out.shape.rank() - in.shape.rank();
  StridedCopy copy;
  for (int i = 0; i < out.shape.rank(); ++i) {
    const bool repeats = i < lead || in.shape[i - lead] == 1;
    copy.AddAxis(out.shape[i], repeats ? 0 : in_strides[i - lead], out_strides[i]);
  }
  return copy;
}

Result<TileParams> ReadTile(const StepSpec& spec) {
  TileParams params;
  if (!spec.inputs.empty()) params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(CheckSignature(spec, {.dims = static_cast<size_t>(params.rank)}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  return params;
}

Status CheckTile(const TileParams& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("Tile: the operand has another rank");
  for (int i = 0; i < params.rank; ++i) {
    const int64_t repeat = args.dims[static_cast<size_t>(i)];
    if (repeat < 0 || !CheckedMul(want[i], repeat, &want[i])) {
      return InvalidArgument("Tile: repeat " + std::to_string(repeat) + " of axis " +
                             std::to_string(i) + " is out of range");
    }
  }
  return ExpectShape("Tile", "result", want, args.outputs[0].shape);
}

StridedCopy TileCopy(const TileParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const Shape in_strides = RowMajorStrides(in.shape);
  const Shape out_strides = RowMajorStrides(args.outputs[0].shape);
  StridedCopy copy;
  for (int i = 0; i < params.rank; ++i) {
    copy.AddAxis(args.dims[static_cast<size_t>(i)], 0, in.shape[i] * out_strides[i]);
    copy.AddAxis(in.shape[i], in_strides[i], out_strides[i]);
  }
  return copy;
}

Result<JoinParams> ReadConcat(const StepSpec& spec) {
  const size_t count = spec.inputs.size();
  if (count == 0) return BadStep(spec, "needs at least one operand");
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = count, .max_inputs = count}));
  for (const TensorSpec& in : spec.inputs) {
    FUSEE_TRY(CheckSameDType(spec, in, spec.outputs[0], "operands and result"));
  }
  JoinParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(params.axis, ReadAxis(spec, 0, params.rank));
  return params;
}

Status CheckConcat(const JoinParams& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("Concat: operand 0 has another rank");
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    const Shape& shape = args.inputs[i].shape;
    Shape expected = want;
    if (shape.rank() == params.rank) expected[params.axis] = shape[params.axis];
    FUSEE_TRY(ExpectShape("Concat", "an operand", expected, shape));
    want[params.axis] += shape[params.axis];
  }
  return ExpectShape("Concat", "result", want, args.outputs[0].shape);
}

Result<JoinParams> ReadSplit(const StepSpec& spec) {
  const size_t count = spec.outputs.size();
  if (count == 0) return BadStep(spec, "has no results");
  FUSEE_TRY(CheckSignature(spec, {.min_outputs = 0, .max_outputs = count, .dims = count}));
  for (const TensorSpec& out : spec.outputs) {
    if (out.present()) FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], out, "operand and results"));
  }
  JoinParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(params.axis, ReadAxis(spec, 0, params.rank));
  return params;
}

Status CheckSplit(const JoinParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  if (in.rank() != params.rank) return InvalidArgument("Split: the operand has another rank");
  int64_t left = in[params.axis];
  for (size_t i = 0; i < args.outputs.size(); ++i) {
    const int64_t size = args.dims[i];
    if (size < 0 || size > left) {
      return InvalidArgument("Split: the parts do not fit dimension " +
                             std::to_string(params.axis) + " of " + in.ToString());
    }
    left -= size;
    if (!args.outputs[i].present()) continue;
    Shape want = in;
    want[params.axis] = size;
    FUSEE_TRY(ExpectShape("Split", "a result", want, args.outputs[i].shape));
  }
  if (left != 0) return InvalidArgument("Split: the parts do not cover " + in.ToString());
  return OkStatus();
}

JoinedPart PartOf(const JoinParams& params, const Shape& whole, int64_t begin, int64_t size) {
  const int64_t inner = whole.elements(params.axis + 1, params.rank);
  return {whole.elements(0, params.axis), size * inner, begin * inner, whole[params.axis] * inner};
}

}  // namespace fusee::ops
