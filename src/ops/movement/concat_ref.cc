// Concat: one strided copy per operand into its place along the axis.
#include "ops/movement/copy_steps.h"

namespace fusee::ops {
namespace {

Status Run(const JoinParams& params, const RunArgs& args) {
  const TensorView& out = args.outputs[0];
  int64_t begin = 0;
  for (const ConstTensorView& in : args.inputs) {
    const int64_t size = in.shape[params.axis];
    const JoinedPart part = PartOf(params, out.shape, begin, size);
    StridedCopy copy;
    copy.AddAxis(part.outer, part.row, part.whole);
    copy.AddAxis(part.row, 1, 1);
    copy.dst_offset = part.offset;
    copy.Run(BytesPerElement(out.dtype), in.data, out.data, args.parallel);
    begin += size;
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const JoinParams params, ReadConcat(spec));
  return MakeKernel(params, CheckConcat, Run);
}

}  // namespace

extern const KernelDef concat_ref = {
    .id = "concat_ref.1", .op = "Concat", .reference = true, .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
