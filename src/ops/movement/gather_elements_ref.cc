// GatherElements and GatherND. All indices are checked before anything is written.
#include <cstring>

#include "ops/movement/indexing.h"

namespace fusee::ops {
namespace {

struct Params {
  int rank = 0;
  int axis = 0;
  int batch = 0;
};

Status CheckElements(const Params& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  if (data.rank() != params.rank) return InvalidArgument("GatherElements: data has another rank");
  FUSEE_TRY(IndexGrid::CheckShapes("GatherElements", data, args.inputs[1].shape, params.axis));
  return ExpectShape("GatherElements", "result", args.inputs[1].shape, args.outputs[0].shape);
}

Status RunElements(const Params& params, const RunArgs& args) {
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

Status CheckNd(const Params& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& indices = args.inputs[1].shape;
  const int last = indices.rank() - 1;
  if (data.rank() != params.rank || last < params.batch || indices[last] < 1 ||
      indices[last] > params.rank - params.batch) {
    return InvalidArgument("GatherND: indices " + indices.ToString() + " do not fit data " +
                           data.ToString());
  }
  const int slice = params.batch + static_cast<int>(indices[last]);
  if (last + params.rank - slice > kMaxRank) return InvalidArgument("GatherND: rank too high");
  Shape want;
  for (int i = 0; i < last; ++i) {
    if (i < params.batch && indices[i] != data[i]) {
      return InvalidArgument("GatherND: batch dimensions of data and indices differ");
    }
    want.push_back(indices[i]);
  }
  for (int i = slice; i < params.rank; ++i) want.push_back(data[i]);
  return ExpectShape("GatherND", "result", want, args.outputs[0].shape);
}

Status RunNd(const Params& params, const RunArgs& args) {
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

Result<Params> Read(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "data and result"));
  if (!IsIndexType(spec.inputs[1].dtype)) return BadStep(spec, "indices should be i32 or i64");
  Params params;
  params.rank = spec.inputs[0].max_shape.rank();
  return params;
}

Result<std::unique_ptr<BoundKernel>> BindElements(const StepSpec& spec) {
  FUSEE_TRY(Params params, Read(spec));
  FUSEE_TRY(const int64_t axis, spec.attrs->Int("axis", 0));
  FUSEE_TRY(params.axis, StepAxis(spec, axis, params.rank));
  return MakeKernel(params, CheckElements, RunElements);
}

Result<std::unique_ptr<BoundKernel>> BindNd(const StepSpec& spec) {
  FUSEE_TRY(Params params, Read(spec));
  FUSEE_TRY(const int64_t batch, spec.attrs->Int("batch_dims", 0));
  if (batch < 0 || batch >= params.rank) return BadStep(spec, "batch_dims is out of range");
  params.batch = static_cast<int>(batch);
  return MakeKernel(params, CheckNd, RunNd);
}

}  // namespace

extern const KernelDef gather_elements_ref = {
    .id = "gather_elements_ref.1", .op = "GatherElements", .reference = true, .bind = BindElements};
extern const KernelDef gather_nd_ref = {
    .id = "gather_nd_ref.1", .op = "GatherND", .reference = true, .bind = BindNd};

}  // namespace fusee::ops
