// Shape and Size: what the compiler could not replace by a constant, written from the operand's
// shape without reading its data.
#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {
  int rank = 0;
  int start = 0;
  int end = 0;
};

Status CheckShape(const Params& params, const RunArgs& args) {
  if (args.inputs[0].shape.rank() != params.rank) return InvalidArgument("Shape: another rank");
  return ExpectShape("Shape", "result", Shape{params.end - params.start}, args.outputs[0].shape);
}

Status RunShape(const Params& params, const RunArgs& args) {
  int64_t* out = args.outputs[0].as<int64_t>();
  for (int i = params.start; i < params.end; ++i) *out++ = args.inputs[0].shape[i];
  return OkStatus();
}

Status CheckSize(const Params&, const RunArgs& args) {
  return ExpectShape("Size", "result", Shape{}, args.outputs[0].shape);
}

Status RunSize(const Params&, const RunArgs& args) {
  *args.outputs[0].as<int64_t>() = args.inputs[0].elements();
  return OkStatus();
}

Status CheckI64(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  return spec.outputs[0].dtype == DType::kI64 ? OkStatus()
                                              : BadStep(spec, "the result should be i64");
}

Result<std::unique_ptr<BoundKernel>> BindShape(const StepSpec& spec) {
  FUSEE_TRY(CheckI64(spec));
  const int64_t rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const int64_t start, spec.attrs->Int("start", 0));
  FUSEE_TRY(const int64_t end, spec.attrs->Int("end", rank));
  if (start < 0 || end < start || end > rank)
    return BadStep(spec, "start and end are no range of axes");
  return MakeKernel(Params{static_cast<int>(rank), static_cast<int>(start), static_cast<int>(end)},
                    CheckShape, RunShape);
}

Result<std::unique_ptr<BoundKernel>> BindSize(const StepSpec& spec) {
  FUSEE_TRY(CheckI64(spec));
  return MakeKernel(Params{}, CheckSize, RunSize);
}

}  // namespace

extern const KernelDef shape_ref = {
    .id = "shape_ref.1", .op = "Shape", .reference = true, .bind = BindShape};
extern const KernelDef size_ref = {
    .id = "size_ref.1", .op = "Size", .reference = true, .bind = BindSize};

}  // namespace fusee::ops
