// What a file that is no ONNX model seems to be. People hand over checkpoints, archives and
// download pages; naming what it is helps more than the first byte that made no sense.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace fusee::onnx {

// "a ZIP archive, ...; export the model to ONNX first", to stand behind "it is"; empty when nothing
// is recognised. Looks at the first 512 bytes; pure.
std::string_view DescribeForeign(std::span<const std::byte> bytes);

// Whether the bytes begin as exporters begin a model: with the field ir_version.
bool BeginsAsModel(std::span<const std::byte> bytes);

}  // namespace fusee::onnx
