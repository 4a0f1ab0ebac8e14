// Reshape: the same bytes under another shape, given by `dims`. The one view operator: Flatten,
// Squeeze and Unsqueeze are imported as it.
#include <fmt/format.h>

#include <algorithm>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferReshape(InferContext& context) {
  const ir::SymShape shape(context.dims().begin(), context.dims().end());
  FUSEE_TRY(context.RequireEqual(ir::ElementCount(context.shape(0)), ir::ElementCount(shape),
                                 fmt::format("element counts of {} and {}",
                                             ir::ToString(context.shape(0)), ir::ToString(shape))));
  context.SetOutput(0, context.dtype(0), shape);
  if (IsTrackable(context.dtype(0), shape)) {
    context.outputs()[0].elements = KnownElements(context, 0);
  }
  return OkStatus();
}

// total / product(others), with equal factors cancelled first: most exporters keep whole
// dimensions, and a cancelled symbol gives a plain number where a division would give an
// expression.
ir::Dim Remainder(ir::SymShape total, ir::SymShape others) {
  for (auto it = others.begin(); it != others.end();) {
    const auto same = std::find(total.begin(), total.end(), *it);
    if (same == total.end()) {
      ++it;
      continue;
    }
    total.erase(same);
    it = others.erase(it);
  }
  return FloorDiv(ir::ElementCount(total), ir::ElementCount(others));
}

// 0 copies the operand's dimension unless allowzero is set; one -1 takes what is left.
Status ImportReshape(ImportContext& context) {
  FUSEE_TRY(ir::SymShape target, context.DimInput(1, "target shape"));
  FUSEE_TRY(const int64_t allow_zero, context.Int("allowzero", 0));
  const ir::SymShape& shape = ShapeOf(context, 0);
  int inferred = -1;
  bool zero_kept = false;
  for (size_t i = 0; i < target.size(); ++i) {
    if (!target[i].is_constant()) continue;
    const int64_t value = target[i].constant();
    if (value < -1) return context.Error(fmt::format("target dimension {} is {}", i, value));
    if (value == 0 && allow_zero == 0) {
      if (i >= shape.size()) {
        return context.Error(fmt::format(
            "target dimension {} is 0, but the operand {} has no such dimension to copy", i,
            ir::ToString(shape)));
      }
      target[i] = shape[i];
    } else if (value == 0) {
      zero_kept = true;
    } else if (value == -1) {
      if (inferred >= 0) return context.Error("the target shape has more than one -1");
      inferred = static_cast<int>(i);
    }
  }
  if (inferred >= 0) {
    if (zero_kept) return context.Error("the target shape has both 0 and -1 with allowzero set");
    ir::SymShape others = target;
    others.erase(others.begin() + inferred);
    target[static_cast<size_t>(inferred)] = Remainder(shape, std::move(others));
  }
  return context.EmitAs("Reshape", {context.input(0)}, {}, std::move(target));
}

}  // namespace

OpDef DefineReshape() {
  return {.name = "Reshape",
          .infer = InferReshape,
          .imports = {{"Reshape", 5, 1 << 20, ImportReshape}},
          .kind = OpKind::kView,
          .narrow = true};
}

}  // namespace fusee::ops
