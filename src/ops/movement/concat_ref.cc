// Concat: one strided copy per operand into its place along the axis.
#include "ops/movement/kernel_support.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {
namespace {

struct Params {
  int rank = 0;
  int axis = 0;
};

Status Check(const Params& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("Concat: operand 0 has another rank");
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    const Shape& shape = args.inputs[i].shape;
    Shape expected = want;
    if (shape.rank() == params.rank) expected[params.axis] = shape[params.axis];
    FUSEE_TRY(ExpectShape("Concat", "an operand", expected, shape));
    want[params.axis] += shape[params.axis];
  }
  return ExpectShape("Concat", "result", want, args.outputs[0].shape);
}

Status Run(const Params& params, const RunArgs& args) {
  const TensorView& out = args.outputs[0];
  const int64_t outer = out.shape.elements(0, params.axis);
  const int64_t inner = out.shape.elements(params.axis + 1, params.rank);
  const int64_t out_row = out.shape[params.axis] * inner;
  int64_t offset = 0;
  for (const ConstTensorView& in : args.inputs) {
    const int64_t row = in.shape[params.axis] * inner;
    StridedCopy copy;
    copy.AddAxis(outer, row, out_row);
    copy.AddAxis(row, 1, 1);
    copy.dst_offset = offset;
    copy.Run(BytesPerElement(out.dtype), in.data, out.data, args.parallel);
    offset += row;
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  const size_t count = spec.inputs.size();
  if (count == 0) return BadStep(spec, "needs at least one operand");
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = count, .max_inputs = count}));
  for (const TensorSpec& in : spec.inputs) {
    FUSEE_TRY(CheckSameDType(spec, in, spec.outputs[0], "operands and result"));
  }
  Params params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const int64_t axis, spec.attrs->Int("axis", 0));
  FUSEE_TRY(params.axis, StepAxis(spec, axis, params.rank));
  return MakeKernel(params, Check, Run);
}

}  // namespace

extern const KernelDef concat_ref = {
    .id = "concat_ref.1", .op = "Concat", .reference = true, .bind = Bind};

}  // namespace fusee::ops
