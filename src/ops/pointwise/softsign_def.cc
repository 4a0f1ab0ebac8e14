// Softsign: x / (1 + |x|).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineSoftsign() { return Simple("Softsign", InferUnary<kFloats>); }

}  // namespace fusee::ops
