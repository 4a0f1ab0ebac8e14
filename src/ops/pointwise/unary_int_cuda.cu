// Unary operators on integers, which wrap, and on truth values.
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/device_types_cuda.cuh"
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/map_cuda.cuh"
#include "ops/pointwise/unary_functions.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

struct Neg {
  using Function = NegFunction;
  template <typename C>
  static __device__ __forceinline__ C Of(C x) {
    return static_cast<C>(0 - static_cast<std::make_unsigned_t<C>>(x));
  }
};
struct Abs {
  using Function = AbsFunction;
  template <typename C>
  static __device__ __forceinline__ C Of(C x) {
    if constexpr (std::is_signed_v<C>) return x < 0 ? Neg::Of(x) : x;
    return x;
  }
};
struct Sign {
  using Function = SignFunction;
  template <typename C>
  static __device__ __forceinline__ C Of(C x) {
    if constexpr (std::is_signed_v<C>) return (x > 0) - (x < 0);
    return x != 0;
  }
};
struct Relu {
  using Function = ReluFunction;
  template <typename C>
  static __device__ __forceinline__ C Of(C x) {
    return x < 0 ? 0 : x;
  }
};
struct Not {
  using Function = NotFunction;
  static __device__ __forceinline__ bool Of(bool x) { return !x; }
};
struct BitwiseNot {
  using Function = BitwiseNotFunction;
  template <typename C>
  static __device__ __forceinline__ C Of(C x) {
    return ~x;
  }
};

// Those of the operator that are no floats.
template <typename Op>
constexpr TypeSet kTypesOf = Op::Function::kTypes & ~kFloats;

template <typename Op, typename T>
struct UnaryFn {
  __device__ __forceinline__ T operator()(T x) const { return NarrowTo<T>(Op::Of(Widen(x))); }
};

struct Params {
  DType dtype = DType::kInvalid;
};

template <typename Op>
Status Check(const Params&, const RunArgs& args) {
  return CheckSameShape(Op::Function::kName, args);
}

template <typename Op>
Status Run(const Params& params, const RunArgs& args) {
  return VisitDeviceType<kTypesOf<Op>>(params.dtype, [&]<typename T>() -> Status {
    return LaunchMap<T, T>(args, UnaryFn<Op, T>{});
  });
}

template <typename Op>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 1));
  FUSEE_TRY(CheckType(spec, spec.inputs[0].dtype, Op::Function::kTypes, "the operand"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  if (!Contains(kTypesOf<Op>, spec.inputs[0].dtype)) return RefuseTactic(spec, "takes no floats");
  return MakeKernel(Params{spec.inputs[0].dtype}, &Check<Op>, &Run<Op>);
}

}  // namespace

#define FUSEE_UNARY_INT_CUDA(Name, name)                      \
  extern const KernelDef name = {.id = #name ".1",            \
                                 .op = #Name,                 \
                                 .device = DeviceKind::kCuda, \
                                 .in_place_inputs = 1,        \
                                 .bind = &Bind<Name>};
FUSEE_UNARY_INT_CUDA(Neg, neg_int_cuda)
FUSEE_UNARY_INT_CUDA(Abs, abs_int_cuda)
FUSEE_UNARY_INT_CUDA(Sign, sign_int_cuda)
FUSEE_UNARY_INT_CUDA(Relu, relu_int_cuda)
FUSEE_UNARY_INT_CUDA(Not, logical_not_cuda)
FUSEE_UNARY_INT_CUDA(BitwiseNot, bitwise_not_cuda)
#undef FUSEE_UNARY_INT_CUDA

}  // namespace fusee::ops
