// Transpose as a strided copy: long runs by memcpy, true two-dimensional transposes tile by tile.
// Traffic: every element is read and written once.
#include "ops/movement/transpose.h"

namespace fusee::ops {
namespace {

Status Run(const TransposeParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  TransposeCopy(params, args)
      .Run(BytesPerElement(in.dtype), in.data, args.outputs[0].data, args.parallel);
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const TransposeParams params, ReadTranspose(spec));
  return MakeKernel(params, CheckTranspose, Run);
}

}  // namespace

extern const KernelDef transpose_cpu = {
    .id = "transpose_cpu.1", .op = "Transpose", .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
