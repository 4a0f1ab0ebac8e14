// Expand: a strided copy.
#include "ops/movement/copy_steps.h"

namespace fusee::ops {
namespace {

Status Run(const ExpandParams&, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  ExpandCopy(args).Run(BytesPerElement(in.dtype), in.data, args.outputs[0].data, args.parallel);
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ExpandParams params, ReadExpand(spec));
  return MakeKernel(params, CheckExpand, Run);
}

}  // namespace

extern const KernelDef expand_ref = {
    .id = "expand_ref.1", .op = "Expand", .reference = true, .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
