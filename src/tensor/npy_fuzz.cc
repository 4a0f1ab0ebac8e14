// libFuzzer target: any bytes as an .npy file.
#include "tensor/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tensor = fusee::ParseNpy(std::as_bytes(std::span(data, size)), nullptr);
  static volatile unsigned sum = 0;
  if (tensor.ok()) {
    for (const std::byte b : tensor->bytes()) sum = sum + static_cast<unsigned>(b);
  }
  return 0;
}
