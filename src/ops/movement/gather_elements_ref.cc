// GatherElements and GatherND. All indices are checked before anything is written.
#include <cstring>

#include "ops/movement/index_steps.h"

namespace fusee::ops {
namespace {

Status RunElements(const GatherElementsParams& params, const RunArgs& args) {
  const ConstTensorView& indices = args.inputs[1];
  const IndexGrid grid(args.inputs[0].shape, indices.shape, params.axis);
  FUSEE_TRY(grid.Check("GatherElements", indices));
  const auto bytes = static_cast<size_t>(BytesPerElement(args.inputs[0].dtype));
  const auto* src = static_cast<const std::byte*>(args.inputs[0].data);
  auto* dst = static_cast<std::byte*>(args.outputs[0].data);
  ParallelBlocks(args.parallel, indices.elements(), kElementsPerTask,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t k = begin; k < end; ++k) {
                     const auto from = static_cast<size_t>(grid.Offset(indices, k));
                     std::memcpy(dst + static_cast<size_t>(k) * bytes, src + from * bytes, bytes);
                   }
                 });
  return OkStatus();
}

Status RunNd(const GatherNdParams& params, const RunArgs& args) {
  const ConstTensorView& data = args.inputs[0];
  const ConstTensorView& indices = args.inputs[1];
  const int last = indices.shape.rank() - 1;
  const int64_t tuple = indices.shape[last];
  const int64_t count = indices.shape.elements(0, last);
  const IndexTuples tuples(data.shape, params.batch, tuple);
  FUSEE_TRY(tuples.Check("GatherND", indices, count));
  const int slice_axis = params.batch + static_cast<int>(tuple);
  const int64_t slice = data.shape.elements(slice_axis, params.rank);
  const int64_t per_batch = indices.shape.elements(params.batch, last);
  const int64_t batch_stride = data.shape.elements(params.batch, params.rank);
  const int64_t bytes = BytesPerElement(data.dtype);
  const auto* src = static_cast<const std::byte*>(data.data);
  auto* dst = static_cast<std::byte*>(args.outputs[0].data);
  if (slice == 0) return OkStatus();
  ParallelBlocks(args.parallel, count, kElementsPerTask / slice, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = i / per_batch * batch_stride + tuples.Offset(indices, i);
      std::memcpy(dst + i * slice * bytes, src + from * bytes, static_cast<size_t>(slice * bytes));
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> BindElements(const StepSpec& spec) {
  FUSEE_TRY(const GatherElementsParams params, ReadGatherElements(spec));
  return MakeKernel(params, CheckGatherElements, RunElements);
}

Result<std::unique_ptr<BoundKernel>> BindNd(const StepSpec& spec) {
  FUSEE_TRY(const GatherNdParams params, ReadGatherNd(spec));
  return MakeKernel(params, CheckGatherNd, RunNd);
}

}  // namespace

extern const KernelDef gather_elements_ref = {
    .id = "gather_elements_ref.1", .op = "GatherElements", .reference = true, .bind = BindElements};
extern const KernelDef gather_nd_ref = {
    .id = "gather_nd_ref.1", .op = "GatherND", .reference = true, .bind = BindNd};

}  // namespace fusee::ops
