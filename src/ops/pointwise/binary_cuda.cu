// Binary operators with broadcasting, on every type that the references take. Arithmetic that IEEE
// rounds correctly has the references' bits: one operation in float or double, no fused
// multiply-add to be made of it; integers wrap. A division of an integer by zero gives 0 and is
// reported through RunArgs::error.
//
// Floor: bytes read and written over the device's bandwidth.
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/broadcast_cuda.cuh"
#include "ops/pointwise/device_types_cuda.cuh"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Each operator: Of(a, b, context) in the type of the arithmetic. kSignless: signed and unsigned
// integers give the same bits.
struct Context {
  bool fmod = false;
  bool right = false;
  uint32_t* error = nullptr;

  __device__ __forceinline__ void DividedByZero() const {
    *error = static_cast<uint32_t>(RunError::kDivisionByZero);
  }
};

// Integer arithmetic goes through the unsigned type, in which it wraps.
template <typename C>
using Wrapping = typename std::conditional_t<std::is_integral_v<C> && !std::is_same_v<C, bool>,
                                             std::make_unsigned<C>, std::type_identity<C>>::type;

#define FUSEE_ARITHMETIC(Name, op)                                                   \
  struct Name {                                                                      \
    using Function = Name##Function;                                                 \
    static constexpr bool kSignless = true;                                          \
    template <typename C>                                                            \
    static __device__ __forceinline__ C Of(C a, C b, const Context&) {               \
      using U = Wrapping<C>;                                                         \
      return static_cast<C>(static_cast<U>(static_cast<U>(a) op static_cast<U>(b))); \
    }                                                                                \
  };
FUSEE_ARITHMETIC(Add, +)
FUSEE_ARITHMETIC(Sub, -)
FUSEE_ARITHMETIC(Mul, *)
FUSEE_ARITHMETIC(And, &)
FUSEE_ARITHMETIC(Or, |)
FUSEE_ARITHMETIC(Xor, ^)
FUSEE_ARITHMETIC(BitwiseAnd, &)
FUSEE_ARITHMETIC(BitwiseOr, |)
FUSEE_ARITHMETIC(BitwiseXor, ^)
#undef FUSEE_ARITHMETIC

#define FUSEE_COMPARISON(Name, op, signless)                              \
  struct Name {                                                           \
    using Function = Name##Function;                                      \
    static constexpr bool kSignless = signless;                           \
    template <typename C>                                                 \
    static __device__ __forceinline__ bool Of(C a, C b, const Context&) { \
      return a op b;                                                      \
    }                                                                     \
  };
FUSEE_COMPARISON(Equal, ==, true)
FUSEE_COMPARISON(Less, <, false)
FUSEE_COMPARISON(LessOrEqual, <=, false)
FUSEE_COMPARISON(Greater, >, false)
FUSEE_COMPARISON(GreaterOrEqual, >=, false)
#undef FUSEE_COMPARISON

struct Div {
  using Function = DivFunction;
  static constexpr bool kSignless = false;
  template <typename C>
  static __device__ __forceinline__ C Of(C a, C b, const Context& context) {
    if constexpr (std::is_integral_v<C>) {
      if (b == 0) {
        context.DividedByZero();
        return 0;
      }
      // The smallest number over -1 would overflow.
      if constexpr (std::is_signed_v<C>) {
        if (b == -1) return static_cast<C>(0 - static_cast<Wrapping<C>>(a));
      }
    }
    return a / b;
  }
};
struct Mod {
  using Function = ModFunction;
  static constexpr bool kSignless = false;
  static __device__ __forceinline__ float Of(float a, float b, const Context&) {
    return fmodf(a, b);
  }
  static __device__ __forceinline__ double Of(double a, double b, const Context&) {
    return fmod(a, b);
  }
  template <typename C>
  static __device__ __forceinline__ C Of(C a, C b, const Context& context) {
    if (b == 0) {
      context.DividedByZero();
      return 0;
    }
    if constexpr (std::is_signed_v<C>) {
      if (b == -1) return 0;
      const C r = a % b;
      return !context.fmod && r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
    return a % b;
  }
};
// The comparisons decide where NaN goes, as in binary_functions.h.
struct Min {
  using Function = MinFunction;
  static constexpr bool kSignless = false;
  template <typename C>
  static __device__ __forceinline__ C Of(C a, C b, const Context&) {
    return a < b || a != a ? a : b;
  }
};
struct Max {
  using Function = MaxFunction;
  static constexpr bool kSignless = false;
  template <typename C>
  static __device__ __forceinline__ C Of(C a, C b, const Context&) {
    return a > b || a != a ? a : b;
  }
};
struct PRelu {
  using Function = PReluFunction;
  static constexpr bool kSignless = false;
  template <typename C>
  static __device__ __forceinline__ C Of(C x, C slope, const Context& context) {
    if constexpr (std::is_unsigned_v<C>)
      return x;
    else
      return x < 0 ? Mul::Of(slope, x, context) : x;
  }
};
struct BitShift {
  using Function = BitShiftFunction;
  static constexpr bool kSignless = false;
  template <typename C>
  static __device__ __forceinline__ C Of(C a, C b, const Context& context) {
    if (b >= sizeof(C) * 8) return 0;
    return context.right ? a >> b : a << b;
  }
};

template <typename Op, typename T, bool kComparison>
struct BinaryFn {
  using A = T;
  using B = T;
  using C = Unused;
  using Out = std::conditional_t<kComparison, Truth, T>;
  Context context;

  __device__ __forceinline__ Out operator()(A a, B b, C) const {
    return NarrowTo<Out>(Op::Of(Widen(a), Widen(b), context));
  }
};

template <typename Op>
Status Check(const BinaryParams&, const RunArgs& args) {
  return CheckBinary(Op::Function::kName, args);
}

// The unsigned type of a signed one's size: where results have the same bits, kernels for one of
// them do.
DType WithoutSign(DType dtype) {
  switch (dtype) {
    case DType::kI8: return DType::kU8;
    case DType::kI16: return DType::kU16;
    case DType::kI32: return DType::kU32;
    case DType::kI64: return DType::kU64;
    default: return dtype;
  }
}

template <typename Op, bool kComparison>
Status Run(const BinaryParams& params, const RunArgs& args) {
  constexpr TypeSet kTypes =
      Op::kSignless ? Op::Function::kTypes & ~kSignedInts : Op::Function::kTypes;
  const DType dtype = Op::kSignless ? WithoutSign(params.dtype) : params.dtype;
  return VisitDeviceType<kTypes>(dtype, [&]<typename T>() -> Status {
    const Context context{params.attrs.fmod, params.attrs.right, args.error};
    return LaunchBroadcast(args, BinaryFn<Op, T, kComparison>{context});
  });
}

template <typename Op, bool kComparison>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const BinaryParams params, ReadBinary(spec, Op::Function::kTypes, kComparison));
  return MakeKernel(params, &Check<Op>, &Run<Op, kComparison>);
}

}  // namespace

#define FUSEE_BINARY_CUDA(Name, prefix, comparison, in_place)          \
  extern const KernelDef prefix##_cuda = {.id = #prefix "_cuda.1",     \
                                          .op = #Name,                 \
                                          .device = DeviceKind::kCuda, \
                                          .in_place_inputs = in_place, \
                                          .bind = &Bind<Name, comparison>};
FUSEE_BINARY_CUDA(Add, add, false, 3)
FUSEE_BINARY_CUDA(Sub, sub, false, 3)
FUSEE_BINARY_CUDA(Mul, mul, false, 3)
FUSEE_BINARY_CUDA(Div, div, false, 3)
FUSEE_BINARY_CUDA(Mod, mod, false, 3)
FUSEE_BINARY_CUDA(Min, min, false, 3)
FUSEE_BINARY_CUDA(Max, max, false, 3)
FUSEE_BINARY_CUDA(PRelu, prelu, false, 3)
FUSEE_BINARY_CUDA(And, logical_and, false, 3)
FUSEE_BINARY_CUDA(Or, logical_or, false, 3)
FUSEE_BINARY_CUDA(Xor, logical_xor, false, 3)
FUSEE_BINARY_CUDA(BitwiseAnd, bitwise_and, false, 3)
FUSEE_BINARY_CUDA(BitwiseOr, bitwise_or, false, 3)
FUSEE_BINARY_CUDA(BitwiseXor, bitwise_xor, false, 3)
FUSEE_BINARY_CUDA(BitShift, bit_shift, false, 3)
FUSEE_BINARY_CUDA(Equal, equal, true, 0)
FUSEE_BINARY_CUDA(Less, less, true, 0)
FUSEE_BINARY_CUDA(LessOrEqual, less_or_equal, true, 0)
FUSEE_BINARY_CUDA(Greater, greater, true, 0)
FUSEE_BINARY_CUDA(GreaterOrEqual, greater_or_equal, true, 0)
#undef FUSEE_BINARY_CUDA

}  // namespace fusee::ops
