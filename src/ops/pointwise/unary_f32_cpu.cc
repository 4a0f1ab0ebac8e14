// Unary operators on f32: one branch-free loop each, in blocks. Elementary functions are those of
// math_inline.h, in single precision: within a few units in the last place of the reference.
#include <cmath>

#include "ops/pointwise/broadcast.h"
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/unary_functions.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Attributes in the type of the arithmetic.
struct FloatAttrs {
  float alpha, beta;
};

// e^x - 1: the difference itself where e^x is far from 1, a series where it is near.
FUSEE_MATH_INLINE float Expm1F(float x) {
  float p = 1.0f / 5040;
  p = p * x + 1.0f / 720;
  p = p * x + 1.0f / 120;
  p = p * x + 1.0f / 24;
  p = p * x + 1.0f / 6;
  p = p * x + 0.5f;
  const float near = x + x * x * p;
  const float far = math::ExpF(x) - 1.0f;
  return math::AbsF(x) < 0.5f ? near : far;
}
// log(1 + e^-m) for m >= 0. The sum rounds; what it lost is added back to first order.
FUSEE_MATH_INLINE float SoftplusTailF(float m) {
  const float e = math::ExpF(-m);
  const float sum = 1.0f + e;
  const float lost = e - (sum - 1.0f);
  return math::LogF(sum) + lost / sum;
}
FUSEE_MATH_INLINE float SoftplusF(float x) {
  return (x < 0.0f ? 0.0f : x) + SoftplusTailF(math::AbsF(x));
}
FUSEE_MATH_INLINE float HardSigmoidF(float x, float alpha, float beta) {
  float y = alpha * x + beta;
  y = y < 0.0f ? 0.0f : y;
  return y > 1.0f ? 1.0f : y;
}

#define FUSEE_UNARY(Name, expression)                                                  \
  struct Name {                                                                        \
    static constexpr std::string_view kName = #Name;                                   \
    FUSEE_MATH_INLINE static float Of(float x, [[maybe_unused]] const FloatAttrs& a) { \
      return expression;                                                               \
    }                                                                                  \
  };
FUSEE_UNARY(Neg, -x)
FUSEE_UNARY(Abs, math::AbsF(x))
FUSEE_UNARY(Floor, std::floor(x))
FUSEE_UNARY(Ceil, std::ceil(x))
FUSEE_UNARY(Round, std::nearbyint(x))
FUSEE_UNARY(Reciprocal, 1.0f / x)
FUSEE_UNARY(Sqrt, std::sqrt(x))
FUSEE_UNARY(Exp, math::ExpF(x))
FUSEE_UNARY(Log, math::LogF(x))
FUSEE_UNARY(Erf, math::ErfF(x))
FUSEE_UNARY(Tanh, math::TanhF(x))
FUSEE_UNARY(Sigmoid, math::SigmoidF(x))
FUSEE_UNARY(Relu, x < 0.0f ? 0.0f : x)
FUSEE_UNARY(LeakyRelu, (x < 0.0f ? a.alpha : 1.0f) * x)
FUSEE_UNARY(HardSigmoid, HardSigmoidF(x, a.alpha, a.beta))
FUSEE_UNARY(HardSwish, x* HardSigmoidF(x, 1.0f / 6, 0.5f))
FUSEE_UNARY(Swish, x* math::SigmoidF(a.alpha* x))
FUSEE_UNARY(Mish, x* math::TanhF(SoftplusF(x)))
FUSEE_UNARY(Elu, x < 0.0f ? a.alpha * Expm1F(x) : x)
FUSEE_UNARY(Softplus, SoftplusF(x))
// The exact form; the lower tail, where 1 + erf cancels, is below 1e-6 of the largest weight.
FUSEE_UNARY(Gelu, 0.5f * x * (1.0f + math::ErfF(x * 0.707106781f)))
FUSEE_UNARY(GeluTanh, 0.5f * x * (1.0f + math::TanhF(0.797884561f * (x + 0.044715f * x * x * x))))
#undef FUSEE_UNARY

struct Params {
  FloatAttrs attrs;
};

template <typename Op>
Status Check(const Params&, const RunArgs& args) {
  return CheckSameShape(Op::kName, args);
}

template <typename Op>
Status Run(const Params& params, const RunArgs& args) {
  const float* x = args.inputs[0].as<float>();
  float* y = args.outputs[0].as<float>();
  ParallelBlocks(args.parallel, args.outputs[0].elements(), kElementsPerTask,
                 [&](int64_t begin, int64_t end) {
                   const FloatAttrs attrs = params.attrs;
                   FUSEE_INDEPENDENT_LOOP
                   for (int64_t i = begin; i < end; ++i) y[i] = Op::Of(x[i], attrs);
                 });
  return OkStatus();
}

Result<UnaryAttrs> BindAttrs(const StepSpec& spec, std::string_view op) {
  FUSEE_TRY(CheckOperands(spec, 1));
  if (spec.inputs[0].dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  return ReadUnaryAttrs(op, *spec.attrs);
}

template <typename Op>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const UnaryAttrs attrs, BindAttrs(spec, Op::kName));
  return MakeKernel(Params{{static_cast<float>(attrs.alpha), static_cast<float>(attrs.beta)}},
                    &Check<Op>, &Run<Op>);
}

Result<std::unique_ptr<BoundKernel>> BindGelu(const StepSpec& spec) {
  FUSEE_TRY(const UnaryAttrs attrs, BindAttrs(spec, "Gelu"));
  return attrs.tanh ? MakeKernel(Params{}, &Check<GeluTanh>, &Run<GeluTanh>)
                    : MakeKernel(Params{}, &Check<Gelu>, &Run<Gelu>);
}

}  // namespace

#define FUSEE_UNARY_CPU(Op, prefix, bind_function) \
  extern const KernelDef prefix##_f32_cpu = {      \
      .id = #prefix "_f32_cpu.1", .op = #Op, .in_place_inputs = 1, .bind = &bind_function};
FUSEE_UNARY_CPU(Neg, neg, Bind<Neg>)
FUSEE_UNARY_CPU(Abs, abs, Bind<Abs>)
FUSEE_UNARY_CPU(Floor, floor, Bind<Floor>)
FUSEE_UNARY_CPU(Ceil, ceil, Bind<Ceil>)
FUSEE_UNARY_CPU(Round, round, Bind<Round>)
FUSEE_UNARY_CPU(Reciprocal, reciprocal, Bind<Reciprocal>)
FUSEE_UNARY_CPU(Sqrt, sqrt, Bind<Sqrt>)
FUSEE_UNARY_CPU(Exp, exp, Bind<Exp>)
FUSEE_UNARY_CPU(Log, log, Bind<Log>)
FUSEE_UNARY_CPU(Erf, erf, Bind<Erf>)
FUSEE_UNARY_CPU(Tanh, tanh, Bind<Tanh>)
FUSEE_UNARY_CPU(Sigmoid, sigmoid, Bind<Sigmoid>)
FUSEE_UNARY_CPU(Relu, relu, Bind<Relu>)
FUSEE_UNARY_CPU(LeakyRelu, leaky_relu, Bind<LeakyRelu>)
FUSEE_UNARY_CPU(HardSigmoid, hard_sigmoid, Bind<HardSigmoid>)
FUSEE_UNARY_CPU(HardSwish, hard_swish, Bind<HardSwish>)
FUSEE_UNARY_CPU(Swish, swish, Bind<Swish>)
FUSEE_UNARY_CPU(Mish, mish, Bind<Mish>)
FUSEE_UNARY_CPU(Elu, elu, Bind<Elu>)
FUSEE_UNARY_CPU(Softplus, softplus, Bind<Softplus>)
FUSEE_UNARY_CPU(Gelu, gelu, BindGelu)
#undef FUSEE_UNARY_CPU

}  // namespace fusee::ops
