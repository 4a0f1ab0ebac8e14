#include "ops/movement/kernel_support.h"

#include <fmt/format.h>

namespace fusee::ops {

Status CheckSignature(const StepSpec& spec, const Signature& s) {
  if (spec.inputs.size() < s.min_inputs || spec.inputs.size() > s.max_inputs) {
    return BadStep(spec, fmt::format("got {} operands, expected {} to {}", spec.inputs.size(),
                                     s.min_inputs, s.max_inputs));
  }
  if (spec.outputs.size() < s.min_outputs || spec.outputs.size() > s.max_outputs) {
    return BadStep(spec, fmt::format("got {} results, expected {} to {}", spec.outputs.size(),
                                     s.min_outputs, s.max_outputs));
  }
  if (spec.dim_count != s.dims) {
    return BadStep(spec, fmt::format("got {} dims, expected {}", spec.dim_count, s.dims));
  }
  for (size_t i = 0; i < s.min_inputs; ++i) {
    if (!spec.has_input(i)) return BadStep(spec, fmt::format("operand {} is missing", i));
  }
  for (size_t i = 0; i < s.min_outputs; ++i) {
    if (!spec.outputs[i].present()) return BadStep(spec, fmt::format("result {} is missing", i));
  }
  return OkStatus();
}

Status CheckSameDType(const StepSpec& spec, const TensorSpec& a, const TensorSpec& b,
                      std::string_view what) {
  if (a.dtype == b.dtype) return OkStatus();
  return BadStep(spec, fmt::format("{} must have one type, got {} and {}", what, DTypeName(a.dtype),
                                   DTypeName(b.dtype)));
}

Result<int> StepAxis(const StepSpec& spec, int64_t axis, int limit) {
  if (axis < -limit || axis >= limit) {
    return BadStep(
        spec, fmt::format("axis {} is out of range, expected {} to {}", axis, -limit, limit - 1));
  }
  return static_cast<int>(axis < 0 ? axis + limit : axis);
}

Result<int> ReadAxis(const StepSpec& spec, int64_t fallback, int limit) {
  FUSEE_TRY(const int64_t axis, spec.attrs->Int("axis", fallback));
  return StepAxis(spec, axis, limit);
}

Result<std::vector<int64_t>> StepInts(const StepSpec& spec, std::string_view name, size_t count) {
  FUSEE_TRY(std::vector<int64_t> values, spec.attrs->Ints(name));
  if (values.size() != count) {
    return BadStep(spec, fmt::format("attribute '{}' has {} entries, expected {}", name,
                                     values.size(), count));
  }
  return values;
}

Status ExpectShape(std::string_view op, std::string_view what, const Shape& want,
                   const Shape& got) {
  return want == got ? OkStatus() : ShapeMismatch(op, what, want, got);
}

}  // namespace fusee::ops
