#include "cli/memory_pool_size.h"

#include <fmt/format.h>

#include <charconv>

namespace fusee::cli {
namespace {

// 0 for a letter that is no unit.
double UnitBytes(char unit) {
  switch (unit) {
    case 'B': return 1;
    case 'K': return 1024;
    case 'M': return 1024.0 * 1024;
    case 'G': return 1024.0 * 1024 * 1024;
    default: return 0;
  }
}

}  // namespace

Result<uint64_t> ParseMemPoolSize(std::string_view text) {
  const auto malformed = [&] {
    return InvalidArgument(
        fmt::format("--memPoolSize: '{}' is not workspace:SIZE, as in workspace:64 (MiB) or "
                    "workspace:512K",
                    text));
  };
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return malformed();
  const std::string_view pool = text.substr(0, colon);
  if (pool != "workspace") {
    return InvalidArgument(fmt::format(
        "--memPoolSize: pool '{}' has no effect here; only workspace is a pool of a CPU "
        "plan",
        pool));
  }
  std::string_view size = text.substr(colon + 1);
  double unit = UnitBytes('M');
  if (!size.empty() && UnitBytes(size.back()) > 0) {
    unit = UnitBytes(size.back());
    size.remove_suffix(1);
  }
  double value = 0;
  const auto [stop, error] =
      std::from_chars(size.data(), size.data() + size.size(), value, std::chars_format::fixed);
  const double bytes = value * unit;
  if (error != std::errc() || stop != size.data() + size.size() || !(bytes >= 0 && bytes < 0x1p62))
    return malformed();
  return static_cast<uint64_t>(bytes);
}

}  // namespace fusee::cli
