// ArgMax and ArgMin over operand [outer, n, inner]. A NaN is more extreme than any number, as in
// numpy.
#include "ops/reduce/pick.h"

namespace fusee::ops {
namespace {

// Comparable form of an element: halves as float, everything else as it is.
template <typename T>
auto Comparable(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return static_cast<float>(x);
  else
    return x;
}

template <bool kMax, typename T>
Status RunTyped(const ArgParams& params, const RunArgs& args) {
  const Shape& shape = args.inputs[0].shape;
  const int64_t outer = shape.elements(0, params.axis);
  const int64_t n = shape[params.axis];
  const int64_t inner = shape.elements(params.axis + 1, params.rank);
  const T* in = args.inputs[0].as<T>();
  int64_t* out = args.outputs[0].as<int64_t>();
  ParallelBlocks(args.parallel, outer * inner, kElementsPerTask / n,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t k = begin; k < end; ++k) {
                     const T* x = in + k / inner * n * inner + k % inner;
                     auto best = Comparable(x[0]);
                     int64_t at = 0;
                     for (int64_t i = 1; i < n; ++i) {
                       const auto candidate = Comparable(x[i * inner]);
                       const bool nan = candidate != candidate, best_nan = best != best;
                       const bool better = kMax ? candidate > best : candidate < best;
                       const bool equal = candidate == best || (nan && best_nan);
                       if (better || (nan && !best_nan) || (equal && params.last)) {
                         best = candidate;
                         at = i;
                       }
                     }
                     out[k] = at;
                   }
                 });
  return OkStatus();
}

template <bool kMax>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ArgParams params, ReadArg(spec));
  const auto make = [&](auto zero) {
    return MakeKernel(params, CheckArg, RunTyped<kMax, decltype(zero)>);
  };
  switch (spec.inputs[0].dtype) {
    case DType::kF32: return make(float{});
    case DType::kF64: return make(double{});
    case DType::kF16: return make(Half{});
    case DType::kBF16: return make(BFloat16{});
    case DType::kI8: return make(int8_t{});
    case DType::kI16: return make(int16_t{});
    case DType::kI32: return make(int32_t{});
    case DType::kI64: return make(int64_t{});
    case DType::kU8: return make(uint8_t{});
    case DType::kU16: return make(uint16_t{});
    case DType::kU32: return make(uint32_t{});
    case DType::kU64: return make(uint64_t{});
    case DType::kBool:
    case DType::kInvalid: break;
  }
  return BadStep(spec, "is not defined for " + std::string(DTypeName(spec.inputs[0].dtype)));
}

}  // namespace

extern const KernelDef argmax_ref = {
    .id = "argmax_ref.1", .op = "ArgMax", .reference = true, .bind = Bind<true>};
extern const KernelDef argmin_ref = {
    .id = "argmin_ref.1", .op = "ArgMin", .reference = true, .bind = Bind<false>};

}  // namespace fusee::ops
