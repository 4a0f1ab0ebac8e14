// Reference kernel of Cast. Each conversion rounds once: floats through double, 64-bit integers
// straight to f32. Narrow types have no C++ type; theirs goes element by element, types read at run
// time.
#include <limits>

#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"
#include "tensor/narrow.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Truncates; beyond the type's range it saturates to 64 bits and then wraps; NaN gives 0.
template <typename To>
To IntegerFromDouble(double x) {
  if (x != x) return 0;
  if constexpr (std::is_same_v<To, uint64_t>) {
    if (x >= 0x1p64) return std::numeric_limits<uint64_t>::max();
    if (x >= 0x1p63) return static_cast<uint64_t>(x);
  }
  if (x >= 0x1p63) return static_cast<To>(std::numeric_limits<int64_t>::max());
  if (x <= -0x1p63) return static_cast<To>(std::numeric_limits<int64_t>::min());
  return static_cast<To>(static_cast<int64_t>(x));
}

template <typename From, typename To>
To Convert(Wide<From> x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (std::is_integral_v<To>) {
    if constexpr (std::is_same_v<Wide<From>, double>) {
      return IntegerFromDouble<To>(x);
    } else {
      return static_cast<To>(x);
    }
  } else if constexpr (std::is_same_v<To, float>) {
    return static_cast<float>(x);
  } else {
    return Narrow<To>(static_cast<double>(x));
  }
}

void RunNarrow(const CastParams& params, const RunArgs& args) {
  const ConstTensorView& x = args.inputs[0];
  const TensorView& y = args.outputs[0];
  const DType from = params.from;
  const bool integer = IsInt(from) || IsNarrowInt(from) || from == DType::kBool;
  const int64_t n = y.elements();
  if (!IsNarrow(params.to)) {
    // Every narrow number is exact in double, and every narrow integer in it.
    for (int64_t i = 0; i < n; ++i) StoreDouble(y, i, DoubleAt(x, i));
    return;
  }
  auto* out = static_cast<uint8_t*>(y.data);
  for (int64_t i = 0; i < n; ++i) {
    if (!integer) {
      out[i] = DoubleToNarrow(params.to, DoubleAt(x, i), params.rounding);
    } else if (from == DType::kU64) {
      out[i] = UintToNarrow(params.to, static_cast<uint64_t>(IntAt(x, i)), params.rounding);
    } else {
      out[i] = IntToNarrow(params.to, IntAt(x, i), params.rounding);
    }
  }
}

Status Run(const CastParams& params, const RunArgs& args) {
  if (IsNarrow(params.from) || IsNarrow(params.to)) {
    RunNarrow(params, args);
    return OkStatus();
  }
  const void* x = args.inputs[0].data;
  const TensorView& y = args.outputs[0];
  const int64_t n = y.elements();
  VisitType(params.from, [&]<typename From>() {
    VisitType(params.to, [&]<typename To>() {
      To* out = y.as<To>();
      for (int64_t i = 0; i < n; ++i) out[i] = Convert<From, To>(Load<From>(x, i));
    });
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const CastParams params, ReadCast(spec));
  return MakeKernel(params, &CheckCast, &Run);
}

}  // namespace

extern const KernelDef cast_ref = {
    .id = "cast_ref.1", .op = "Cast", .reference = true, .bind = {&Bind, kNarrowToo}};

}  // namespace fusee::ops
