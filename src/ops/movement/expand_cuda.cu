// Expand: a strided copy.
#include "ops/movement/copy_steps.h"
#include "ops/movement/strided_copy_cuda.cuh"

namespace fusee::ops {
namespace {

Status Run(const ExpandParams&, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  return LaunchStridedCopy(ExpandCopy(args), BytesPerElement(in.dtype), in.data,
                           args.outputs[0].data, args.queue);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ExpandParams params, ReadExpand(spec));
  return MakeKernel(params, CheckExpand, Run);
}

}  // namespace

extern const KernelDef expand_cuda = {
    .id = "expand_cuda.1", .op = "Expand", .device = DeviceKind::kCuda, .bind = Bind};

}  // namespace fusee::ops
