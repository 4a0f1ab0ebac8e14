// Binary operators on f32: rows of the broadcast result, each in one of three loops that vectorise.
// Every element is one correctly rounded operation, so these agree with the reference bit for bit.
#include "ops/pointwise/broadcast.h"
#include "ops/pointwise/elementwise.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Written so that one instruction (min, max, blend) does each: the comparisons decide where NaN
// goes.
struct Add {
  static constexpr std::string_view kName = "Add";
  using Out = float;
  static float Of(float a, float b) { return a + b; }
};
struct Sub {
  static constexpr std::string_view kName = "Sub";
  using Out = float;
  static float Of(float a, float b) { return a - b; }
};
struct Mul {
  static constexpr std::string_view kName = "Mul";
  using Out = float;
  static float Of(float a, float b) { return a * b; }
};
struct Div {
  static constexpr std::string_view kName = "Div";
  using Out = float;
  static float Of(float a, float b) { return a / b; }
};
struct Min {
  static constexpr std::string_view kName = "Min";
  using Out = float;
  static float Of(float a, float b) {
    const float m = a < b ? a : b;
    return a != a ? a : m;
  }
};
struct Max {
  static constexpr std::string_view kName = "Max";
  using Out = float;
  static float Of(float a, float b) {
    const float m = a > b ? a : b;
    return a != a ? a : m;
  }
};
struct PRelu {
  static constexpr std::string_view kName = "PRelu";
  using Out = float;
  static float Of(float x, float slope) {
    const float scaled = slope * x;
    return x < 0.0f ? scaled : x;
  }
};
struct Equal {
  static constexpr std::string_view kName = "Equal";
  using Out = uint8_t;
  static uint8_t Of(float a, float b) { return a == b; }
};
struct Less {
  static constexpr std::string_view kName = "Less";
  using Out = uint8_t;
  static uint8_t Of(float a, float b) { return a < b; }
};
struct LessOrEqual {
  static constexpr std::string_view kName = "LessOrEqual";
  using Out = uint8_t;
  static uint8_t Of(float a, float b) { return a <= b; }
};
struct Greater {
  static constexpr std::string_view kName = "Greater";
  using Out = uint8_t;
  static uint8_t Of(float a, float b) { return a > b; }
};
struct GreaterOrEqual {
  static constexpr std::string_view kName = "GreaterOrEqual";
  using Out = uint8_t;
  static uint8_t Of(float a, float b) { return a >= b; }
};

template <typename Op>
void Row(const float* a, int64_t a_stride, const float* b, int64_t b_stride, typename Op::Out* out,
         int64_t n) {
  if (a_stride != 0 && b_stride != 0) {
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) out[i] = Op::Of(a[i], b[i]);
  } else if (a_stride != 0) {
    const float constant = *b;
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) out[i] = Op::Of(a[i], constant);
  } else {
    // Both constant cannot be: such a dimension would have extent 1.
    const float constant = *a;
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) out[i] = Op::Of(constant, b[i]);
  }
}

struct Params {};

template <typename Op>
Status Check(const Params&, const RunArgs& args) {
  FUSEE_TRY(CheckBroadcast(Op::kName, args));
  if constexpr (std::is_same_v<Op, PRelu>) return CheckSameShape(Op::kName, args);
  return OkStatus();
}

template <typename Op>
Status Run(const Params&, const RunArgs& args) {
  using Out = typename Op::Out;
  const float* a = args.inputs[0].as<float>();
  const float* b = args.inputs[1].as<float>();
  Out* out = static_cast<Out*>(args.outputs[0].data);
  const BroadcastRows<2> rows(args.outputs[0].shape,
                              {&args.inputs[0].shape, &args.inputs[1].shape});
  rows.Run(args.parallel, [&](int64_t at, const std::array<int64_t, 2>& offset,
                              const std::array<int64_t, 2>& stride, int64_t n) {
    Row<Op>(a + offset[0], stride[0], b + offset[1], stride[1], out + at, n);
  });
  return OkStatus();
}

template <typename Op>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 2));
  if (spec.inputs[0].dtype != DType::kF32 || spec.inputs[1].dtype != DType::kF32) {
    return RefuseTactic(spec, "takes f32 only");
  }
  constexpr DType kOut = std::is_same_v<typename Op::Out, float> ? DType::kF32 : DType::kBool;
  FUSEE_TRY(CheckType(spec, spec.outputs[0].dtype, Only(kOut), "the result"));
  return MakeKernel(Params{}, &Check<Op>, &Run<Op>);
}

}  // namespace

#define FUSEE_BINARY_CPU(Op, prefix, in_place) \
  extern const KernelDef prefix##_f32_cpu = {  \
      .id = #prefix "_f32_cpu.1", .op = #Op, .in_place_inputs = in_place, .bind = &Bind<Op>};
FUSEE_BINARY_CPU(Add, add, 3)
FUSEE_BINARY_CPU(Sub, sub, 3)
FUSEE_BINARY_CPU(Mul, mul, 3)
FUSEE_BINARY_CPU(Div, div, 3)
FUSEE_BINARY_CPU(Min, min, 3)
FUSEE_BINARY_CPU(Max, max, 3)
FUSEE_BINARY_CPU(PRelu, prelu, 3)
FUSEE_BINARY_CPU(Equal, equal, 0)
FUSEE_BINARY_CPU(Less, less, 0)
FUSEE_BINARY_CPU(LessOrEqual, less_or_equal, 0)
FUSEE_BINARY_CPU(Greater, greater, 0)
FUSEE_BINARY_CPU(GreaterOrEqual, greater_or_equal, 0)
#undef FUSEE_BINARY_CPU

}  // namespace fusee::ops
