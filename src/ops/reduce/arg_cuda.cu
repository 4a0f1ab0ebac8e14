// ArgMax and ArgMin over operand [outer, n, inner]: f32, f16, bf16, i32, i64, i8 and u8. A warp a
// result where the axis is innermost, a block from 1,024 elements on; else a thread a result,
// neighbours side by side.
//
// Candidates are ordered totally (value, then position), so the tree in which they meet is free.
//
// Floor: bytes read over the bandwidth; the launch, 2 us, below about 1 MB.
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/reduce.cuh"
#include "ops/reduce/pick.h"

namespace fusee::ops {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kWarpElements = 1024;

// V: float, int32_t or int64_t.
template <typename V>
struct Candidate {
  V value;
  int64_t at;  // negative: none yet
};
template <typename V>
__device__ __forceinline__ Candidate<V> ShuffleXor(Candidate<V> c, int mask) {
  return {cuda::ShuffleXor(c.value, mask), cuda::ShuffleXor(c.at, mask)};
}

template <bool kMax>
struct Better {
  bool last = false;

  template <typename V>
  __device__ __forceinline__ Candidate<V> operator()(Candidate<V> a, Candidate<V> b) const {
    if (a.at < 0) return b;
    if (b.at < 0) return a;
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    const bool equal = a.value == b.value || (a_nan && b_nan);
    const bool b_wins = equal ? (b.at < a.at) != last
                              : b_nan || (!a_nan && (kMax ? b.value > a.value : b.value < a.value));
    return b_wins ? b : a;
  }
};

template <typename T>
__device__ __forceinline__ auto Comparable(T x) {
  if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, float>)
    return x;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<int32_t>(x);
  else
    return cuda::ToFloat(x);
}

template <bool kMax, typename T>
__global__ void __launch_bounds__(kBlock)
    RowKernel(const T* x, int64_t* out, int64_t rows, int64_t n, Better<kMax> better,
              bool whole_block) {
  using C = Candidate<decltype(Comparable(T()))>;
  __shared__ C slots[kBlock / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int team = whole_block ? kBlock : cuda::kWarp;
  const int lane = static_cast<int>(threadIdx.x) % team;
  const int64_t step = static_cast<int64_t>(gridDim.x) * (kBlock / team);
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * (kBlock / team) + threadIdx.x / team;
       row < rows; row += step) {
    C best{0, -1};
#pragma unroll 4
    for (int64_t i = lane; i < n; i += team) best = better(best, C{Comparable(x[row * n + i]), i});
    best = whole_block ? cuda::TeamReduce<kBlock>(best, slots, better)
                       : cuda::WarpReduce(best, better);
    if (lane == 0) out[row] = best.at;
  }
}

template <bool kMax, typename T>
__global__ void __launch_bounds__(kBlock)
    ColumnKernel(const T* x, int64_t* out, int64_t results, int64_t n, int64_t inner,
                 Better<kMax> better) {
  using C = Candidate<decltype(Comparable(T()))>;
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kBlock;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; k < results;
       k += step) {
    const T* from = x + k / inner * n * inner + k % inner;
    C best{0, -1};
#pragma unroll 4
    for (int64_t i = 0; i < n; ++i) best = better(best, C{Comparable(from[i * inner]), i});
    out[k] = best.at;
  }
}

template <bool kMax, typename T>
Status Run(const ArgParams& params, const RunArgs& args) {
  const Shape& shape = args.inputs[0].shape;
  const int64_t outer = shape.elements(0, params.axis);
  const int64_t n = shape[params.axis];
  const int64_t inner = shape.elements(params.axis + 1, params.rank);
  const T* x = static_cast<const T*>(args.inputs[0].data);
  int64_t* out = static_cast<int64_t*>(args.outputs[0].data);
  const Better<kMax> better{params.last};
  if (outer == 0 || inner == 0) return OkStatus();
  if (inner > 1) {
    return cuda::Launch(&ColumnKernel<kMax, T>, dim3(cuda::BlocksFor(outer * inner, kBlock)),
                        dim3(kBlock), 0, args.queue, x, out, outer * inner, n, inner, better);
  }
  const bool whole_block = n > kWarpElements;
  return cuda::Launch(&RowKernel<kMax, T>,
                      dim3(cuda::BlocksFor(outer, whole_block ? 1 : kBlock / cuda::kWarp)),
                      dim3(kBlock), 0, args.queue, x, out, outer, n, better, whole_block);
}

template <bool kMax>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ArgParams params, ReadArg(spec));
  const auto make = [&]<typename T>() { return MakeKernel(params, CheckArg, Run<kMax, T>); };
  const DType dtype = spec.inputs[0].dtype;
  if (cuda::IsComputeFloat(dtype)) return cuda::VisitComputeFloat(dtype, make);
  if (dtype == DType::kI32) return make.template operator()<int32_t>();
  if (dtype == DType::kI64) return make.template operator()<int64_t>();
  if (dtype == DType::kI8) return make.template operator()<int8_t>();
  if (dtype == DType::kU8) return make.template operator()<uint8_t>();
  return RefuseTactic(spec, "does not take " + std::string(DTypeName(dtype)));
}

}  // namespace

extern const KernelDef argmax_cuda = {
    .id = "argmax_cuda.1", .op = "ArgMax", .device = DeviceKind::kCuda, .bind = Bind<true>};
extern const KernelDef argmin_cuda = {
    .id = "argmin_cuda.1", .op = "ArgMin", .device = DeviceKind::kCuda, .bind = Bind<false>};

}  // namespace fusee::ops
