// trtexec's --memPoolSize, as far as it means something here.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace fusee::cli {

// "workspace:SIZE" to bytes; SIZE is a decimal number of MiB, or ends in B, K, M or G (powers of
// 1024). Errors: kInvalidArgument: malformed, or a pool that Fusee does not have (each of trtexec's
// is named).
Result<uint64_t> ParseMemPoolSize(std::string_view text);

}  // namespace fusee::cli
