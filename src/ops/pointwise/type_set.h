// Sets of element types, for saying which an operator takes. Seen by definitions and kernels alike.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/dtype.h"

namespace fusee::ops::pointwise {

// Bit i stands for the DType of number i.
using TypeSet = uint32_t;

constexpr TypeSet Only(DType dtype) { return TypeSet{1} << static_cast<unsigned>(dtype); }
constexpr bool Contains(TypeSet set, DType dtype) { return (set & Only(dtype)) != 0; }

inline constexpr TypeSet kFloats =
    Only(DType::kF32) | Only(DType::kF64) | Only(DType::kF16) | Only(DType::kBF16);
inline constexpr TypeSet kSignedInts =
    Only(DType::kI8) | Only(DType::kI16) | Only(DType::kI32) | Only(DType::kI64);
inline constexpr TypeSet kUnsignedInts =
    Only(DType::kU8) | Only(DType::kU16) | Only(DType::kU32) | Only(DType::kU64);
inline constexpr TypeSet kInts = kSignedInts | kUnsignedInts;
inline constexpr TypeSet kNumbers = kFloats | kInts;
inline constexpr TypeSet kBool = Only(DType::kBool);
inline constexpr TypeSet kAny = kNumbers | kBool;  // what is computed with
inline constexpr TypeSet kNarrow = Only(DType::kF8E4M3FN) | Only(DType::kF8E4M3FNUZ) |
                                   Only(DType::kF8E5M2) | Only(DType::kF8E5M2FNUZ) |
                                   Only(DType::kU4) | Only(DType::kI4) | Only(DType::kF4E2M1) |
                                   Only(DType::kF8E8M0) | Only(DType::kU2) | Only(DType::kI2);

// "f32, f64, f16": the members, for messages.
inline std::string Names(TypeSet set) {
  std::string text;
  for (unsigned i = 1; i < 32; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!Contains(set, dtype)) continue;
    if (!text.empty()) text += ", ";
    text += DTypeName(dtype);
  }
  return text;
}

}  // namespace fusee::ops::pointwise
