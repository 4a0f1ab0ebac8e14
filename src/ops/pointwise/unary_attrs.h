// The attributes of unary operators, decoded once for kernels of every device.
#pragma once

#include <string_view>

#include "base/status.h"
#include "tensor/attrs.h"

namespace fusee::ops::pointwise {

// Attributes of all of them; each operator reads its own.
struct UnaryAttrs {
  double alpha = 0;   // Shrink's lambd
  double beta = 0;    // Selu's gamma, Shrink's bias
  bool tanh = false;  // Gelu's approximation
};

// The attributes that the named operator has, with ONNX's defaults. Errors: a wrong type.
Result<UnaryAttrs> ReadUnaryAttrs(std::string_view op, const Attrs& attrs);

}  // namespace fusee::ops::pointwise
