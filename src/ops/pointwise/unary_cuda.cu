// Unary operators on f32, f16 and bf16: one thread a 16-byte pack, arithmetic in float.
//
// Floor: bytes read and written over the device's bandwidth. A kernel of its own is worth having
// only where no epilogue took the operator in.
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "ops/kernel.h"
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/unary_attrs.h"

namespace fusee::ops {
namespace {

using cuda::FromFloat;
using cuda::Pack;
using cuda::ToFloat;

constexpr int kThreads = 256;

struct FloatAttrs {
  float alpha = 0, beta = 0;
};

__device__ float Softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }
__device__ float SigmoidOf(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}
__device__ float HardSigmoidOf(float x, float alpha, float beta) {
  // Written so that NaN stays NaN.
  const float y = alpha * x + beta;
  return y < 0 ? 0.0f : (y > 1 ? 1.0f : y);
}

#define FUSEE_UNARY(Name, expression)                                                         \
  struct Name {                                                                               \
    static constexpr std::string_view kName = #Name;                                          \
    static __device__ float Of(float x, [[maybe_unused]] FloatAttrs a) { return expression; } \
  };
FUSEE_UNARY(Neg, -x)
FUSEE_UNARY(Abs, fabsf(x))
FUSEE_UNARY(Floor, floorf(x))
FUSEE_UNARY(Ceil, ceilf(x))
FUSEE_UNARY(Round, rintf(x))
FUSEE_UNARY(Reciprocal, 1.0f / x)
FUSEE_UNARY(Sqrt, sqrtf(x))
FUSEE_UNARY(Exp, expf(x))
FUSEE_UNARY(Log, logf(x))
FUSEE_UNARY(Erf, erff(x))
FUSEE_UNARY(Tanh, tanhf(x))
FUSEE_UNARY(Sin, sinf(x))
FUSEE_UNARY(Cos, cosf(x))
FUSEE_UNARY(Sign, x > 0 ? 1.0f : (x < 0 ? -1.0f : x))
FUSEE_UNARY(Sigmoid, SigmoidOf(x))
FUSEE_UNARY(Relu, x < 0 ? 0.0f : x)
FUSEE_UNARY(LeakyRelu, x < 0 ? a.alpha * x : x)
FUSEE_UNARY(HardSigmoid, HardSigmoidOf(x, a.alpha, a.beta))
FUSEE_UNARY(HardSwish, x* HardSigmoidOf(x, 1.0f / 6, 0.5f))
FUSEE_UNARY(Swish, x* SigmoidOf(a.alpha* x))
FUSEE_UNARY(Mish, x* tanhf(Softplus(x)))
FUSEE_UNARY(Elu, x < 0 ? a.alpha * expm1f(x) : x)
FUSEE_UNARY(Softplus_, Softplus(x))
FUSEE_UNARY(Gelu, 0.5f * x * (1.0f + erff(x * 0.70710678f)))
FUSEE_UNARY(GeluTanh, 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x))))
#undef FUSEE_UNARY

template <typename Op, typename T>
__global__ void __launch_bounds__(kThreads)
    UnaryKernel(const T* x, T* y, int64_t count, FloatAttrs attrs) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  constexpr int kPack = Pack<T>::kCount;
  const int64_t begin = (blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x) * kPack;
  if (begin + kPack <= count) {
    Pack<T> in = *reinterpret_cast<const Pack<T>*>(x + begin);
    Pack<T> out;
#pragma unroll
    for (int i = 0; i < kPack; ++i)
      out.value[i] = FromFloat<T>(Op::Of(ToFloat(in.value[i]), attrs));
    *reinterpret_cast<Pack<T>*>(y + begin) = out;
  } else {
    for (int64_t i = begin; i < count; ++i) y[i] = FromFloat<T>(Op::Of(ToFloat(x[i]), attrs));
  }
}

struct Params {
  DType dtype = DType::kInvalid;
  FloatAttrs attrs;
};

template <typename Op>
Status Check(const Params&, const RunArgs& args) {
  return ExpectShape(Op::kName, "result", args.inputs[0].shape, args.outputs[0].shape);
}

template <typename Op>
Status Run(const Params& params, const RunArgs& args) {
  const int64_t count = args.outputs[0].elements();
  return cuda::VisitComputeFloat(params.dtype, [&]<typename T>() -> Status {
    const int64_t blocks = (count + kThreads * Pack<T>::kCount - 1) / (kThreads * Pack<T>::kCount);
    return cuda::Launch(&UnaryKernel<Op, T>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
                        args.queue, static_cast<const T*>(args.inputs[0].data),
                        static_cast<T*>(args.outputs[0].data), count, params.attrs);
  });
}

template <typename Op>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  if (!cuda::IsComputeFloat(spec.inputs[0].dtype))
    return RefuseTactic(spec, "takes f32, f16 and bf16");
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  FUSEE_TRY(const pointwise::UnaryAttrs attrs, pointwise::ReadUnaryAttrs(spec.op, *spec.attrs));
  const Params params{spec.inputs[0].dtype,
                      {static_cast<float>(attrs.alpha), static_cast<float>(attrs.beta)}};
  if constexpr (std::is_same_v<Op, Gelu>) {
    if (attrs.tanh) return MakeKernel(params, &Check<GeluTanh>, &Run<GeluTanh>);
  }
  return MakeKernel(params, &Check<Op>, &Run<Op>);
}

}  // namespace

#define FUSEE_UNARY_CUDA(Op, OpName, prefix)                           \
  extern const KernelDef prefix##_cuda = {.id = #prefix "_cuda.1",     \
                                          .op = OpName,                \
                                          .device = DeviceKind::kCuda, \
                                          .in_place_inputs = 1,        \
                                          .bind = &Bind<Op>};
FUSEE_UNARY_CUDA(Neg, "Neg", neg)
FUSEE_UNARY_CUDA(Abs, "Abs", abs)
FUSEE_UNARY_CUDA(Floor, "Floor", floor)
FUSEE_UNARY_CUDA(Ceil, "Ceil", ceil)
FUSEE_UNARY_CUDA(Round, "Round", round)
FUSEE_UNARY_CUDA(Reciprocal, "Reciprocal", reciprocal)
FUSEE_UNARY_CUDA(Sqrt, "Sqrt", sqrt)
FUSEE_UNARY_CUDA(Exp, "Exp", exp)
FUSEE_UNARY_CUDA(Log, "Log", log)
FUSEE_UNARY_CUDA(Erf, "Erf", erf)
FUSEE_UNARY_CUDA(Tanh, "Tanh", tanh)
FUSEE_UNARY_CUDA(Sin, "Sin", sin)
FUSEE_UNARY_CUDA(Cos, "Cos", cos)
FUSEE_UNARY_CUDA(Sign, "Sign", sign)
FUSEE_UNARY_CUDA(Sigmoid, "Sigmoid", sigmoid)
FUSEE_UNARY_CUDA(Relu, "Relu", relu)
FUSEE_UNARY_CUDA(LeakyRelu, "LeakyRelu", leaky_relu)
FUSEE_UNARY_CUDA(HardSigmoid, "HardSigmoid", hard_sigmoid)
FUSEE_UNARY_CUDA(HardSwish, "HardSwish", hard_swish)
FUSEE_UNARY_CUDA(Swish, "Swish", swish)
FUSEE_UNARY_CUDA(Mish, "Mish", mish)
FUSEE_UNARY_CUDA(Elu, "Elu", elu)
FUSEE_UNARY_CUDA(Softplus_, "Softplus", softplus)
FUSEE_UNARY_CUDA(Gelu, "Gelu", gelu)
#undef FUSEE_UNARY_CUDA

}  // namespace fusee::ops
