// NonZero: counts, then writes the positions row by row, because a row is as long as there are
// elements that are not zero.
#include <array>
#include <type_traits>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) {
  return ExpectShape("NonZero", "result", {args.inputs[0].shape.rank(), args.counts[0]},
                     args.outputs[0].shape);
}

template <typename T>
bool IsZero(T value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return value == T{};
  } else {
    return static_cast<float>(value) == 0;
  }
}

template <typename T>
int64_t CountOf(const ConstTensorView& x) {
  int64_t count = 0;
  const T* data = x.as<T>();
  for (int64_t i = 0, n = x.elements(); i < n; ++i) count += IsZero(data[i]) ? 0 : 1;
  return count;
}

// Advances a position in row-major order.
void Next(const Shape& shape, std::array<int64_t, kMaxRank>& at) {
  for (int axis = shape.rank(); axis-- > 0;) {
    if (++at[static_cast<size_t>(axis)] < shape[axis]) return;
    at[static_cast<size_t>(axis)] = 0;
  }
}

Status Run(const Params&, const RunArgs& args) {
  const ConstTensorView& x = args.inputs[0];
  const int64_t room = args.counts[0];
  return VisitType(x.dtype, [&]<typename T>() -> Status {
    const int64_t count = CountOf<T>(x);
    if (count > room) return MoreThanBound(count, room);
    args.counts[0] = count;
    int64_t* out = args.outputs[0].as<int64_t>();
    const T* data = x.as<T>();
    std::array<int64_t, kMaxRank> at{};
    int64_t k = 0;
    for (int64_t i = 0, n = x.elements(); i < n; ++i, Next(x.shape, at)) {
      if (IsZero(data[i])) continue;
      for (int axis = 0; axis < x.shape.rank(); ++axis)
        out[axis * count + k] = at[static_cast<size_t>(axis)];
      ++k;
    }
    return OkStatus();
  });
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  if (spec.count_count != 1) return BadStep(spec, "should find one size");
  if (spec.outputs[0].dtype != DType::kI64) return BadStep(spec, "the result should be i64");
  return MakeKernel(Params{}, Check, Run);
}

}  // namespace

extern const KernelDef non_zero_ref = {
    .id = "non_zero_ref.1", .op = "NonZero", .reference = true, .bind = Bind};

}  // namespace fusee::ops
