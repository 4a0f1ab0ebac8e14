// Reference kernels of IsNaN and IsInf.
#include <limits>

#include "ops/pointwise/elementwise.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

struct Params {
  DType dtype;
  bool nan, negative, positive;  // what gives true
};

Status Check(const Params&, const RunArgs& args) { return CheckSameShape("IsNaN/IsInf", args); }

Status Run(const Params& params, const RunArgs& args) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const void* x = args.inputs[0].data;
  const TensorView& y = args.outputs[0];
  const int64_t n = y.elements();
  bool* out = y.as<bool>();
  VisitType(params.dtype, [&]<typename T>() {
    if constexpr (Contains(kFloats, DTypeOf<T>())) {
      for (int64_t i = 0; i < n; ++i) {
        const double value = Load<T>(x, i);
        out[i] = (params.nan && value != value) || (params.negative && value == -kInfinity) ||
                 (params.positive && value == kInfinity);
      }
    }
  });
  return OkStatus();
}

Status CheckTypes(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 1));
  FUSEE_TRY(CheckType(spec, spec.inputs[0].dtype, kFloats, "the operand"));
  return CheckType(spec, spec.outputs[0].dtype, kBool, "the result");
}

Result<std::unique_ptr<BoundKernel>> BindIsNaN(const StepSpec& spec) {
  FUSEE_TRY(CheckTypes(spec));
  return MakeKernel(Params{spec.inputs[0].dtype, true, false, false}, &Check, &Run);
}

Result<std::unique_ptr<BoundKernel>> BindIsInf(const StepSpec& spec) {
  FUSEE_TRY(CheckTypes(spec));
  FUSEE_TRY(const int64_t negative, spec.attrs->Int("detect_negative", 1));
  FUSEE_TRY(const int64_t positive, spec.attrs->Int("detect_positive", 1));
  return MakeKernel(Params{spec.inputs[0].dtype, false, negative != 0, positive != 0}, &Check,
                    &Run);
}

}  // namespace

extern const KernelDef is_nan_ref = {
    .id = "is_nan_ref.1", .op = "IsNaN", .reference = true, .bind = &BindIsNaN};
extern const KernelDef is_inf_ref = {
    .id = "is_inf_ref.1", .op = "IsInf", .reference = true, .bind = &BindIsInf};

}  // namespace fusee::ops
