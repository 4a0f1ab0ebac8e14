// Reductions over any axes: f32, f16 and bf16 accumulated in float; i32 and i64 (maximum and
// minimum also i8, u8 and bool) in 64 bits, exactly. Kernels and floor: fold_cuda.cuh.
#include "ops/reduce/fold_cuda.cuh"
#include "ops/reduce/reduce.h"

namespace fusee::ops {
namespace fold {

template <typename T>
struct ProdFold : SumFold<T> {
  using Acc = Value<T>;
  static __device__ __forceinline__ Acc Start() { return 1; }
  static __device__ __forceinline__ Acc Step(Acc acc, Acc x) { return Merge(acc, x); }
  static __device__ __forceinline__ Acc Merge(Acc a, Acc b) {
    if constexpr (kIsInteger<T>)
      return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    else
      return a * b;
  }
};

template <typename T>
struct L1Fold : SumFold<T> {
  using Acc = Value<T>;
  static __device__ __forceinline__ Acc Step(Acc acc, Acc x) {
    if constexpr (kIsInteger<T>)
      return SumFold<T>::Merge(acc, x < 0 ? ProdFold<T>::Merge(x, -1) : x);
    else
      return acc + fabsf(x);
  }
};

template <typename T>
struct SumSquareFold : SumFold<T> {
  using Acc = Value<T>;
  static __device__ __forceinline__ Acc Step(Acc acc, Acc x) {
    return SumFold<T>::Merge(acc, ProdFold<T>::Merge(x, x));
  }
};

template <typename T>
struct L2Fold : SumSquareFold<T> {
  static __device__ __forceinline__ T Finish(Value<T> acc, int64_t) {
    if constexpr (kIsInteger<T>) {
      const double root = sqrt(static_cast<double>(acc));
      if (root != root) return std::numeric_limits<T>::lowest();  // of a sum that wrapped
      return static_cast<T>(static_cast<int64_t>(root));
    } else {
      return Narrow<T>(sqrtf(acc));
    }
  }
};

template <typename T>
struct LogSumFold : SumFold<T> {
  static __device__ __forceinline__ T Finish(Value<T> acc, int64_t) { return Narrow<T>(logf(acc)); }
};

// Sum of exp(x - top), top the largest x so far: no exp overflows. top is never NaN; a NaN element
// makes the sum NaN.
struct ShiftedSum {
  float top, sum;
};
__device__ __forceinline__ ShiftedSum ShuffleXor(ShiftedSum v, int mask) {
  return {cuda::ShuffleXor(v.top, mask), cuda::ShuffleXor(v.sum, mask)};
}
// exp(x - top), also where both are the same infinity.
__device__ __forceinline__ float Shifted(float x, float top) {
  return x == top ? 1.0f : expf(x - top);
}

template <typename T>
struct LogSumExpFold {
  using Acc = ShiftedSum;
  static __device__ __forceinline__ Acc Start() {
    return {-std::numeric_limits<float>::infinity(), 0};
  }
  static __device__ __forceinline__ Acc Step(Acc acc, float x) {
    if (x > acc.top) return {x, acc.sum * Shifted(acc.top, x) + 1.0f};
    return {acc.top, acc.sum + Shifted(x, acc.top)};
  }
  static __device__ __forceinline__ Acc Merge(Acc a, Acc b) {
    const float top = a.top > b.top ? a.top : b.top;
    return {top, a.sum * Shifted(a.top, top) + b.sum * Shifted(b.top, top)};
  }
  static __device__ __forceinline__ T Finish(Acc acc, int64_t) {
    return Narrow<T>(acc.top + logf(acc.sum));
  }
};

}  // namespace fold

namespace {

template <template <typename> typename Fold, typename T>
Status Run(const ReduceParams& params, const RunArgs& args) {
  const Shape& shape = args.inputs[0].shape;
  const Shape strides = RowMajorStrides(shape);
  fold::FoldShape s;
  for (int i = 0; i < params.rank; ++i) {
    (params.reduced[static_cast<size_t>(i)] ? s.reduced : s.kept).Add(shape[i], strides[i]);
  }
  return fold::LaunchFold<Fold<T>>(static_cast<const T*>(args.inputs[0].data),
                                   static_cast<T*>(args.outputs[0].data), s, args.queue);
}

enum class Integers : uint8_t { kNone, kWide, kAll };

template <template <typename> typename Fold, Integers integers>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ReduceParams params, ReadReduce(spec));
  const auto make = [&]<typename T>() { return MakeKernel(params, CheckReduce, Run<Fold, T>); };
  const DType dtype = spec.inputs[0].dtype;
  if (cuda::IsComputeFloat(dtype)) return cuda::VisitComputeFloat(dtype, make);
  if constexpr (integers != Integers::kNone) {
    if (dtype == DType::kI32) return make.template operator()<int32_t>();
    if (dtype == DType::kI64) return make.template operator()<int64_t>();
  }
  if constexpr (integers == Integers::kAll) {
    if (dtype == DType::kI8) return make.template operator()<int8_t>();
    if (dtype == DType::kU8) return make.template operator()<uint8_t>();
    if (dtype == DType::kBool) return make.template operator()<bool>();
  }
  return RefuseTactic(spec, "does not take " + std::string(DTypeName(dtype)));
}

}  // namespace

#define FUSEE_REDUCE_CUDA(Op, prefix, Fold, integers)                  \
  extern const KernelDef prefix##_cuda = {.id = #prefix "_cuda.1",     \
                                          .op = Op,                    \
                                          .device = DeviceKind::kCuda, \
                                          .bind = Bind<fold::Fold, Integers::integers>};
FUSEE_REDUCE_CUDA("ReduceSum", reduce_sum, SumFold, kWide)
FUSEE_REDUCE_CUDA("ReduceMean", reduce_mean, MeanFold, kWide)
FUSEE_REDUCE_CUDA("ReduceMax", reduce_max, MaxFold, kAll)
FUSEE_REDUCE_CUDA("ReduceMin", reduce_min, MinFold, kAll)
FUSEE_REDUCE_CUDA("ReduceProd", reduce_prod, ProdFold, kWide)
FUSEE_REDUCE_CUDA("ReduceL1", reduce_l1, L1Fold, kWide)
FUSEE_REDUCE_CUDA("ReduceL2", reduce_l2, L2Fold, kWide)
FUSEE_REDUCE_CUDA("ReduceLogSum", reduce_log_sum, LogSumFold, kNone)
FUSEE_REDUCE_CUDA("ReduceLogSumExp", reduce_log_sum_exp, LogSumExpFold, kNone)
FUSEE_REDUCE_CUDA("ReduceSumSquare", reduce_sum_square, SumSquareFold, kWide)
#undef FUSEE_REDUCE_CUDA

}  // namespace fusee::ops
