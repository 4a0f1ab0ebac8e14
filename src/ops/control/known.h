// What operators with subgraphs ask of values while they are imported.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "ops/import_context.h"

namespace fusee::ops {

// Bodies that are written out one after another, at the most.
inline constexpr int64_t kUnrolledMax = 1024;

// The single bool that a value is known to hold. Errors: kUnimplemented, asking for a pin, when it
// depends on the model's inputs; kInvalidArgument when it is no single bool.
inline Result<bool> KnownCondition(ImportContext& context, ir::ValueId value,
                                   std::string_view meaning) {
  FUSEE_TRY(const Tensor tensor, context.ConstValue(value, meaning));
  if (tensor.dtype() != DType::kBool || tensor.elements() != 1) {
    return context.Error(fmt::format("the {} should be one bool, got {} elements of {}", meaning,
                                     tensor.elements(), DTypeName(tensor.dtype())));
  }
  return IntAt(tensor.view(), 0) != 0;
}

// Results of the same type, one a run of the body, side by side along a new axis.
inline Result<ir::ValueId> Stack(ImportContext& context, std::span<const ir::ValueId> parts,
                                 int axis) {
  std::vector<ir::ValueId> rows;
  for (const ir::ValueId part : parts) {
    ir::SymShape shape = context.graph().value(part).info.shape;
    shape.insert(shape.begin() + axis, ir::Dim(1));
    FUSEE_TRY(const ir::ValueId row, context.Emit("Reshape", {part}, {}, std::move(shape)));
    rows.push_back(row);
  }
  return context.Emit("Concat", std::move(rows), {{"axis", int64_t{axis}}});
}

}  // namespace fusee::ops
