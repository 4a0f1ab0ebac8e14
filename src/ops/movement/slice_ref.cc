// Slice: a strided copy.
#include "ops/movement/copy_steps.h"

namespace fusee::ops {
namespace {

Status Run(const SliceParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  SliceCopy(params, args)
      .Run(BytesPerElement(in.dtype), in.data, args.outputs[0].data, args.parallel);
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const SliceParams params, ReadSlice(spec));
  return MakeKernel(params, CheckSlice, Run);
}

}  // namespace

extern const KernelDef slice_ref = {
    .id = "slice_ref.1", .op = "Slice", .reference = true, .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
