// Compress: the slices of operand 0 along an axis (or, without one, its elements) where a condition
// holds. Spelled as Gather, for a condition that is known while building: the result's size is how
// often it holds.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status ImportCompress(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("needs an operand");
  FUSEE_TRY(const Tensor condition,
            context.ConstInput(1, "condition, on which the result's size depends"));
  if (condition.dtype() != DType::kBool || condition.shape().rank() != 1) {
    return context.Error("the condition should be a vector of bool");
  }
  ir::ValueId data = context.input(0);
  int64_t axis = 0;
  if (context.HasAttr("axis")) {
    FUSEE_TRY(const int64_t attribute, context.Int("axis", 0));
    FUSEE_TRY(axis, context.Axis(attribute, context.rank(0)));
  } else {
    FUSEE_TRY(data, context.Emit("Reshape", {data}, {}, {ir::ElementCount(ShapeOf(context, 0))}));
  }
  const ir::Dim size = context.graph().value(data).info.shape[static_cast<size_t>(axis)];
  const int64_t most = size.Range(context.graph().symbols()).max;
  std::vector<int64_t> picks;
  for (int64_t i = 0; i < condition.elements(); ++i) {
    if (IntAt(condition.view(), i) == 0) continue;
    if (i >= most) {
      return context.Error(fmt::format("the condition picks element {} of axis {}, which has {}", i,
                                       axis, size.ToString()));
    }
    picks.push_back(i);
  }
  const Shape count = {static_cast<int64_t>(picks.size())};
  const ir::ValueId indices = context.Constant(Tensor::Of<int64_t>(count, picks));
  return context.EmitAs("Gather", {data, indices}, {{"axis", axis}});
}

}  // namespace

OpDef DefineCompress() {
  return {.name = "Compress", .imports = {{"Compress", 9, 1 << 20, ImportCompress}}};
}

}  // namespace fusee::ops
