// Tile: a strided copy with two axes per dimension, the outer one repeating (source stride 0).
#include "base/checked_math.h"
#include "ops/movement/kernel_support.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {
namespace {

struct Params {
  int rank = 0;
};

Status Check(const Params& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("Tile: the operand has another rank");
  for (int i = 0; i < params.rank; ++i) {
    const int64_t repeat = args.dims[static_cast<size_t>(i)];
    if (repeat < 0 || !CheckedMul(want[i], repeat, &want[i])) {
      return InvalidArgument("Tile: repeat " + std::to_string(repeat) + " of axis " +
                             std::to_string(i) + " is out of range");
    }
  }
  return ExpectShape("Tile", "result", want, args.outputs[0].shape);
}

Status Run(const Params& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const Shape in_strides = RowMajorStrides(in.shape);
  const Shape out_strides = RowMajorStrides(args.outputs[0].shape);
  StridedCopy copy;
  for (int i = 0; i < params.rank; ++i) {
    copy.AddAxis(args.dims[static_cast<size_t>(i)], 0, in.shape[i] * out_strides[i]);
    copy.AddAxis(in.shape[i], in_strides[i], out_strides[i]);
  }
  copy.Run(BytesPerElement(in.dtype), in.data, args.outputs[0].data, args.parallel);
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  Params params;
  if (!spec.inputs.empty()) params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(CheckSignature(spec, {.dims = static_cast<size_t>(params.rank)}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  return MakeKernel(params, Check, Run);
}

}  // namespace

extern const KernelDef tile_ref = {
    .id = "tile_ref.1", .op = "Tile", .reference = true, .bind = Bind};

}  // namespace fusee::ops
