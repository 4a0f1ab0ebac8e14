// Split: one strided copy per wanted result.
#include "ops/movement/kernel_support.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {
namespace {

struct Params {
  int rank = 0;
  int axis = 0;
};

Status Check(const Params& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  if (in.rank() != params.rank) return InvalidArgument("Split: the operand has another rank");
  int64_t left = in[params.axis];
  for (size_t i = 0; i < args.outputs.size(); ++i) {
    const int64_t size = args.dims[i];
    if (size < 0 || size > left) {
      return InvalidArgument("Split: the parts do not fit dimension " +
                             std::to_string(params.axis) + " of " + in.ToString());
    }
    left -= size;
    if (!args.outputs[i].present()) continue;
    Shape want = in;
    want[params.axis] = size;
    FUSEE_TRY(ExpectShape("Split", "a result", want, args.outputs[i].shape));
  }
  if (left != 0) return InvalidArgument("Split: the parts do not cover " + in.ToString());
  return OkStatus();
}

Status Run(const Params& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const int64_t outer = in.shape.elements(0, params.axis);
  const int64_t inner = in.shape.elements(params.axis + 1, params.rank);
  const int64_t in_row = in.shape[params.axis] * inner;
  int64_t offset = 0;
  for (size_t i = 0; i < args.outputs.size(); ++i) {
    const int64_t row = args.dims[i] * inner;
    if (args.outputs[i].present()) {
      StridedCopy copy;
      copy.AddAxis(outer, in_row, row);
      copy.AddAxis(row, 1, 1);
      copy.src_offset = offset;
      copy.Run(BytesPerElement(in.dtype), in.data, args.outputs[i].data, args.parallel);
    }
    offset += row;
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  const size_t count = spec.outputs.size();
  if (count == 0) return BadStep(spec, "has no results");
  FUSEE_TRY(CheckSignature(spec, {.min_outputs = 0, .max_outputs = count, .dims = count}));
  for (const TensorSpec& out : spec.outputs) {
    if (out.present()) FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], out, "operand and results"));
  }
  Params params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const int64_t axis, spec.attrs->Int("axis", 0));
  FUSEE_TRY(params.axis, StepAxis(spec, axis, params.rank));
  return MakeKernel(params, Check, Run);
}

}  // namespace

extern const KernelDef split_ref = {
    .id = "split_ref.1", .op = "Split", .reference = true, .bind = Bind};

}  // namespace fusee::ops
