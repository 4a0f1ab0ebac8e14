// Expand: a strided copy whose source stride is 0 along every broadcast axis.
#include "ops/movement/kernel_support.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {
namespace {

struct Params {
  size_t dims = 0;
};

Status Check(const Params& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const Shape& out = args.outputs[0].shape;
  const int rank = std::max(in.rank(), static_cast<int>(params.dims));
  Shape want;
  for (int i = 0; i < rank; ++i) {
    const int in_axis = i - (rank - in.rank());
    const int dim_axis = i - (rank - static_cast<int>(params.dims));
    const int64_t a = in_axis < 0 ? 1 : in[in_axis];
    const int64_t b = dim_axis < 0 ? 1 : args.dims[static_cast<size_t>(dim_axis)];
    if (b < 0 || (a != b && a != 1 && b != 1)) {
      return InvalidArgument("Expand: " + in.ToString() + " does not broadcast to size " +
                             std::to_string(b) + " on axis " + std::to_string(i));
    }
    want.push_back(a == 1 ? b : a);
  }
  return ExpectShape("Expand", "result", want, out);
}

Status Run(const Params& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const Shape in_strides = RowMajorStrides(in.shape);
  const Shape out_strides = RowMajorStrides(out.shape);
  const int lead = out.shape.rank() - in.shape.rank();
  StridedCopy copy;
  for (int i = 0; i < out.shape.rank(); ++i) {
    const bool repeats = i < lead || in.shape[i - lead] == 1;
    copy.AddAxis(out.shape[i], repeats ? 0 : in_strides[i - lead], out_strides[i]);
  }
  copy.Run(BytesPerElement(in.dtype), in.data, out.data, args.parallel);
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.dims = spec.dim_count}));
  if (spec.dim_count > kMaxRank) return BadStep(spec, "the target shape's rank is too high");
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  return MakeKernel(Params{spec.dim_count}, Check, Run);
}

}  // namespace

extern const KernelDef expand_ref = {
    .id = "expand_ref.1", .op = "Expand", .reference = true, .bind = Bind};

}  // namespace fusee::ops
