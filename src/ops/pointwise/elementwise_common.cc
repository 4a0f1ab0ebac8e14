#include "ops/pointwise/elementwise.h"

#include <fmt/format.h>

namespace fusee::ops::pointwise {

Status CheckOperands(const StepSpec& spec, size_t inputs) {
  return CheckSignature(
      spec, {.min_inputs = inputs, .max_inputs = inputs, .min_outputs = 1, .max_outputs = 1});
}

Status CheckSameShape(std::string_view op, const RunArgs& args) {
  return ExpectShape(op, "the result", args.inputs[0].shape, args.outputs[0].shape);
}

Status CheckBroadcast(std::string_view op, const RunArgs& args) {
  int rank = 0;
  for (const ConstTensorView& input : args.inputs) rank = std::max(rank, input.shape.rank());
  Shape want;
  want.set_rank(rank);
  for (int axis = 0; axis < rank; ++axis) {
    int64_t extent = 1;
    for (const ConstTensorView& input : args.inputs) {
      const int own = axis - (rank - input.shape.rank());
      if (own < 0 || input.shape[own] == 1) continue;
      if (extent != 1 && extent != input.shape[own]) {
        return InvalidArgument(
            fmt::format("{}: operand shapes do not broadcast: {} and {} at axis {}", op, extent,
                        input.shape[own], axis));
      }
      extent = input.shape[own];
    }
    want[axis] = extent;
  }
  return ExpectShape(op, "the result", want, args.outputs[0].shape);
}

Status CheckType(const StepSpec& spec, DType dtype, TypeSet types, const char* what) {
  if (Contains(types, dtype)) return OkStatus();
  return BadStep(spec, fmt::format("{} has type {}, expected one of {}", what, DTypeName(dtype),
                                   Names(types)));
}

}  // namespace fusee::ops::pointwise
