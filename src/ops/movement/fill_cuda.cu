// Range, OneHot, EyeLike and Trilu: one thread an element of the result.
#include <bit>

#include "ops/movement/fill_steps.h"
#include "ops/movement/index_cuda.cuh"
#include "ops/pointwise/device_types_cuda.cuh"

namespace fusee::ops {
namespace {

using pointwise::kAny;
using pointwise::RoundFromDouble;
using pointwise::Truth;
using pointwise::VisitDeviceType;
using pointwise::Widen;

struct Params {};

// Floats: in double, without a fused multiply-add, rounded once, as the reference; integers wrap.
template <typename T>
__global__ void __launch_bounds__(cuda::kElementThreads)
    RangeKernel(const T* start, const T* delta, T* to, int64_t count) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t i = blockIdx.x * static_cast<int64_t>(cuda::kElementThreads) + threadIdx.x;
  if (i >= count) return;
  if constexpr (pointwise::kIsFloatType<T>) {
    const double step = __dmul_rn(static_cast<double>(i), static_cast<double>(Widen(*delta)));
    to[i] = RoundFromDouble<T>(__dadd_rn(static_cast<double>(Widen(*start)), step));
  } else if constexpr (std::is_same_v<T, Truth>) {
    const uint64_t value = (start->byte != 0) + static_cast<uint64_t>(i) * (delta->byte != 0);
    to[i] = Truth{static_cast<uint8_t>(value != 0)};
  } else {
    to[i] = static_cast<T>(static_cast<uint64_t>(*start) +
                           static_cast<uint64_t>(i) * static_cast<uint64_t>(*delta));
  }
}

Status CheckRangeStep(const Params&, const RunArgs& args) { return CheckRange(args); }

Status RunRange(const Params&, const RunArgs& args) {
  return VisitDeviceType<kAny>(args.outputs[0].dtype, [&]<typename T>() -> Status {
    return cuda::Launch(&RangeKernel<T>, cuda::BlocksFor(args.dims[0]), dim3(cuda::kElementThreads),
                        0, args.queue, static_cast<const T*>(args.inputs[0].data),
                        static_cast<const T*>(args.inputs[1].data),
                        static_cast<T*>(args.outputs[0].data), args.dims[0]);
  });
}

Result<std::unique_ptr<BoundKernel>> BindRange(const StepSpec& spec) {
  FUSEE_TRY(ReadRange(spec));
  return MakeKernel(Params{}, CheckRangeStep, RunRange);
}

// Floats count as the integer they truncate to; what no integer holds is out of range like any
// other.
template <typename T>
__device__ __forceinline__ int64_t ReadIndex(T x) {
  if constexpr (pointwise::kIsFloatType<T>) {
    const double value = static_cast<double>(Widen(x));
    return value > -9e18 && value < 9e18 ? static_cast<int64_t>(value) : INT64_MAX;
  } else {
    return static_cast<int64_t>(Widen(x));
  }
}

constexpr pointwise::TypeSet kIndexTypes =
    pointwise::Only(DType::kF32) | pointwise::Only(DType::kI32) | pointwise::Only(DType::kI64);

// Result [outer, depth, inner].
template <typename T, typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    OneHotKernel(const T* indices, const Bits* values, Bits* to, uint32_t count,
                 cuda::FastDiv depth, cuda::FastDiv inner) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= count) return;
  uint32_t column, level;
  const uint32_t outer = depth.Divide(inner.Divide(i, &column), &level);
  int64_t index = ReadIndex(indices[static_cast<int64_t>(outer) * inner.divisor + column]);
  if (index < 0) index += depth.divisor;
  to[i] = values[index == level ? 1 : 0];
}

Status CheckOneHotStep(const OneHotParams& params, const RunArgs& args) {
  FUSEE_TRY(CheckOneHot(params, args));
  return CheckNotLarge("OneHot", args.outputs[0].shape);
}

Status RunOneHot(const OneHotParams& params, const RunArgs& args) {
  const ConstTensorView& indices = args.inputs[0];
  const TensorView& out = args.outputs[0];
  if (out.elements() == 0) return OkStatus();
  const cuda::FastDiv depth(args.dims[0]);
  const cuda::FastDiv inner(indices.shape.elements(params.axis, params.rank));
  return VisitDeviceType<kIndexTypes>(indices.dtype, [&]<typename T>() -> Status {
    return cuda::VisitElement(BytesPerElement(out.dtype), [&]<typename Bits>() -> Status {
      return cuda::Launch(
          &OneHotKernel<T, Bits>, cuda::BlocksFor(out.elements()), dim3(cuda::kElementThreads), 0,
          args.queue, static_cast<const T*>(indices.data),
          static_cast<const Bits*>(args.inputs[1].data), static_cast<Bits*>(out.data),
          static_cast<uint32_t>(out.elements()), depth, inner);
    });
  });
}

Result<std::unique_ptr<BoundKernel>> BindOneHot(const StepSpec& spec) {
  FUSEE_TRY(const OneHotParams params, ReadOneHot(spec));
  if (!pointwise::Contains(kIndexTypes, spec.inputs[0].dtype))
    return RefuseTactic(spec, "takes indices of f32, i32 and i64");
  FUSEE_TRY(RefuseLarge(spec, spec.outputs[0]));
  return MakeKernel(params, CheckOneHotStep, RunOneHot);
}

template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    EyeKernel(Bits* to, uint32_t count, cuda::FastDiv columns, int64_t diagonal, Bits one) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= count) return;
  uint32_t column;
  const uint32_t row = columns.Divide(i, &column);
  to[i] = column == row + diagonal ? one : Bits{};
}

// The bits of 1.
uint64_t OneOf(DType dtype) {
  switch (dtype) {
    case DType::kF32: return std::bit_cast<uint32_t>(1.0f);
    case DType::kF64: return std::bit_cast<uint64_t>(1.0);
    case DType::kF16: return FloatToHalfBits(1.0f);
    case DType::kBF16: return FloatToBf16Bits(1.0f);
    default: return 1;
  }
}

Status CheckEye(const EyeLikeParams&, const RunArgs& args) {
  FUSEE_TRY(CheckEyeLike(args));
  return CheckNotLarge("EyeLike", args.outputs[0].shape);
}

Status RunEye(const EyeLikeParams& params, const RunArgs& args) {
  const TensorView& out = args.outputs[0];
  if (out.elements() == 0) return OkStatus();
  return cuda::VisitElement(BytesPerElement(out.dtype), [&]<typename Bits>() -> Status {
    return cuda::Launch(&EyeKernel<Bits>, cuda::BlocksFor(out.elements()),
                        dim3(cuda::kElementThreads), 0, args.queue, static_cast<Bits*>(out.data),
                        static_cast<uint32_t>(out.elements()), cuda::FastDiv(out.shape[1]),
                        params.diagonal, static_cast<Bits>(OneOf(out.dtype)));
  });
}

Result<std::unique_ptr<BoundKernel>> BindEye(const StepSpec& spec) {
  FUSEE_TRY(const EyeLikeParams params, ReadEyeLike(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.outputs[0]));
  return MakeKernel(params, CheckEye, RunEye);
}

// Columns below row + first_edge are the lower part.
template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    TriluKernel(const Bits* from, Bits* to, uint32_t count, cuda::FastDiv rows,
                cuda::FastDiv columns, int64_t first_edge, bool upper) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t i = blockIdx.x * cuda::kElementThreads + threadIdx.x;
  if (i >= count) return;
  uint32_t column, row;
  rows.Divide(columns.Divide(i, &column), &row);
  const bool lower = column < row + first_edge;
  to[i] = lower != upper ? from[i] : Bits{};
}

Status CheckTriluStep(const TriluParams&, const RunArgs& args) {
  FUSEE_TRY(CheckTrilu(args));
  return CheckNotLarge("Trilu", args.outputs[0].shape);
}

Status RunTrilu(const TriluParams& params, const RunArgs& args) {
  const Shape& shape = args.outputs[0].shape;
  if (shape.elements() == 0) return OkStatus();
  const cuda::FastDiv rows(shape[shape.rank() - 2]), columns(shape[shape.rank() - 1]);
  return cuda::VisitElement(BytesPerElement(args.inputs[0].dtype), [&]<typename Bits>() -> Status {
    return cuda::Launch(
        &TriluKernel<Bits>, cuda::BlocksFor(shape.elements()), dim3(cuda::kElementThreads), 0,
        args.queue, static_cast<const Bits*>(args.inputs[0].data),
        static_cast<Bits*>(args.outputs[0].data), static_cast<uint32_t>(shape.elements()), rows,
        columns, TriluFirstEdge(params, args), params.upper);
  });
}

Result<std::unique_ptr<BoundKernel>> BindTrilu(const StepSpec& spec) {
  FUSEE_TRY(const TriluParams params, ReadTrilu(spec));
  FUSEE_TRY(RefuseLarge(spec, spec.outputs[0]));
  return MakeKernel(params, CheckTriluStep, RunTrilu);
}

}  // namespace

extern const KernelDef range_cuda = {
    .id = "range_cuda.1", .op = "Range", .device = DeviceKind::kCuda, .bind = BindRange};
extern const KernelDef one_hot_cuda = {
    .id = "one_hot_cuda.1", .op = "OneHot", .device = DeviceKind::kCuda, .bind = BindOneHot};
extern const KernelDef eye_like_cuda = {
    .id = "eye_like_cuda.1", .op = "EyeLike", .device = DeviceKind::kCuda, .bind = BindEye};
extern const KernelDef trilu_cuda = {.id = "trilu_cuda.1",
                                     .op = "Trilu",
                                     .device = DeviceKind::kCuda,
                                     .in_place_inputs = 1,
                                     .bind = BindTrilu};

}  // namespace fusee::ops
