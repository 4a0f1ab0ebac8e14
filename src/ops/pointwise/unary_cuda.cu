// Unary operators on f32, f16 and bf16: one thread a 16-byte pack, arithmetic in float.
//
// Floor: bytes read and written over the device's bandwidth. A kernel of its own is worth having
// only where no epilogue took the operator in.
#include "cuda/numeric.cuh"
#include "ops/kernel.h"
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/map_cuda.cuh"
#include "ops/pointwise/unary_attrs.h"

namespace fusee::ops {
namespace {

using cuda::FromFloat;
using cuda::ToFloat;

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
FUSEE_UNARY(Tan, tanf(x))
FUSEE_UNARY(Sinh, sinhf(x))
FUSEE_UNARY(Cosh, coshf(x))
FUSEE_UNARY(Asin, asinf(x))
FUSEE_UNARY(Acos, acosf(x))
FUSEE_UNARY(Atan, atanf(x))
FUSEE_UNARY(Asinh, asinhf(x))
FUSEE_UNARY(Acosh, acoshf(x))
FUSEE_UNARY(Atanh, atanhf(x))
FUSEE_UNARY(Sign, x > 0 ? 1.0f : (x < 0 ? -1.0f : x))
FUSEE_UNARY(Sigmoid, SigmoidOf(x))
FUSEE_UNARY(Relu, x < 0 ? 0.0f : x)
FUSEE_UNARY(LeakyRelu, x < 0 ? a.alpha * x : x)
FUSEE_UNARY(HardSigmoid, HardSigmoidOf(x, a.alpha, a.beta))
FUSEE_UNARY(HardSwish, x* HardSigmoidOf(x, 1.0f / 6, 0.5f))
FUSEE_UNARY(Swish, x* SigmoidOf(a.alpha* x))
FUSEE_UNARY(Mish, x* tanhf(Softplus(x)))
FUSEE_UNARY(Elu, x < 0 ? a.alpha * expm1f(x) : x)
FUSEE_UNARY(Celu, x < 0 ? a.alpha * expm1f(x / a.alpha) : x)
FUSEE_UNARY(Selu, a.beta*(x <= 0 ? a.alpha * expm1f(x) : x))
FUSEE_UNARY(ThresholdedRelu, x <= a.alpha ? 0.0f : x)
FUSEE_UNARY(Softsign, x / (1.0f + fabsf(x)))
FUSEE_UNARY(Shrink, x < -a.alpha ? x + a.beta : (x > a.alpha ? x - a.beta : 0.0f))
FUSEE_UNARY(Softplus_, Softplus(x))
FUSEE_UNARY(Gelu, 0.5f * x * (1.0f + erff(x * 0.70710678f)))
FUSEE_UNARY(GeluTanh, 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x))))
#undef FUSEE_UNARY

template <typename Op, typename T>
struct UnaryFn {
  FloatAttrs attrs;
  __device__ __forceinline__ T operator()(T x) const {
    return FromFloat<T>(Op::Of(ToFloat(x), attrs));
  }
};

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
  return cuda::VisitComputeFloat(params.dtype, [&]<typename T>() -> Status {
    return pointwise::LaunchMap<T, T>(args, UnaryFn<Op, T>{params.attrs});
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
FUSEE_UNARY_CUDA(Tan, "Tan", tan)
FUSEE_UNARY_CUDA(Sinh, "Sinh", sinh)
FUSEE_UNARY_CUDA(Cosh, "Cosh", cosh)
FUSEE_UNARY_CUDA(Asin, "Asin", asin)
FUSEE_UNARY_CUDA(Acos, "Acos", acos)
FUSEE_UNARY_CUDA(Atan, "Atan", atan)
FUSEE_UNARY_CUDA(Asinh, "Asinh", asinh)
FUSEE_UNARY_CUDA(Acosh, "Acosh", acosh)
FUSEE_UNARY_CUDA(Atanh, "Atanh", atanh)
FUSEE_UNARY_CUDA(Sign, "Sign", sign)
FUSEE_UNARY_CUDA(Sigmoid, "Sigmoid", sigmoid)
FUSEE_UNARY_CUDA(Relu, "Relu", relu)
FUSEE_UNARY_CUDA(LeakyRelu, "LeakyRelu", leaky_relu)
FUSEE_UNARY_CUDA(HardSigmoid, "HardSigmoid", hard_sigmoid)
FUSEE_UNARY_CUDA(HardSwish, "HardSwish", hard_swish)
FUSEE_UNARY_CUDA(Swish, "Swish", swish)
FUSEE_UNARY_CUDA(Mish, "Mish", mish)
FUSEE_UNARY_CUDA(Elu, "Elu", elu)
FUSEE_UNARY_CUDA(Celu, "Celu", celu)
FUSEE_UNARY_CUDA(Selu, "Selu", selu)
FUSEE_UNARY_CUDA(ThresholdedRelu, "ThresholdedRelu", thresholded_relu)
FUSEE_UNARY_CUDA(Softsign, "Softsign", softsign)
FUSEE_UNARY_CUDA(Shrink, "Shrink", shrink)
FUSEE_UNARY_CUDA(Softplus_, "Softplus", softplus)
FUSEE_UNARY_CUDA(Gelu, "Gelu", gelu)
#undef FUSEE_UNARY_CUDA

}  // namespace fusee::ops
