// Branch-free single-precision functions that a loop over them vectorises. Included by math.h; see its contract.
#pragma once

namespace fusee::math {}  // namespace fusee::math
