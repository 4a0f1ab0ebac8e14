// CenterCropPad: each named axis cropped or padded with zeros to a given size, evenly on both ends,
// the odd element at the far one. Spelled as Slice, then Pad.
//
// Where the sizes' ranges decide which of the two an axis needs, only that one is left; else both
// stay, one of them without effect at run time, and a Reshape says what the size then is.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

// max(value, 0), without the maximum where the range decides.
ir::Dim Positive(const ir::Dim& value, const ir::SymbolRanges& symbols) {
  const ir::DimRange range = value.Range(symbols);
  if (range.min >= 0) return value;
  return range.max <= 0 ? ir::Dim(0) : Max(value, 0);
}

// For each axis, the size it shall have.
Result<DimVector> TargetSizes(ImportContext& context) {
  const int rank = context.rank(0);
  FUSEE_TRY(const DimVector sizes, context.DimInput(1, "shape"));
  std::vector<int64_t> axes = {};
  if (context.HasAttr("axes")) {
    FUSEE_TRY(axes, context.Ints("axes"));
  } else {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  if (axes.size() != sizes.size()) {
    return context.Error(fmt::format("has {} sizes for {} axes", sizes.size(), axes.size()));
  }
  DimVector target = ShapeOf(context, 0);
  std::vector<bool> seen(target.size(), false);
  for (size_t i = 0; i < axes.size(); ++i) {
    FUSEE_TRY(const int axis, context.Axis(axes[i], rank));
    const auto a = static_cast<size_t>(axis);
    if (seen[a]) return context.Error("an axis is named twice");
    if (sizes[i].Range(context.graph().symbols()).max < 0) {
      return context.Error(fmt::format("the shape has the negative entry {}", sizes[i].ToString()));
    }
    seen[a] = true;
    target[a] = sizes[i];
  }
  return target;
}

Status ImportCenterCropPad(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("needs an operand");
  FUSEE_TRY(const DimVector target, TargetSizes(context));
  const ir::SymShape shape = ShapeOf(context, 0);
  const ir::SymbolRanges& symbols = context.graph().symbols();
  std::vector<int64_t> cropped;
  DimVector starts, ends, before(shape.size(), 0), after(shape.size(), 0);
  bool pads = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    const ir::Dim surplus = Positive(shape[i] - target[i], symbols);
    const ir::Dim missing = Positive(target[i] - shape[i], symbols);
    if (!(surplus == ir::Dim(0))) {
      cropped.push_back(static_cast<int64_t>(i));
      starts.push_back(FloorDiv(surplus, 2));
      ends.push_back(starts.back() +
                     (missing == ir::Dim(0) ? target[i] : Min(shape[i], target[i])));
    }
    before[i] = FloorDiv(missing, 2);
    after[i] = missing - before[i];
    pads = pads || !(missing == ir::Dim(0));
  }
  ir::ValueId value = context.input(0);
  if (!cropped.empty()) {
    starts.insert(starts.end(), ends.begin(), ends.end());
    std::vector<int64_t> steps(cropped.size(), 1);
    FUSEE_TRY(value, context.Emit("Slice", {value},
                                  {{"axes", std::move(cropped)}, {"steps", std::move(steps)}},
                                  std::move(starts)));
  }
  if (pads) {
    before.insert(before.end(), after.begin(), after.end());
    FUSEE_TRY(value,
              context.Emit("Pad", {value}, {{"mode", std::string("constant")}}, std::move(before)));
  }
  if (context.graph().value(value).info.shape == target && value != context.input(0)) {
    context.SetOutput(0, value);
    return OkStatus();
  }
  return context.EmitAs("Reshape", {value}, {}, target);
}

}  // namespace

OpDef DefineCenterCropPad() {
  return {.name = "CenterCropPad",
          .imports = {{"CenterCropPad", 18, 1 << 20, ImportCenterCropPad}}};
}

}  // namespace fusee::ops
