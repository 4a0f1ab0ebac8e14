// NonMaxSuppression: of each class of each batch, boxes from the best score down, leaving out those
// that overlap one taken before by more than a share: i64[count, 3] of (batch, class, box), in the
// order of batches, classes and scores. How many there are, the run finds.
//
// Operands: boxes [batch, boxes, 4], scores [batch, classes, boxes], then scalars that may be
// absent: the most to take a class (absent: none), the share (0), the least score (no limit).
// Attribute center_point_box: 0 for corners (y1, x1, y2, x2), in any order, 1 for (x, y, w, h).
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferNms(InferContext& context) {
  if (context.rank(0) != 3 || context.rank(1) != 3)
    return context.Error("needs boxes of rank 3 and scores of rank 3");
  if (context.dtype(0) != DType::kF32 || context.dtype(1) != DType::kF32)
    return context.Error("needs boxes and scores of f32");
  FUSEE_TRY(context.RequireEqual(context.shape(0)[2], 4, "a box and its 4 coordinates"));
  FUSEE_TRY(context.RequireEqual(context.shape(0)[0], context.shape(1)[0],
                                 "the batches of boxes and scores"));
  FUSEE_TRY(context.RequireEqual(context.shape(0)[1], context.shape(1)[2],
                                 "the boxes and the scores of each"));
  if (context.has_input(2) && context.dtype(2) != DType::kI64)
    return context.Error("the most to take should be i64");
  for (size_t i : {3, 4}) {
    if (context.has_input(i) && context.dtype(i) != DType::kF32)
      return context.Error("thresholds should be f32");
  }
  for (size_t i : {2, 3, 4}) {
    if (context.has_input(i) && ir::ElementCount(context.shape(i)) != ir::Dim(1))
      return context.Error("limits and thresholds should have one element");
  }
  FUSEE_TRY(const ir::Dim count, context.Count(0, 1));
  context.SetOutput(0, DType::kI64, {count, 3});
  return OkStatus();
}

// What the operands allow: every box of every class, or as many as are to be taken of each.
ir::Dim Most(ImportContext& context) {
  const ir::SymShape& scores = context.info(1).shape;
  ir::Dim each = scores[2];
  if (!context.has_input(2)) return 0;
  if (const auto limit = context.ConstInts(2, "most boxes to take");
      limit.ok() && limit->size() == 1)
    each = Min(each, std::max<int64_t>((*limit)[0], 0));
  return scores[0] * scores[1] * each;
}

Status ImportNms(ImportContext& context) {
  FUSEE_TRY(const int64_t center, context.Int("center_point_box", 0));
  if (center != 0 && center != 1) return context.Error("center_point_box should be 0 or 1");
  if (context.rank(0) != 3 || context.rank(1) != 3)
    return context.Error("needs boxes of rank 3 and scores of rank 3");
  FUSEE_TRY(const ir::Dim count, context.NewCount(0, 0, Most(context)));
  FUSEE_TRY(
      const auto results,
      context.EmitFinding("NonMaxSuppression", {context.inputs().begin(), context.inputs().end()},
                          1, {count}, {{"center_point_box", center}}));
  context.SetOutput(0, results[0]);
  return OkStatus();
}

}  // namespace

OpDef DefineNonMaxSuppression() {
  return {.name = "NonMaxSuppression",
          .infer = InferNms,
          .imports = {{"NonMaxSuppression", 10, 1 << 20, ImportNms}}};
}

}  // namespace fusee::ops
