// Transpose as a strided copy: runs of 16 bytes, or tile by tile through shared memory.
#include "ops/movement/strided_copy_cuda.cuh"
#include "ops/movement/transpose.h"

namespace fusee::ops {
namespace {

Status Run(const TransposeParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  return LaunchStridedCopy(TransposeCopy(params, args), BytesPerElement(in.dtype), in.data,
                           args.outputs[0].data, args.queue);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const TransposeParams params, ReadTranspose(spec));
  return MakeKernel(params, CheckTranspose, Run);
}

}  // namespace

extern const KernelDef transpose_cuda = {
    .id = "transpose_cuda.1", .op = "Transpose", .device = DeviceKind::kCuda, .bind = Bind};

}  // namespace fusee::ops
