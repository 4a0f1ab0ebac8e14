// Split: one strided copy per wanted result.
#include "ops/movement/copy_steps.h"

namespace fusee::ops {
namespace {

Status Run(const JoinParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  int64_t begin = 0;
  for (size_t i = 0; i < args.outputs.size(); ++i) {
    const JoinedPart part = PartOf(params, in.shape, begin, args.dims[i]);
    begin += args.dims[i];
    if (!args.outputs[i].present()) continue;
    StridedCopy copy;
    copy.AddAxis(part.outer, part.whole, part.row);
    copy.AddAxis(part.row, 1, 1);
    copy.src_offset = part.offset;
    copy.Run(BytesPerElement(in.dtype), in.data, args.outputs[i].data, args.parallel);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const JoinParams params, ReadSplit(spec));
  return MakeKernel(params, CheckSplit, Run);
}

}  // namespace

extern const KernelDef split_ref = {
    .id = "split_ref.1", .op = "Split", .reference = true, .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
