// Reference kernels of IsNaN and IsInf.
#include <limits>

#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status Run(const ClassifyParams& params, const RunArgs& args) {
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

Result<std::unique_ptr<BoundKernel>> BindIsNaN(const StepSpec& spec) {
  FUSEE_TRY(const ClassifyParams params, ReadIsNaN(spec));
  return MakeKernel(params, &CheckClassify, &Run);
}

Result<std::unique_ptr<BoundKernel>> BindIsInf(const StepSpec& spec) {
  FUSEE_TRY(const ClassifyParams params, ReadIsInf(spec));
  return MakeKernel(params, &CheckClassify, &Run);
}

}  // namespace

extern const KernelDef is_nan_ref = {
    .id = "is_nan_ref.1", .op = "IsNaN", .reference = true, .bind = &BindIsNaN};
extern const KernelDef is_inf_ref = {
    .id = "is_inf_ref.1", .op = "IsInf", .reference = true, .bind = &BindIsInf};

}  // namespace fusee::ops
