// Transpose by index arithmetic, one element at a time: the reference for transpose_cpu.
#include <cstring>

#include "ops/movement/transpose.h"

namespace fusee::ops {
namespace {

Status Run(const TransposeParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const Shape in_strides = RowMajorStrides(in.shape);
  const Shape out_strides = RowMajorStrides(out.shape);
  const auto bytes = static_cast<size_t>(BytesPerElement(in.dtype));
  const auto* src = static_cast<const std::byte*>(in.data);
  auto* dst = static_cast<std::byte*>(out.data);
  ParallelBlocks(args.parallel, out.elements(), kElementsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      int64_t from = 0;
      for (int i = 0; i < out.shape.rank(); ++i) {
        const int64_t index = k / out_strides[i] % out.shape[i];
        from += index * in_strides[params.perm[static_cast<size_t>(i)]];
      }
      std::memcpy(dst + static_cast<size_t>(k) * bytes, src + static_cast<size_t>(from) * bytes,
                  bytes);
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const TransposeParams params, ReadTranspose(spec));
  return MakeKernel(params, CheckTranspose, Run);
}

}  // namespace

extern const KernelDef transpose_ref = {
    .id = "transpose_ref.1", .op = "Transpose", .reference = true, .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
