// Gather, GatherElements and GatherND. One thread an element of up to 16 bytes of the result; what
// an index out of range would have picked is 0, and reported through RunArgs::error.
#include "ops/movement/index_cuda.cuh"
#include "ops/movement/index_steps.h"

namespace fusee::ops {
namespace {

// result[o, j, column] = data[o, indices[j], column] for rows of `row` elements.
struct GatherPlan {
  uint32_t count = 0;  // elements of the result
  cuda::FastDiv row;
  cuda::FastDiv picks;  // indices
  int64_t size = 0;     // of data on the axis
};

template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    GatherKernel(const Bits* data, Indices indices, Bits* to, GatherPlan plan) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= plan.count) return;
  uint32_t column, pick;
  const int64_t outer = plan.picks.Divide(plan.row.Divide(i, &column), &pick);
  const int64_t index = indices.At(pick, plan.size);
  to[i] = index < 0 ? Bits{} : data[(outer * plan.size + index) * plan.row.divisor + column];
}

Status RunGather(const GatherParams& params, const RunArgs& args) {
  const ConstTensorView& data = args.inputs[0];
  const TensorView& out = args.outputs[0];
  if (out.elements() == 0) return OkStatus();
  const int64_t inner = data.shape.elements(params.axis + 1, params.data_rank);
  const int64_t row_bytes = inner * BytesPerElement(data.dtype);
  const int64_t width = cuda::CopyWidth(data.data, out.data, row_bytes);
  FUSEE_TRY(CheckCount(out.size_bytes() / width));
  GatherPlan plan;
  plan.count = static_cast<uint32_t>(out.size_bytes() / width);
  plan.row = cuda::FastDiv(row_bytes / width);
  plan.picks = cuda::FastDiv(args.inputs[1].elements());
  plan.size = data.shape[params.axis];
  return cuda::VisitBytes(width, [&]<typename Bits>() -> Status {
    return cuda::Launch(&GatherKernel<Bits>, cuda::BlocksFor(plan.count),
                        dim3(cuda::kElementThreads), 0, args.queue,
                        static_cast<const Bits*>(data.data), Indices(args.inputs[1], args.error),
                        static_cast<Bits*>(out.data), plan);
  });
}

struct ElementsPlan {
  uint32_t count = 0;
  int rank = 0;
  int axis = 0;
  int64_t size = 0;                              // of data on the axis
  std::array<cuda::FastDiv, kMaxRank> extent{};  // of the indices
  std::array<int64_t, kMaxRank> stride{};        // of data
};

template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    GatherElementsKernel(const Bits* data, Indices indices, Bits* to,
                         const __grid_constant__ ElementsPlan plan) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= plan.count) return;
  const int64_t index = indices.At(i, plan.size);
  int64_t from = index * plan.stride[plan.axis];
  uint32_t rest = i;
  for (int a = plan.rank - 1; a >= 0; --a) {
    uint32_t position;
    rest = plan.extent[a].Divide(rest, &position);
    if (a != plan.axis) from += position * plan.stride[a];
  }
  to[i] = index < 0 ? Bits{} : data[from];
}

Status RunElements(const GatherElementsParams& params, const RunArgs& args) {
  const ConstTensorView& data = args.inputs[0];
  const TensorView& out = args.outputs[0];
  if (out.elements() == 0) return OkStatus();
  const Shape strides = RowMajorStrides(data.shape);
  ElementsPlan plan;
  plan.count = static_cast<uint32_t>(out.elements());
  plan.rank = params.rank;
  plan.axis = params.axis;
  plan.size = data.shape[params.axis];
  for (int a = 0; a < params.rank; ++a) {
    plan.extent[static_cast<size_t>(a)] = cuda::FastDiv(out.shape[a]);
    plan.stride[static_cast<size_t>(a)] = strides[a];
  }
  return cuda::VisitElement(BytesPerElement(data.dtype), [&]<typename Bits>() -> Status {
    return cuda::Launch(&GatherElementsKernel<Bits>, cuda::BlocksFor(plan.count),
                        dim3(cuda::kElementThreads), 0, args.queue,
                        static_cast<const Bits*>(data.data), Indices(args.inputs[1], args.error),
                        static_cast<Bits*>(out.data), plan);
  });
}

struct NdPlan {
  uint32_t count = 0;  // elements of the result
  cuda::FastDiv slice;
  cuda::FastDiv per_batch;   // tuples
  int64_t batch_stride = 0;  // of data
  DeviceTuples tuples;       // strides in the elements that are moved
};

template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    GatherNdKernel(const Bits* data, Indices indices, Bits* to,
                   const __grid_constant__ NdPlan plan) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= plan.count) return;
  uint32_t column, in_batch;
  const uint32_t tuple = plan.slice.Divide(i, &column);
  const int64_t batch = plan.per_batch.Divide(tuple, &in_batch);
  const int64_t offset = plan.tuples.Offset(indices, tuple);
  to[i] = offset < 0 ? Bits{} : data[batch * plan.batch_stride + offset + column];
}

Status RunNd(const GatherNdParams& params, const RunArgs& args) {
  const ConstTensorView& data = args.inputs[0];
  const Shape& indices = args.inputs[1].shape;
  const TensorView& out = args.outputs[0];
  if (out.elements() == 0) return OkStatus();
  const int last = indices.rank() - 1;
  const int64_t tuple = indices[last];
  const int64_t bytes = BytesPerElement(data.dtype);
  const int64_t slice_bytes =
      data.shape.elements(params.batch + static_cast<int>(tuple), params.rank) * bytes;
  const int64_t width = cuda::CopyWidth(data.data, out.data, slice_bytes);
  FUSEE_TRY(CheckCount(out.size_bytes() / width));
  NdPlan plan{.tuples = DeviceTuples(data.shape, params.batch, tuple)};
  plan.count = static_cast<uint32_t>(out.size_bytes() / width);
  plan.slice = cuda::FastDiv(slice_bytes / width);
  plan.per_batch = cuda::FastDiv(indices.elements(params.batch, last));
  // Both are multiples of a slice, and so of the width.
  plan.batch_stride = data.shape.elements(params.batch, params.rank) * bytes / width;
  for (int k = 0; k < plan.tuples.length; ++k) {
    int64_t& stride = plan.tuples.stride[static_cast<size_t>(k)];
    stride = stride * bytes / width;
  }
  return cuda::VisitBytes(width, [&]<typename Bits>() -> Status {
    return cuda::Launch(&GatherNdKernel<Bits>, cuda::BlocksFor(plan.count),
                        dim3(cuda::kElementThreads), 0, args.queue,
                        static_cast<const Bits*>(data.data), Indices(args.inputs[1], args.error),
                        static_cast<Bits*>(out.data), plan);
  });
}

// The shapes fit, and 32 bits count the result.
template <typename Params, Status (*check)(const Params&, const RunArgs&)>
Status CheckSmall(const Params& params, const RunArgs& args) {
  FUSEE_TRY(check(params, args));
  return CheckNotLarge("Gather", args.outputs[0].shape);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const GatherParams params, ReadGather(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.outputs[0]));
  return MakeKernel(params, CheckSmall<GatherParams, CheckGather>, RunGather);
}

Result<std::unique_ptr<BoundKernel>> BindElements(const StepSpec& spec) {
  FUSEE_TRY(const GatherElementsParams params, ReadGatherElements(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.outputs[0]));
  return MakeKernel(params, CheckSmall<GatherElementsParams, CheckGatherElements>, RunElements);
}

Result<std::unique_ptr<BoundKernel>> BindNd(const StepSpec& spec) {
  FUSEE_TRY(const GatherNdParams params, ReadGatherNd(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.outputs[0]));
  return MakeKernel(params, CheckSmall<GatherNdParams, CheckGatherNd>, RunNd);
}

}  // namespace

extern const KernelDef gather_cuda = {
    .id = "gather_cuda.1", .op = "Gather", .device = DeviceKind::kCuda, .bind = Bind};
extern const KernelDef gather_elements_cuda = {.id = "gather_elements_cuda.1",
                                               .op = "GatherElements",
                                               .device = DeviceKind::kCuda,
                                               .bind = BindElements};
extern const KernelDef gather_nd_cuda = {
    .id = "gather_nd_cuda.1", .op = "GatherND", .device = DeviceKind::kCuda, .bind = BindNd};

}  // namespace fusee::ops
