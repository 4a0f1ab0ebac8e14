// Elements of 2 and 4 bits as files hold them: several to a byte, the first in the lowest bits, the
// last byte filled up with zeros. In memory each takes a byte (dtype.h). Every other type lies in
// files as in memory; for those these functions copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace fusee {

inline constexpr int kMaxElementsPerByte = 4;
inline bool IsPacked(DType dtype) { return PackedBitsPerElement(dtype) < BitsPerElement(dtype); }

// Bytes of so many elements in a file. Precondition: they fit int64_t in memory.
int64_t PackedBytes(DType dtype, int64_t elements);

// Into out's memory, one byte each. What fills up the last byte is not looked at.
// Precondition: packed holds PackedBytes of out's elements.
void Unpack(std::span<const std::byte> packed, const TensorView& out);

// The bytes of a file.
std::string Pack(const ConstTensorView& tensor);

}  // namespace fusee
