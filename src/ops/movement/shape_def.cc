// Shape: the dimensions [start, end) of operand 0 as i64. Size: their product. Both read no data;
// what they give is tracked, so that most of them are gone after import.
#include <algorithm>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferShape(InferContext& context) {
  FUSEE_TRY(const int64_t start, context.attrs().Int("start", 0));
  FUSEE_TRY(const int64_t end, context.attrs().Int("end", context.rank(0)));
  const ir::SymShape& shape = context.shape(0);
  if (start < 0 || start > end || end > context.rank(0)) {
    return context.Error("start and end are no range of axes");
  }
  DimVector elements(shape.begin() + start, shape.begin() + end);
  context.SetOutput(0, DType::kI64, {ir::Dim(end - start)});
  context.outputs()[0].elements = std::move(elements);
  return OkStatus();
}

Status InferSize(InferContext& context) {
  context.SetOutput(0, DType::kI64, {});
  context.outputs()[0].elements = DimVector{ir::ElementCount(context.shape(0))};
  return OkStatus();
}

Status ImportShape(ImportContext& context) {
  const int64_t rank = context.rank(0);
  FUSEE_TRY(int64_t start, context.Int("start", 0));
  FUSEE_TRY(int64_t end, context.Int("end", rank));
  start = std::clamp<int64_t>(start < 0 ? start + rank : start, 0, rank);
  end = std::clamp<int64_t>(end < 0 ? end + rank : end, start, rank);
  return context.EmitAs("Shape", {{"start", start}, {"end", end}});
}

Status ImportSize(ImportContext& context) { return context.EmitAs("Size"); }

}  // namespace

OpDef DefineShape() {
  return {.name = "Shape",
          .infer = InferShape,
          .imports = {{"Shape", 1, 1 << 20, ImportShape}},
          .narrow = true};
}

OpDef DefineSize() {
  return {.name = "Size",
          .infer = InferSize,
          .imports = {{"Size", 1, 1 << 20, ImportSize}},
          .narrow = true};
}

}  // namespace fusee::ops
