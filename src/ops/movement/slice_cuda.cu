// Slice: a strided copy.
#include "ops/movement/copy_steps.h"
#include "ops/movement/strided_copy_cuda.cuh"

namespace fusee::ops {
namespace {

Status Run(const SliceParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  return LaunchStridedCopy(SliceCopy(params, args), BytesPerElement(in.dtype), in.data,
                           args.outputs[0].data, args.queue);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const SliceParams params, ReadSlice(spec));
  return MakeKernel(params, CheckSlice, Run);
}

}  // namespace

extern const KernelDef slice_cuda = {
    .id = "slice_cuda.1", .op = "Slice", .device = DeviceKind::kCuda, .bind = Bind};

}  // namespace fusee::ops
