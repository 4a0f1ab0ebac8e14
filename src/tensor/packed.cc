#include "tensor/packed.h"

#include <cstring>

#include "tensor/narrow.h"

namespace fusee {

int64_t PackedBytes(DType dtype, int64_t elements) {
  if (!IsPacked(dtype)) return elements * BytesPerElement(dtype);
  const int64_t per_byte = 8 / PackedBitsPerElement(dtype);
  return elements / per_byte + (elements % per_byte != 0 ? 1 : 0);
}

void Unpack(std::span<const std::byte> packed, const TensorView& out) {
  const int64_t n = out.elements();
  FUSEE_CHECK(static_cast<int64_t>(packed.size()) == PackedBytes(out.dtype, n),
              "Unpack: wrong size");
  if (n == 0) return;
  if (!IsPacked(out.dtype)) {
    std::memcpy(out.data, packed.data(), packed.size());
    return;
  }
  const int bits = PackedBitsPerElement(out.dtype);
  const int64_t per_byte = 8 / bits;
  auto* bytes = static_cast<uint8_t*>(out.data);
  for (int64_t i = 0; i < n; ++i) {
    const auto byte = static_cast<uint8_t>(packed[static_cast<size_t>(i / per_byte)]);
    const auto code = static_cast<uint8_t>((byte >> (i % per_byte * bits)) & ((1 << bits) - 1));
    bytes[i] = IsNarrowInt(out.dtype) ? static_cast<uint8_t>(NarrowToInt(out.dtype, code)) : code;
  }
}

std::string Pack(const ConstTensorView& tensor) {
  const int64_t n = tensor.elements();
  const auto* bytes = static_cast<const char*>(tensor.data);
  if (n == 0) return {};
  if (!IsPacked(tensor.dtype)) return {bytes, static_cast<size_t>(tensor.size_bytes())};
  const int bits = PackedBitsPerElement(tensor.dtype);
  const int64_t per_byte = 8 / bits;
  std::string packed(static_cast<size_t>(PackedBytes(tensor.dtype, n)), '\0');
  for (int64_t i = 0; i < n; ++i) {
    const int code = static_cast<uint8_t>(bytes[i]) & ((1 << bits) - 1);
    char& byte = packed[static_cast<size_t>(i / per_byte)];
    byte = static_cast<char>(static_cast<uint8_t>(byte) | (code << (i % per_byte * bits)));
  }
  return packed;
}

}  // namespace fusee
