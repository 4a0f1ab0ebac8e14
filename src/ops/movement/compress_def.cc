// Compress: the slices of operand 0 along an axis (or, without one, its elements) where a condition
// holds. Spelled as Gather at the positions where it holds: known while building, or found by the
// run (NonZero).
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status ImportCompress(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("needs an operand");
  if (!context.has_input(1) || context.info(1).dtype != DType::kBool || context.rank(1) != 1) {
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
  const auto constant = context.ConstInput(1, "condition");
  if (!constant.ok()) {
    const int result_axis = context.HasAttr("axis") ? static_cast<int>(axis) : 0;
    FUSEE_TRY(const ir::Dim count,
              context.NewCount(0, result_axis, Min(size, context.info(1).shape[0])));
    FUSEE_TRY(const auto found, context.EmitFinding("NonZero", {context.input(1)}, 1, {count}));
    FUSEE_TRY(const ir::ValueId positions, context.Emit("Reshape", {found[0]}, {}, {count}));
    return context.EmitAs("Gather", {data, positions}, {{"axis", axis}});
  }
  const Tensor& condition = *constant;
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
