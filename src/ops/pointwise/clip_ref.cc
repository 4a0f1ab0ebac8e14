// Reference kernel of Clip.
#include "ops/pointwise/elementwise.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

struct Params {
  DType dtype;
};

Status Check(const Params&, const RunArgs& args) {
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    if (args.has_input(i) && args.inputs[i].elements() != 1) {
      return ShapeMismatch("Clip", "a bound", Shape{}, args.inputs[i].shape);
    }
  }
  return CheckSameShape("Clip", args);
}

Status Run(const Params& params, const RunArgs& args) {
  const void* x = args.inputs[0].data;
  const TensorView& y = args.outputs[0];
  const int64_t n = y.elements();
  VisitType(params.dtype, [&]<typename T>() {
    T* out = y.as<T>();
    for (int64_t i = 0; i < n; ++i) {
      Wide<T> value = Load<T>(x, i);
      if (args.has_input(1) && value < Load<T>(args.inputs[1].data, 0))
        value = Load<T>(args.inputs[1].data, 0);
      if (args.has_input(2) && value > Load<T>(args.inputs[2].data, 0))
        value = Load<T>(args.inputs[2].data, 0);
      out[i] = Narrow<T>(value);
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 1, .max_inputs = 3}));
  FUSEE_TRY(CheckType(spec, spec.inputs[0].dtype, kNumbers, "the operand"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  for (size_t i = 1; i < spec.inputs.size(); ++i) {
    if (spec.has_input(i))
      FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[i], "operand and bounds"));
  }
  return MakeKernel(Params{spec.inputs[0].dtype}, &Check, &Run);
}

}  // namespace

extern const KernelDef clip_ref = {
    .id = "clip_ref.1", .op = "Clip", .reference = true, .in_place_inputs = 1, .bind = &Bind};

}  // namespace fusee::ops
