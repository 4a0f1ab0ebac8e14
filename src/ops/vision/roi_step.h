// What the kernels that pool regions of an image share of reading their step.
#pragma once

#include "ops/movement/kernel_support.h"
#include "ops/vision/roi.h"

namespace fusee::ops {

// The attributes, once operand 0, the regions (operand 1) and the result have one float type.
// Precondition: the step has both operands and a result. Errors: kInvalidArgument.
inline Result<RoiAttrs> ReadRoiStep(const StepSpec& spec) {
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[1], "operand and regions"));
  if (!IsFloat(spec.inputs[0].dtype)) return BadStep(spec, "takes floating-point types only");
  auto roi = ReadRoiAttrs(*spec.attrs);
  if (!roi.ok()) return BadStep(spec, roi.status().message());
  return roi;
}

}  // namespace fusee::ops
