// ScatterElements and ScatterND: a copy of the data, then the updates. Repeated indices mean what
// they mean on one thread, the later update after the earlier, without atomics on floats:
//
//   ScatterElements      updates that can meet lie on one line along the axis: one thread a line
//   ScatterND, none      two passes: each destination learns its last update (a maximum of
//                        integers, whose order does not matter), then that one alone is written
//   ScatterND, others    one thread an element of a slice walks all updates; slow where slices are
//                        short and updates many
//
// An update whose index is out of range is left out, and reported through RunArgs::error.
#include "ops/movement/index_cuda.cuh"
#include "ops/movement/index_steps.h"
#include "ops/movement/pieces_cuda.cuh"
#include "ops/pointwise/device_types_cuda.cuh"

namespace fusee::ops {
namespace {

using pointwise::Compute;
using pointwise::kAny;
using pointwise::NarrowTo;
using pointwise::VisitDeviceType;
using pointwise::Widen;

template <typename T>
__device__ __forceinline__ T Combine(Reduction reduction, T stored, T stored_update) {
  using C = Compute<T>;
  const C old = Widen(stored), update = Widen(stored_update);
  // Integers wrap through the unsigned type.
  using U = typename std::conditional_t<std::is_integral_v<C> && !std::is_same_v<C, bool>,
                                        std::make_unsigned<C>, std::type_identity<C>>::type;
  switch (reduction) {
    case Reduction::kNone: break;
    case Reduction::kAdd:
      return NarrowTo<T>(static_cast<C>(static_cast<U>(old) + static_cast<U>(update)));
    case Reduction::kMul:
      return NarrowTo<T>(static_cast<C>(static_cast<U>(old) * static_cast<U>(update)));
    case Reduction::kMax: return old >= update || old != old ? stored : stored_update;
    case Reduction::kMin: return old <= update || old != old ? stored : stored_update;
  }
  return stored_update;
}

struct LinesPlan {
  uint32_t lines = 0;
  int axes = 0;                // without the scattered one
  int64_t size = 0;            // of data on the axis
  int64_t updates = 0;         // on a line
  int64_t data_stride = 0;     // along a line
  int64_t indices_stride = 0;  // along a line
  std::array<cuda::FastDiv, kMaxRank> extent{};
  std::array<int64_t, kMaxRank> data{};
  std::array<int64_t, kMaxRank> indices{};
};

template <typename T>
__global__ void __launch_bounds__(cuda::kElementThreads)
    ScatterLinesKernel(T* out, Indices indices, const T* updates, Reduction reduction,
                       const __grid_constant__ LinesPlan plan) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t line = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (line >= plan.lines) return;
  int64_t to = 0, from = 0;
  uint32_t rest = line;
  for (int a = plan.axes - 1; a >= 0; --a) {
    uint32_t position;
    rest = plan.extent[a].Divide(rest, &position);
    to += position * plan.data[a];
    from += position * plan.indices[a];
  }
  for (int64_t j = 0; j < plan.updates; ++j, from += plan.indices_stride) {
    const int64_t index = indices.At(from, plan.size);
    if (index < 0) continue;
    T* const at = out + to + index * plan.data_stride;
    *at = Combine(reduction, *at, updates[from]);
  }
}

Status RunElements(const ScatterParams& params, const RunArgs& args) {
  const ConstTensorView& data = args.inputs[0];
  const Shape& indices = args.inputs[1].shape;
  FUSEE_TRY(LaunchCopyBytes(data.data, args.outputs[0].data, data.size_bytes(), args.queue));
  if (indices.elements() == 0) return OkStatus();
  const Shape data_strides = RowMajorStrides(data.shape);
  const Shape indices_strides = RowMajorStrides(indices);
  LinesPlan plan;
  plan.size = data.shape[params.axis];
  plan.updates = indices[params.axis];
  plan.data_stride = data_strides[params.axis];
  plan.indices_stride = indices_strides[params.axis];
  plan.lines = static_cast<uint32_t>(indices.elements() / plan.updates);
  for (int a = 0; a < params.rank; ++a) {
    if (a == params.axis) continue;
    const auto i = static_cast<size_t>(plan.axes++);
    plan.extent[i] = cuda::FastDiv(indices[a]);
    plan.data[i] = data_strides[a];
    plan.indices[i] = indices_strides[a];
  }
  return VisitDeviceType<kAny>(params.dtype, [&]<typename T>() -> Status {
    return cuda::Launch(&ScatterLinesKernel<T>, cuda::BlocksFor(plan.lines),
                        dim3(cuda::kElementThreads), 0, args.queue,
                        static_cast<T*>(args.outputs[0].data), Indices(args.inputs[1], args.error),
                        static_cast<const T*>(args.inputs[2].data), params.reduction, plan);
  });
}

struct NdParams {
  ScatterParams scatter;
  int64_t winners = 0;  // destinations that the workspace has room for; 0 with a reduction
};

// Destinations of updates: positions in the axes that a tuple indexes.
int64_t Destinations(const Shape& data, int64_t tuple) {
  return data.elements(0, static_cast<int>(tuple));
}

__global__ void __launch_bounds__(cuda::kElementThreads)
    ForgetKernel(uint32_t* winners, uint32_t count) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i < count) winners[i] = 0;
}

// tuples counts whole destinations here: its strides are in slices.
__global__ void __launch_bounds__(cuda::kElementThreads)
    FindWinnersKernel(uint32_t* winners, Indices indices, uint32_t count,
                      const __grid_constant__ DeviceTuples tuples) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t to = tuples.Offset(indices, i);
  if (to >= 0) atomicMax(winners + to, i + 1);
}

template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    WriteWinnersKernel(Bits* out, const uint32_t* winners, Indices indices, const Bits* updates,
                       uint32_t count, cuda::FastDiv slice,
                       const __grid_constant__ DeviceTuples tuples) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= count) return;
  uint32_t column;
  const uint32_t update = slice.Divide(i, &column);
  const int64_t to = tuples.Offset(indices, update);
  if (to >= 0 && winners[to] == update + 1) out[to * slice.divisor + column] = updates[i];
}

template <typename T>
__global__ void __launch_bounds__(cuda::kElementThreads)
    ScatterSlicesKernel(T* out, Indices indices, const T* updates, Reduction reduction,
                        int64_t slice, int64_t count, const __grid_constant__ DeviceTuples tuples) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t column = blockIdx.x * static_cast<int64_t>(cuda::kElementThreads) + threadIdx.x;
  if (column >= slice) return;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t to = tuples.Offset(indices, i);
    if (to < 0) continue;
    T* const at = out + to + column;
    *at = Combine(reduction, *at, updates[i * slice + column]);
  }
}

Status RunWinners(const RunArgs& args, int64_t tuple, int64_t count, int64_t slice) {
  const Shape& data = args.inputs[0].shape;
  const Indices indices(args.inputs[1], args.error);
  const TensorView& out = args.outputs[0];
  auto* winners = reinterpret_cast<uint32_t*>(args.workspace.data());
  const auto destinations = static_cast<uint32_t>(Destinations(data, tuple));
  DeviceTuples tuples(data, 0, tuple);
  for (int k = 0; k < tuples.length; ++k) tuples.stride[static_cast<size_t>(k)] /= slice;
  const dim3 threads(cuda::kElementThreads);
  FUSEE_TRY(cuda::Launch(&ForgetKernel, cuda::BlocksFor(destinations), threads, 0, args.queue,
                         winners, destinations));
  FUSEE_TRY(cuda::Launch(&FindWinnersKernel, cuda::BlocksFor(count), threads, 0, args.queue,
                         winners, indices, static_cast<uint32_t>(count), tuples));
  const int64_t slice_bytes = slice * BytesPerElement(out.dtype);
  const int64_t width = cuda::CopyWidth(args.inputs[2].data, out.data, slice_bytes);
  const int64_t total = count * slice_bytes / width;
  FUSEE_TRY(CheckCount(total));
  return cuda::VisitBytes(width, [&]<typename Bits>() -> Status {
    return cuda::Launch(&WriteWinnersKernel<Bits>, cuda::BlocksFor(total), threads, 0, args.queue,
                        static_cast<Bits*>(out.data), static_cast<const uint32_t*>(winners),
                        indices, static_cast<const Bits*>(args.inputs[2].data),
                        static_cast<uint32_t>(total), cuda::FastDiv(slice_bytes / width), tuples);
  });
}

Status RunNd(const NdParams& params, const RunArgs& args) {
  const ConstTensorView& data = args.inputs[0];
  const Shape& indices = args.inputs[1].shape;
  FUSEE_TRY(LaunchCopyBytes(data.data, args.outputs[0].data, data.size_bytes(), args.queue));
  const int last = indices.rank() - 1;
  const int64_t tuple = indices[last];
  const int64_t count = indices.elements(0, last);
  const int64_t slice = data.shape.elements(static_cast<int>(tuple), params.scatter.rank);
  // Without a destination no index is in range; none is looked at.
  if (count == 0 || data.elements() == 0) return OkStatus();
  if (params.scatter.reduction == Reduction::kNone) return RunWinners(args, tuple, count, slice);
  return VisitDeviceType<kAny>(params.scatter.dtype, [&]<typename T>() -> Status {
    return cuda::Launch(&ScatterSlicesKernel<T>, cuda::BlocksFor(slice),
                        dim3(cuda::kElementThreads), 0, args.queue,
                        static_cast<T*>(args.outputs[0].data), Indices(args.inputs[1], args.error),
                        static_cast<const T*>(args.inputs[2].data), params.scatter.reduction, slice,
                        count, DeviceTuples(data.shape, 0, tuple));
  });
}

Status CheckElements(const ScatterParams& params, const RunArgs& args) {
  FUSEE_TRY(CheckScatterElements(params, args));
  return CheckNotLarge("ScatterElements", args.inputs[1].shape);
}

Status CheckNd(const NdParams& params, const RunArgs& args) {
  FUSEE_TRY(CheckScatterNd(params.scatter, args));
  FUSEE_TRY(CheckNotLarge("ScatterND", args.inputs[1].shape));
  FUSEE_TRY(CheckNotLarge("ScatterND", args.inputs[2].shape));
  if (params.scatter.reduction != Reduction::kNone) return OkStatus();
  const Shape& indices = args.inputs[1].shape;
  if (Destinations(args.inputs[0].shape, indices[indices.rank() - 1]) <= params.winners)
    return OkStatus();
  return InvalidArgument("ScatterND: data is larger than the step was bound for");
}

Result<std::unique_ptr<BoundKernel>> BindElements(const StepSpec& spec) {
  FUSEE_TRY(const ScatterParams params, ReadScatterElements(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.inputs[1]));
  return MakeKernel(params, CheckElements, RunElements);
}

Result<std::unique_ptr<BoundKernel>> BindNd(const StepSpec& spec) {
  FUSEE_TRY(const ScatterParams params, ReadScatterNd(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.inputs[1]));
  FUSEE_TRY(RefuseLarge(spec, spec.inputs[2]));
  NdParams nd{params, 0};
  if (params.reduction == Reduction::kNone) {
    const Shape& indices = spec.inputs[1].max_shape;
    const Shape& data = spec.inputs[0].max_shape;
    const int64_t tuple = indices.rank() > 0 ? indices[indices.rank() - 1] : 0;
    if (tuple < 1 || tuple > params.rank) return BadStep(spec, "indices do not fit data");
    nd.winners = Destinations(data, tuple);
    if (nd.winners >= cuda::kFastDivLimit)
      return RefuseTactic(spec, "takes fewer than 2^31 destinations");
  }
  return MakeKernel(nd, CheckNd, RunNd, static_cast<size_t>(nd.winners) * sizeof(uint32_t));
}

}  // namespace

extern const KernelDef scatter_elements_cuda = {.id = "scatter_elements_cuda.1",
                                                .op = "ScatterElements",
                                                .device = DeviceKind::kCuda,
                                                .in_place_inputs = 1,
                                                .bind = BindElements};
extern const KernelDef scatter_nd_cuda = {.id = "scatter_nd_cuda.1",
                                          .op = "ScatterND",
                                          .device = DeviceKind::kCuda,
                                          .in_place_inputs = 1,
                                          .bind = BindNd};

}  // namespace fusee::ops
