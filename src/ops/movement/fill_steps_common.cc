#include "ops/movement/fill_steps.h"

#include <algorithm>

namespace fusee::ops {

namespace {

// Keeps sums of a dimension and two pads far from overflow.
constexpr int64_t kMaxPad = int64_t{1} << 48;

PadAxis Resolve(int64_t size, int64_t before, int64_t after) {
  const int64_t low = std::max<int64_t>(-before, 0);
  const int64_t high = size - std::max<int64_t>(-after, 0);
  return {std::max<int64_t>(before, 0), low, std::max<int64_t>(high - low, 0)};
}

}  // namespace

PadAxis ResolvePad(const PadParams& params, const RunArgs& args, int i) {
  const auto a = static_cast<size_t>(i);
  return Resolve(args.inputs[0].shape[i], args.dims[a],
                 args.dims[static_cast<size_t>(params.rank) + a]);
}

Result<PadParams> ReadPad(const StepSpec& spec) {
  PadParams params;
  if (!spec.inputs.empty()) params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(CheckSignature(spec, {.max_inputs = 2, .dims = 2 * static_cast<size_t>(params.rank)}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  if (spec.has_input(1)) {
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[1], "operand and constant"));
  }
  FUSEE_TRY(const std::string mode, spec.attrs->Str("mode", "constant"));
  if (mode == "reflect")
    params.mode = PadMode::kReflect;
  else if (mode == "edge")
    params.mode = PadMode::kEdge;
  else if (mode == "wrap")
    params.mode = PadMode::kWrap;
  else if (mode != "constant")
    return BadStep(spec, "has no mode '" + mode + "'");
  return params;
}

Status CheckPad(const PadParams& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("Pad: the operand has another rank");
  for (int64_t pad : args.dims) {
    if (pad < -kMaxPad || pad > kMaxPad) {
      return InvalidArgument("Pad: pad " + std::to_string(pad) + " is out of range");
    }
  }
  bool empty = false;
  for (int i = 0; i < params.rank; ++i) {
    const auto a = static_cast<size_t>(i);
    want[i] += args.dims[a] + args.dims[static_cast<size_t>(params.rank) + a];
    if (want[i] < 0) return InvalidArgument("Pad: the pads crop more than there is");
    empty = empty || want[i] == 0;
  }
  FUSEE_TRY(ExpectShape("Pad", "result", want, args.outputs[0].shape));
  if (args.has_input(1) && args.inputs[1].elements() != 1) {
    return InvalidArgument("Pad: the constant should have one element");
  }
  for (int i = 0; i < params.rank && params.mode != PadMode::kConstant && !empty; ++i) {
    if (ResolvePad(params, args, i).window == 0) {
      return InvalidArgument("Pad: axis " + std::to_string(i) + " has nothing to repeat");
    }
  }
  return OkStatus();
}

Status ReadRange(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2, .dims = 1}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[1], "start and delta"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "start and result"));
  return OkStatus();
}

Status CheckRange(const RunArgs& args) {
  if (args.inputs[0].elements() != 1 || args.inputs[1].elements() != 1 || args.dims[0] < 0) {
    return InvalidArgument(
        "Range: start and delta should have one element, the count none below 0");
  }
  return ExpectShape("Range", "result", Shape{args.dims[0]}, args.outputs[0].shape);
}

Result<OneHotParams> ReadOneHot(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2, .dims = 1}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[1], spec.outputs[0], "values and result"));
  OneHotParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(params.axis, ReadAxis(spec, 0, params.rank + 1));
  if (params.rank + 1 > kMaxRank) return BadStep(spec, "the result's rank is too high");
  return params;
}

Status CheckOneHot(const OneHotParams& params, const RunArgs& args) {
  const Shape& indices = args.inputs[0].shape;
  if (indices.rank() != params.rank) return InvalidArgument("OneHot: indices have another rank");
  FUSEE_TRY(ExpectShape("OneHot", "values", Shape{2}, args.inputs[1].shape));
  if (args.dims[0] < 0) return InvalidArgument("OneHot: the depth is negative");
  Shape want;
  for (int i = 0; i <= params.rank; ++i) {
    if (i == params.axis) want.push_back(args.dims[0]);
    if (i < params.rank) want.push_back(indices[i]);
  }
  return ExpectShape("OneHot", "result", want, args.outputs[0].shape);
}

Result<EyeLikeParams> ReadEyeLike(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  FUSEE_TRY(const int64_t k, spec.attrs->Int("k", 0));
  EyeLikeParams params;
  params.diagonal = std::clamp<int64_t>(k, -(int64_t{1} << 48), int64_t{1} << 48);
  return params;
}

Status CheckEyeLike(const RunArgs& args) {
  if (args.inputs[0].shape.rank() != 2) return InvalidArgument("EyeLike: needs a matrix");
  return ExpectShape("EyeLike", "result", args.inputs[0].shape, args.outputs[0].shape);
}

Result<TriluParams> ReadTrilu(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.dims = 1}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  FUSEE_TRY(const int64_t upper, spec.attrs->Int("upper", 1));
  return TriluParams{upper != 0};
}

Status CheckTrilu(const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  if (in.rank() < 2) return InvalidArgument("Trilu: needs rank 2 or more");
  return ExpectShape("Trilu", "result", in, args.outputs[0].shape);
}

int64_t TriluFirstEdge(const TriluParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const int64_t rows = in[in.rank() - 2], columns = in[in.rank() - 1];
  // Clamped so that adding a row number cannot overflow.
  const int64_t diagonal = std::clamp<int64_t>(args.dims[0], -rows - 1, columns + 1);
  // The upper part starts on the diagonal itself.
  return diagonal + (params.upper ? 0 : 1);
}

Result<CumulateParams> ReadCumulate(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  if (spec.inputs[0].dtype == DType::kBool) return BadStep(spec, "is not defined for bool");
  CumulateParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const int64_t axis, spec.attrs->Int("axis", 0));
  FUSEE_TRY(const int64_t exclusive, spec.attrs->Int("exclusive", 0));
  FUSEE_TRY(const int64_t reverse, spec.attrs->Int("reverse", 0));
  FUSEE_TRY(params.axis, StepAxis(spec, axis, params.rank));
  params.exclusive = exclusive != 0;
  params.reverse = reverse != 0;
  return params;
}

Status CheckCumulate(const CumulateParams& params, const RunArgs& args) {
  if (args.inputs[0].shape.rank() != params.rank) {
    return InvalidArgument("CumSum: the operand has another rank");
  }
  return ExpectShape("CumSum", "result", args.inputs[0].shape, args.outputs[0].shape);
}

}  // namespace fusee::ops
