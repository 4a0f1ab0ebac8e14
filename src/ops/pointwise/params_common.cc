#include "ops/pointwise/params.h"

#include "ops/pointwise/elementwise.h"

namespace fusee::ops::pointwise {

Result<BinaryParams> ReadBinary(const StepSpec& spec, TypeSet types, bool comparison) {
  FUSEE_TRY(CheckOperands(spec, 2));
  const DType dtype = spec.inputs[0].dtype;
  FUSEE_TRY(CheckType(spec, dtype, types, "operand 0"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[1], "operands"));
  FUSEE_TRY(CheckType(spec, spec.outputs[0].dtype, comparison ? kBool : Only(dtype), "the result"));
  FUSEE_TRY(const int64_t fmod, spec.attrs->Int("fmod", 0));
  FUSEE_TRY(const int64_t direction, spec.attrs->Int("direction", 0));
  return BinaryParams{dtype, {fmod != 0, direction != 0}};
}

Status CheckBinary(std::string_view op, const RunArgs& args) {
  FUSEE_TRY(CheckBroadcast(op, args));
  return op == "PRelu" ? CheckSameShape(op, args) : OkStatus();
}

Result<PowParams> ReadPow(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 2));
  FUSEE_TRY(CheckType(spec, spec.inputs[0].dtype, kNumbers, "operand 0"));
  FUSEE_TRY(CheckType(spec, spec.inputs[1].dtype, kNumbers, "operand 1"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "base and result"));
  return PowParams{spec.inputs[0].dtype, spec.inputs[1].dtype};
}

Status CheckPow(const PowParams&, const RunArgs& args) { return CheckBroadcast("Pow", args); }

EasyPower FindEasyPower(const TensorSpec& exponent) {
  if (exponent.data == nullptr || exponent.max_shape.elements() != 1) return EasyPower::kNone;
  double value = 0;
  VisitType(exponent.dtype,
            [&]<typename E>() { value = static_cast<double>(Load<E>(exponent.data, 0)); });
  if (value == 1) return EasyPower::kOne;
  if (value == 2) return EasyPower::kSquare;
  if (value == 3) return EasyPower::kCube;
  if (value == 0.5) return EasyPower::kRoot;
  return value == -1 ? EasyPower::kReciprocal : EasyPower::kNone;
}

// The result has the exponent's rank where that is larger, but always the base's elements.
Status CheckEasyPow(const RunArgs& args) {
  if (args.inputs[1].elements() != 1)
    return ShapeMismatch("Pow", "the exponent", Shape{}, args.inputs[1].shape);
  return CheckBroadcast("Pow", args);
}

Result<WhereParams> ReadWhere(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 3));
  FUSEE_TRY(CheckType(spec, spec.inputs[0].dtype, kBool, "the condition"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[1], spec.inputs[2], "operands 1 and 2"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[1], spec.outputs[0], "operand 1 and result"));
  return WhereParams{BytesPerElement(spec.inputs[1].dtype)};
}

Status CheckWhere(const WhereParams&, const RunArgs& args) { return CheckBroadcast("Where", args); }

Result<ClipParams> ReadClip(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 1, .max_inputs = 3}));
  FUSEE_TRY(CheckType(spec, spec.inputs[0].dtype, kNumbers, "the operand"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  for (size_t i = 1; i < spec.inputs.size(); ++i) {
    if (spec.has_input(i))
      FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[i], "operand and bounds"));
  }
  return ClipParams{spec.inputs[0].dtype};
}

Status CheckClip(const ClipParams&, const RunArgs& args) {
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    if (args.has_input(i) && args.inputs[i].elements() != 1) {
      return ShapeMismatch("Clip", "a bound", Shape{}, args.inputs[i].shape);
    }
  }
  return CheckSameShape("Clip", args);
}

Result<CastParams> ReadCast(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 1));
  FUSEE_TRY(const int64_t to, spec.attrs->Int("to", 0));
  if (to != static_cast<int64_t>(spec.outputs[0].dtype)) {
    return BadStep(spec, "attribute 'to' is not the result's type");
  }
  CastParams params{.from = spec.inputs[0].dtype, .to = spec.outputs[0].dtype, .rounding = {}};
  FUSEE_TRY(const int64_t saturate, spec.attrs->Int("saturate", 1));
  FUSEE_TRY(const std::string mode, spec.attrs->Str("round_mode", "up"));
  params.rounding.saturate = saturate != 0;
  if (mode == "down") {
    params.rounding.mode = NarrowRounding::Mode::kDown;
  } else if (mode == "nearest") {
    params.rounding.mode = NarrowRounding::Mode::kNearest;
  } else if (mode != "up") {
    return BadStep(spec, "attribute 'round_mode' is not up, down or nearest");
  }
  return params;
}

Status CheckCast(const CastParams&, const RunArgs& args) { return CheckSameShape("Cast", args); }

namespace {

Result<DType> ReadClassified(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 1));
  FUSEE_TRY(CheckType(spec, spec.inputs[0].dtype, kFloats, "the operand"));
  FUSEE_TRY(CheckType(spec, spec.outputs[0].dtype, kBool, "the result"));
  return spec.inputs[0].dtype;
}

}  // namespace

Result<ClassifyParams> ReadIsNaN(const StepSpec& spec) {
  FUSEE_TRY(const DType dtype, ReadClassified(spec));
  return ClassifyParams{dtype, true, false, false};
}

Result<ClassifyParams> ReadIsInf(const StepSpec& spec) {
  FUSEE_TRY(const DType dtype, ReadClassified(spec));
  FUSEE_TRY(const int64_t negative, spec.attrs->Int("detect_negative", 1));
  FUSEE_TRY(const int64_t positive, spec.attrs->Int("detect_positive", 1));
  return ClassifyParams{dtype, false, negative != 0, positive != 0};
}

Status CheckClassify(const ClassifyParams&, const RunArgs& args) {
  return CheckSameShape("IsNaN/IsInf", args);
}

}  // namespace fusee::ops::pointwise
