// Gather: result[o, j, i] = data[o, indices[j], i], rows copied whole. Indices in [-n, n); one
// outside is an error at run time, found before anything is written.
#include <cstring>

#include "ops/movement/index_steps.h"

namespace fusee::ops {
namespace {

template <typename Index>
Status RunTyped(const GatherParams& params, const RunArgs& args) {
  const ConstTensorView& data = args.inputs[0];
  const Index* indices = args.inputs[1].as<Index>();
  const int64_t count = args.inputs[1].elements();
  const int64_t size = data.shape[params.axis];
  for (int64_t j = 0; j < count; ++j) {
    if (indices[j] < -size || indices[j] >= size) return BadIndex("Gather", indices[j], size);
  }
  const int64_t outer = data.shape.elements(0, params.axis);
  const int64_t inner = data.shape.elements(params.axis + 1, params.data_rank);
  const int64_t bytes = inner * BytesPerElement(data.dtype);
  if (bytes == 0) return OkStatus();
  const auto* src = static_cast<const std::byte*>(data.data);
  auto* dst = static_cast<std::byte*>(args.outputs[0].data);
  ParallelBlocks(args.parallel, outer * count, kElementsPerTask / inner,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t k = begin; k < end; ++k) {
                     const int64_t index = indices[k % count];
                     const int64_t row = k / count * size + (index < 0 ? index + size : index);
                     std::memcpy(dst + k * bytes, src + row * bytes, static_cast<size_t>(bytes));
                   }
                 });
  return OkStatus();
}

Status Run(const GatherParams& params, const RunArgs& args) {
  return args.inputs[1].dtype == DType::kI32 ? RunTyped<int32_t>(params, args)
                                             : RunTyped<int64_t>(params, args);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const GatherParams params, ReadGather(spec));
  return MakeKernel(params, CheckGather, Run);
}

}  // namespace

extern const KernelDef gather_ref = {
    .id = "gather_ref.1", .op = "Gather", .reference = true, .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
