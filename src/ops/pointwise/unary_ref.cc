// Reference kernels of the unary operators: one element at a time, in double or exact integers,
// rounded once.
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/unary_functions.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

struct Params {
  DType dtype;
  UnaryAttrs attrs;
};

template <typename Function>
Status Check(const Params&, const RunArgs& args) {
  return CheckSameShape(Function::kName, args);
}

template <typename Function>
Status Run(const Params& params, const RunArgs& args) {
  const ConstTensorView& x = args.inputs[0];
  const TensorView& y = args.outputs[0];
  const int64_t n = y.elements();
  VisitType(params.dtype, [&]<typename T>() {
    if constexpr (Contains(Function::kTypes, DTypeOf<T>())) {
      T* out = y.as<T>();
      for (int64_t i = 0; i < n; ++i)
        out[i] = Narrow<T>(Function::Of(Load<T>(x.data, i), params.attrs));
    }
  });
  return OkStatus();
}

template <typename Function>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 1));
  FUSEE_TRY(CheckType(spec, spec.inputs[0].dtype, Function::kTypes, "the operand"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  FUSEE_TRY(const UnaryAttrs attrs, ReadUnaryAttrs(Function::kName, *spec.attrs));
  return MakeKernel(Params{spec.inputs[0].dtype, attrs}, &Check<Function>, &Run<Function>);
}

}  // namespace

#define FUSEE_UNARY_REF(Name, prefix)                            \
  extern const KernelDef prefix##_ref = {.id = #prefix "_ref.1", \
                                         .op = #Name,            \
                                         .reference = true,      \
                                         .in_place_inputs = 1,   \
                                         .bind = &Bind<Name##Function>};
FUSEE_UNARY_REF(Neg, neg)
FUSEE_UNARY_REF(Abs, abs)
FUSEE_UNARY_REF(Sign, sign)
FUSEE_UNARY_REF(Floor, floor)
FUSEE_UNARY_REF(Ceil, ceil)
FUSEE_UNARY_REF(Round, round)
FUSEE_UNARY_REF(Reciprocal, reciprocal)
FUSEE_UNARY_REF(Sqrt, sqrt)
FUSEE_UNARY_REF(Exp, exp)
FUSEE_UNARY_REF(Log, log)
FUSEE_UNARY_REF(Erf, erf)
FUSEE_UNARY_REF(Sin, sin)
FUSEE_UNARY_REF(Cos, cos)
FUSEE_UNARY_REF(Tan, tan)
FUSEE_UNARY_REF(Sinh, sinh)
FUSEE_UNARY_REF(Cosh, cosh)
FUSEE_UNARY_REF(Tanh, tanh)
FUSEE_UNARY_REF(Asin, asin)
FUSEE_UNARY_REF(Acos, acos)
FUSEE_UNARY_REF(Atan, atan)
FUSEE_UNARY_REF(Asinh, asinh)
FUSEE_UNARY_REF(Acosh, acosh)
FUSEE_UNARY_REF(Atanh, atanh)
FUSEE_UNARY_REF(Relu, relu)
FUSEE_UNARY_REF(LeakyRelu, leaky_relu)
FUSEE_UNARY_REF(ThresholdedRelu, thresholded_relu)
FUSEE_UNARY_REF(Sigmoid, sigmoid)
FUSEE_UNARY_REF(HardSigmoid, hard_sigmoid)
FUSEE_UNARY_REF(HardSwish, hard_swish)
FUSEE_UNARY_REF(Swish, swish)
FUSEE_UNARY_REF(Mish, mish)
FUSEE_UNARY_REF(Gelu, gelu)
FUSEE_UNARY_REF(Elu, elu)
FUSEE_UNARY_REF(Celu, celu)
FUSEE_UNARY_REF(Selu, selu)
FUSEE_UNARY_REF(Softplus, softplus)
FUSEE_UNARY_REF(Softsign, softsign)
FUSEE_UNARY_REF(Shrink, shrink)
FUSEE_UNARY_REF(Not, logical_not)
FUSEE_UNARY_REF(BitwiseNot, bitwise_not)
#undef FUSEE_UNARY_REF

}  // namespace fusee::ops
