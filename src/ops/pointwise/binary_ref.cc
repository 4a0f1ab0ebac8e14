// Reference kernels of the binary operators: one pair at a time in double or exact 64-bit integers,
// rounded once.
#include <fmt/format.h>

#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

template <typename Function>
Status Check(const BinaryParams&, const RunArgs& args) {
  return CheckBinary(Function::kName, args);
}

// Result type R (T itself, or bool for a comparison). Returns the flat index of the first undefined
// result, or -1.
template <typename Function, typename T, typename R>
int64_t RunTyped(const BinaryParams& params, const RunArgs& args) {
  const ConstTensorView& a = args.inputs[0];
  const ConstTensorView& b = args.inputs[1];
  const TensorView& y = args.outputs[0];
  const int64_t n = y.elements();
  R* out = static_cast<R*>(y.data);
  BroadcastWalk<2> walk(y.shape, {&a.shape, &b.shape});
  bool undefined = false;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = Narrow<R>(Function::Of(Load<T>(a.data, walk.operand(0)),
                                    Load<T>(b.data, walk.operand(1)), params.attrs, &undefined));
    if (undefined) return i;
    walk.Next();
  }
  return -1;
}

template <typename Function, bool kComparison>
Status Run(const BinaryParams& params, const RunArgs& args) {
  int64_t bad = -1;
  VisitType(params.dtype, [&]<typename T>() {
    if constexpr (Contains(Function::kTypes, DTypeOf<T>())) {
      bad = RunTyped<Function, T, std::conditional_t<kComparison, bool, T>>(params, args);
    }
  });
  if (bad < 0) return OkStatus();
  return InvalidArgument(fmt::format("{}: integer division by zero at flat index {} of the result",
                                     Function::kName, bad));
}

template <typename Function, bool kComparison>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const BinaryParams params, ReadBinary(spec, Function::kTypes, kComparison));
  return MakeKernel(params, &Check<Function>, &Run<Function, kComparison>);
}

}  // namespace

#define FUSEE_BINARY_REF(Name, prefix)                           \
  extern const KernelDef prefix##_ref = {.id = #prefix "_ref.1", \
                                         .op = #Name,            \
                                         .reference = true,      \
                                         .in_place_inputs = 3,   \
                                         .bind = &Bind<Name##Function, false>};
FUSEE_BINARY_REF(Add, add)
FUSEE_BINARY_REF(Sub, sub)
FUSEE_BINARY_REF(Mul, mul)
FUSEE_BINARY_REF(Div, div)
FUSEE_BINARY_REF(Mod, mod)
FUSEE_BINARY_REF(Min, min)
FUSEE_BINARY_REF(Max, max)
FUSEE_BINARY_REF(PRelu, prelu)
FUSEE_BINARY_REF(And, logical_and)
FUSEE_BINARY_REF(Or, logical_or)
FUSEE_BINARY_REF(Xor, logical_xor)
FUSEE_BINARY_REF(BitwiseAnd, bitwise_and)
FUSEE_BINARY_REF(BitwiseOr, bitwise_or)
FUSEE_BINARY_REF(BitwiseXor, bitwise_xor)
FUSEE_BINARY_REF(BitShift, bit_shift)
#undef FUSEE_BINARY_REF

#define FUSEE_COMPARISON_REF(Name, prefix)                       \
  extern const KernelDef prefix##_ref = {.id = #prefix "_ref.1", \
                                         .op = #Name,            \
                                         .reference = true,      \
                                         .bind = &Bind<Name##Function, true>};
FUSEE_COMPARISON_REF(Equal, equal)
FUSEE_COMPARISON_REF(Less, less)
FUSEE_COMPARISON_REF(LessOrEqual, less_or_equal)
FUSEE_COMPARISON_REF(Greater, greater)
FUSEE_COMPARISON_REF(GreaterOrEqual, greater_or_equal)
#undef FUSEE_COMPARISON_REF

}  // namespace fusee::ops
