// TopK by insertion into the result itself: an element is compared with the worst one kept, and
// moved up if better. Cost: n comparisons and about k ln(n/k) insertions of up to k moves on data
// in random order; k*n on data in the worst one. NaN counts as larger than every number.
#include "ops/reduce/pick.h"

namespace fusee::ops {
namespace {

template <typename T>
auto Comparable(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return static_cast<float>(x);
  } else {
    return x;
  }
}

template <typename T>
bool Before(T a, T b, bool largest) {
  const auto x = Comparable(a), y = Comparable(b);
  const bool x_nan = x != x, y_nan = y != y;
  if (x_nan || y_nan) return largest ? x_nan && !y_nan : y_nan && !x_nan;
  return largest ? x > y : x < y;
}

template <typename T>
Status RunTyped(const TopKParams& params, const RunArgs& args) {
  const Shape& shape = args.inputs[0].shape;
  const int64_t n = shape[params.axis], k = args.dims[0];
  const int64_t inner = shape.elements(params.axis + 1, params.rank);
  const int64_t lines = shape.elements(0, params.axis) * inner;
  if (k == 0) return OkStatus();
  ParallelBlocks(args.parallel, lines, kElementsPerTask / n, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t o = line / inner, i = line % inner;
      const T* x = args.inputs[0].as<T>() + o * n * inner + i;
      T* values = args.outputs[0].as<T>() + o * k * inner + i;
      int64_t* indices = args.outputs[1].as<int64_t>() + o * k * inner + i;
      int64_t kept = 0;
      for (int64_t j = 0; j < n; ++j) {
        const T candidate = x[j * inner];
        if (kept == k && !Before(candidate, values[(k - 1) * inner], params.largest)) continue;
        int64_t at = kept < k ? kept++ : k - 1;
        for (; at > 0 && Before(candidate, values[(at - 1) * inner], params.largest); --at) {
          values[at * inner] = values[(at - 1) * inner];
          indices[at * inner] = indices[(at - 1) * inner];
        }
        values[at * inner] = candidate;
        indices[at * inner] = j;
      }
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const TopKParams params, ReadTopK(spec));
  const auto make = [&](auto zero) {
    return MakeKernel(params, CheckTopK, RunTyped<decltype(zero)>);
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
  return BadStep(spec, "is not defined for bool");
}

}  // namespace

extern const KernelDef topk_ref = {
    .id = "topk_ref.1", .op = "TopK", .reference = true, .bind = Bind};

}  // namespace fusee::ops
