// Any bytes as graph text: an error or a graph that verifies, and whose print reads back to the
// same print.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ir/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 1 << 16) return 0;  // bounds time and memory of one run
  const auto graph = fusee::ir::Parse({reinterpret_cast<const char*>(data), size});
  if (!graph.ok()) return 0;
  if (!fusee::ir::Verify(**graph).ok()) std::abort();
  const fusee::ir::PrintOptions everything{.max_constant_elements = 1 << 16};
  const std::string text = Print(**graph, everything);
  const auto again = fusee::ir::Parse(text);
  if (!again.ok() || Print(**again, everything) != text) std::abort();
  return 0;
}
