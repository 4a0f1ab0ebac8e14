// Less: a < b with numpy broadcasting; false where one is NaN.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineLess() { return Simple("Less", InferBinary<kNumbers, TrackLess, DType::kBool>); }

}  // namespace fusee::ops
