// And: logical and of truth values, with numpy broadcasting.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext&, const ir::Dim& a, const ir::Dim& b) {
  if (!a.is_constant() || !b.is_constant()) return std::nullopt;
  return a * b;
}

}  // namespace

OpDef DefineAnd() { return Simple("And", InferBinary<kBool, Track>); }

}  // namespace fusee::ops
