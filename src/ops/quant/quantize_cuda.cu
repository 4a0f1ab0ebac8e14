// QuantizeLinear of f32, f16, bf16 and i32 to u8, i8, u16 and i16, and DequantizeLinear back (also
// of i32), every arrangement of scales: a thread eight neighbours. The same bits as the reference:
// quotients are those of IEEE division in float, which once more rounded to half or bfloat16 are
// the double's too (24 bits are 2 * 11 + 2), and products for narrow results are made in double.
//
// Floor: bytes read and written over the bandwidth; the launch, 2 us, below about 1 MB.
#include "cuda/float_view.cuh"
#include "cuda/launch.cuh"
#include "cuda/packed.cuh"
#include "cuda/reduce.cuh"
#include "ops/quant/quantize.h"

namespace fusee::ops {
namespace {

using cuda::FloatView;

constexpr int kThreads = 256;
constexpr int kPer = 8;  // elements a thread

// Which scale an element has, as QuantRows says it: the tensor is [outer, size, inner].
struct ScaleMap {
  bool one = true;
  int64_t size = 1, inner = 1;
  int64_t block = 0, blocks = 0;  // 0: per axis

  ScaleMap(const QuantParams& params, const RunArgs& args) {
    const Shape& in = args.inputs[0].shape;
    one = params.rank == 0 || (params.block == 0 && args.inputs[1].shape.elements() == 1);
    if (one) return;
    size = in[params.axis];
    inner = in.elements(params.axis + 1, params.rank);
    if (params.block == 0) return;
    block = params.block < size ? params.block : size;
    blocks = (size + block - 1) / block;
  }
};

// The scale's index for one element after the other. Dividing once a thread is enough.
class ScaleWalk {
 public:
  __device__ __forceinline__ ScaleWalk(const ScaleMap& map, int64_t element) : map_(map) {
    if (map_.one) return;
    const int64_t row = element / map_.inner;
    inner_ = element - row * map_.inner;
    outer_ = row / map_.size;
    axis_ = row - outer_ * map_.size;
  }
  __device__ __forceinline__ int64_t Index() const {
    if (map_.one) return 0;
    if (map_.block == 0) return axis_;
    return (outer_ * map_.blocks + axis_ / map_.block) * map_.inner + inner_;
  }
  __device__ __forceinline__ void Next() {
    if (++inner_ < map_.inner) return;
    inner_ = 0;
    if (++axis_ < map_.size) return;
    axis_ = 0;
    ++outer_;
  }

 private:
  const ScaleMap& map_;
  int64_t inner_ = 0, axis_ = 0, outer_ = 0;
};

template <typename T>
__device__ __forceinline__ float AsFloat(T x) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<float>(x);
  else
    return cuda::ToFloat(x);
}

template <typename X, typename Y>
struct Quantize {
  FloatView scales;
  const Y* zeros = nullptr;
  DType precision = DType::kF32;
  float low = 0, high = 0;

  struct Step {
    float scale, zero;
  };
  __device__ __forceinline__ Step At(int64_t i) const {
    return {scales[i], zeros != nullptr ? static_cast<float>(zeros[i]) : 0.0f};
  }
  __device__ __forceinline__ Y operator()(X x, Step step) const {
    float quotient = AsFloat(x) / step.scale;
    if (precision == DType::kF16)
      quotient = cuda::ToFloat(cuda::FromFloat<__half>(quotient));
    else if (precision == DType::kBF16)
      quotient = cuda::ToFloat(cuda::FromFloat<__nv_bfloat16>(quotient));
    // Beyond 2^24 the sum loses bits, but there the result saturates anyway. NaN becomes `low`.
    float y = rintf(quotient) + step.zero;
    y = y > low ? y : low;
    y = y < high ? y : high;
    return static_cast<Y>(static_cast<int32_t>(y));
  }
};

template <typename X, typename Y>
struct Dequantize {
  using Wide = std::conditional_t<sizeof(X) == 4, int64_t, int32_t>;
  FloatView scales;
  const X* zeros = nullptr;

  struct Step {
    float scale;
    Wide zero;
  };
  __device__ __forceinline__ Step At(int64_t i) const {
    return {scales[i], zeros != nullptr ? static_cast<Wide>(zeros[i]) : Wide{0}};
  }
  __device__ __forceinline__ Y operator()(X x, Step step) const {
    const float difference = static_cast<float>(static_cast<Wide>(x) - step.zero);
    if constexpr (std::is_same_v<Y, float>) {
      return difference * step.scale;
    } else {
      const double product = static_cast<double>(difference) * static_cast<double>(step.scale);
      if constexpr (std::is_same_v<Y, __half>)
        return __double2half(product);
      else
        return __double2bfloat16(product);
    }
  }
};

template <typename X, typename Y, typename Fn>
__global__ void __launch_bounds__(kThreads)
    QuantKernel(const X* x, Y* y, int64_t count, bool aligned, const __grid_constant__ ScaleMap map,
                const __grid_constant__ Fn fn) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * kPer;
  for (int64_t begin = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPer;
       begin < count; begin += step) {
    const int left = count - begin < kPer ? static_cast<int>(count - begin) : kPer;
    const bool whole = aligned && left == kPer;
    cuda::Packed<X, kPer> in;
    cuda::Packed<Y, kPer> out;
    if (whole) {
      in = *reinterpret_cast<const cuda::Packed<X, kPer>*>(x + begin);
    } else {
#pragma unroll
      for (int i = 0; i < kPer; ++i) {
        if (i < left) in.value[i] = x[begin + i];
      }
    }
    ScaleWalk walk(map, begin);
    auto scale = fn.At(walk.Index());
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      if (i < left) {
        if (i > 0 && !map.one) {
          walk.Next();
          scale = fn.At(walk.Index());
        }
        out.value[i] = fn(in.value[i], scale);
      }
    }
    if (whole) {
      *reinterpret_cast<cuda::Packed<Y, kPer>*>(y + begin) = out;
    } else {
#pragma unroll
      for (int i = 0; i < kPer; ++i) {
        if (i < left) y[begin + i] = out.value[i];
      }
    }
  }
}

template <typename X, typename Y, typename Fn>
Status LaunchQuant(const QuantParams& params, const RunArgs& args, const Fn& fn) {
  const X* x = static_cast<const X*>(args.inputs[0].data);
  Y* y = static_cast<Y*>(args.outputs[0].data);
  const int64_t count = args.inputs[0].elements();
  const bool aligned = cuda::IsAligned<X, kPer>(x) && cuda::IsAligned<Y, kPer>(y);
  if (count == 0) return OkStatus();
  return cuda::Launch(&QuantKernel<X, Y, Fn>, dim3(cuda::BlocksFor(count, kThreads * kPer)),
                      dim3(kThreads), 0, args.queue, x, y, count, aligned, ScaleMap(params, args),
                      fn);
}

// --- QuantizeLinear ---

Status CheckQuantize(const QuantizeParams& params, const RunArgs& args) {
  return CheckQuant("QuantizeLinear", params.quant, args);
}

template <typename X, typename Y>
Status RunQuantize(const QuantizeParams& params, const RunArgs& args) {
  Quantize<X, Y> fn;
  fn.scales = FloatView(args.inputs[1]);
  if (args.has_input(2)) fn.zeros = static_cast<const Y*>(args.inputs[2].data);
  fn.precision = params.precision;
  fn.low = static_cast<float>(params.low);
  fn.high = static_cast<float>(params.high);
  return LaunchQuant<X, Y>(params.quant, args, fn);
}

template <typename X>
Result<std::unique_ptr<BoundKernel>> MakeQuantize(const QuantizeParams& params, DType y) {
  if (y == DType::kU8) return MakeKernel(params, CheckQuantize, RunQuantize<X, uint8_t>);
  if (y == DType::kI8) return MakeKernel(params, CheckQuantize, RunQuantize<X, int8_t>);
  if (y == DType::kU16) return MakeKernel(params, CheckQuantize, RunQuantize<X, uint16_t>);
  return MakeKernel(params, CheckQuantize, RunQuantize<X, int16_t>);
}

Result<std::unique_ptr<BoundKernel>> BindQuantize(const StepSpec& spec) {
  FUSEE_TRY(const QuantizeParams params, ReadQuantize(spec));
  const DType x = spec.inputs[0].dtype, y = spec.outputs[0].dtype;
  const auto narrow = [](DType d) { return d == DType::kF16 || d == DType::kBF16; };
  if (narrow(params.precision) && (!narrow(x) || !narrow(spec.inputs[1].dtype)))
    return RefuseTactic(spec, "divides in half precision what is of half precision only");
  if (x == DType::kI32) return MakeQuantize<int32_t>(params, y);
  return cuda::VisitComputeFloat(x, [&]<typename T>() { return MakeQuantize<T>(params, y); });
}

// --- DequantizeLinear ---

Status CheckDequantize(const QuantParams& params, const RunArgs& args) {
  return CheckQuant("DequantizeLinear", params, args);
}

template <typename X, typename Y>
Status RunDequantize(const QuantParams& params, const RunArgs& args) {
  Dequantize<X, Y> fn;
  fn.scales = FloatView(args.inputs[1]);
  if (args.has_input(2)) fn.zeros = static_cast<const X*>(args.inputs[2].data);
  return LaunchQuant<X, Y>(params, args, fn);
}

Result<std::unique_ptr<BoundKernel>> BindDequantize(const StepSpec& spec) {
  FUSEE_TRY(const QuantParams params, ReadDequantize(spec));
  const DType x = spec.inputs[0].dtype;
  return cuda::VisitComputeFloat(
      spec.outputs[0].dtype, [&]<typename Y>() -> Result<std::unique_ptr<BoundKernel>> {
        if (x == DType::kU8) return MakeKernel(params, CheckDequantize, RunDequantize<uint8_t, Y>);
        if (x == DType::kI8) return MakeKernel(params, CheckDequantize, RunDequantize<int8_t, Y>);
        if (x == DType::kU16)
          return MakeKernel(params, CheckDequantize, RunDequantize<uint16_t, Y>);
        if (x == DType::kI16) return MakeKernel(params, CheckDequantize, RunDequantize<int16_t, Y>);
        return MakeKernel(params, CheckDequantize, RunDequantize<int32_t, Y>);
      });
}

}  // namespace

extern const KernelDef quantize_linear_cuda = {.id = "quantize_linear_cuda.1",
                                               .op = "QuantizeLinear",
                                               .device = DeviceKind::kCuda,
                                               .bind = BindQuantize};
extern const KernelDef dequantize_linear_cuda = {.id = "dequantize_linear_cuda.1",
                                                 .op = "DequantizeLinear",
                                                 .device = DeviceKind::kCuda,
                                                 .bind = BindDequantize};

}  // namespace fusee::ops
