// How exactly a step's products of f32 operands are to be computed: the attribute "math" of MatMul,
// Gemm and Conv. Without it a kernel multiplies f32 as f32. With the value "tf32" it may round each
// operand to TF32 first (f32's range, f16's 10 bits of fraction), as tensor cores do; sums stay
// f32.
//
// It is a permission, never a demand: a kernel that knows nothing of TF32 computes in f32. A build
// gives it only when asked (--allow-tf32), and it stays with the step: in the plan, in the keys of
// measured times, and in what `fusee inspect` prints.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/attrs.h"

namespace fusee::ops {

inline constexpr std::string_view kMathAttr = "math";
inline constexpr std::string_view kMathTf32 = "tf32";

// Errors: kInvalidArgument for a value that is not known.
inline Result<bool> AllowsTf32(const Attrs& attrs) {
  FUSEE_TRY(const std::string math, attrs.Str(kMathAttr, ""));
  if (math.empty()) return false;
  if (math == kMathTf32) return true;
  return InvalidArgument("attribute math has the value '" + math + "', expected tf32 or nothing");
}

}  // namespace fusee::ops
