// Shape and Size: what the compiler could not replace by a constant, written from the operand's
// shape without reading its data.
#include "ops/movement/copy_steps.h"

namespace fusee::ops {
namespace {

struct Params {};

Status RunShape(const ShapeParams& params, const RunArgs& args) {
  int64_t* out = args.outputs[0].as<int64_t>();
  for (int i = params.start; i < params.end; ++i) *out++ = args.inputs[0].shape[i];
  return OkStatus();
}

Status CheckSizeOf(const Params&, const RunArgs& args) { return CheckSize(args); }

Status RunSize(const Params&, const RunArgs& args) {
  *args.outputs[0].as<int64_t>() = args.inputs[0].elements();
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> BindShape(const StepSpec& spec) {
  FUSEE_TRY(const ShapeParams params, ReadShape(spec));
  return MakeKernel(params, CheckShapeOf, RunShape);
}

Result<std::unique_ptr<BoundKernel>> BindSize(const StepSpec& spec) {
  FUSEE_TRY(ReadSize(spec));
  return MakeKernel(Params{}, CheckSizeOf, RunSize);
}

}  // namespace

extern const KernelDef shape_ref = {
    .id = "shape_ref.1", .op = "Shape", .reference = true, .bind = {BindShape, kNarrowToo}};
extern const KernelDef size_ref = {
    .id = "size_ref.1", .op = "Size", .reference = true, .bind = {BindSize, kNarrowToo}};

}  // namespace fusee::ops
