// What the kernels of DynamicQuantizeLinear share. Results: u8 like x, scale f32[], zero point
// u8[]; the last two may be unwanted.
#pragma once

#include "ops/movement/kernel_support.h"

namespace fusee::ops {

// Types and counts. Errors: kInvalidArgument.
Status CheckDynamicQuantizeStep(const StepSpec& spec);
// The whole of CheckShapes.
Status CheckDynamicQuantize(const RunArgs& args);

}  // namespace fusee::ops
