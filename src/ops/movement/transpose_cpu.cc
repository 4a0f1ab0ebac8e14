// Transpose as a strided copy: long runs by memcpy, true two-dimensional transposes tile by tile.
// Traffic: every element is read and written once.
#include "ops/movement/strided_copy.h"
#include "ops/movement/transpose.h"

namespace fusee::ops {
namespace {

Status Run(const TransposeParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const Shape in_strides = RowMajorStrides(in.shape);
  const Shape out_strides = RowMajorStrides(out.shape);
  StridedCopy copy;
  for (int i = 0; i < params.rank; ++i) {
    copy.AddAxis(out.shape[i], in_strides[params.perm[static_cast<size_t>(i)]], out_strides[i]);
  }
  copy.Run(BytesPerElement(in.dtype), in.data, out.data, args.parallel);
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const TransposeParams params, ReadTranspose(spec));
  return MakeKernel(params, CheckTranspose, Run);
}

}  // namespace

extern const KernelDef transpose_cpu = {.id = "transpose_cpu.1", .op = "Transpose", .bind = Bind};

}  // namespace fusee::ops
