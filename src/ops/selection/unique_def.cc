// Unique: the different slices of operand 0 along attribute `axis` (without one: its different
// elements), in ascending order, or, with sorted 0, in the order in which they first appear.
// Results, all made: the slices; where each first appears; for every slice of the operand, which of
// them it is; how often each appears. How many there are, the run finds.
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferUnique(InferContext& context) {
  if (context.outputs().size() != 4) return context.Error("has four results");
  FUSEE_TRY(const ir::Dim count, context.Count(0, 1));
  ir::SymShape shape = {count};
  ir::Dim length = ir::ElementCount(context.shape(0));
  if (context.attrs().Has("axis")) {
    FUSEE_TRY(const int64_t attribute, context.attrs().Int("axis", 0));
    FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
    shape = context.shape(0);
    length = shape[static_cast<size_t>(axis)];
    shape[static_cast<size_t>(axis)] = count;
  }
  context.SetOutput(0, context.dtype(0), std::move(shape));
  context.SetOutput(1, DType::kI64, {count});
  context.SetOutput(2, DType::kI64, {length});
  context.SetOutput(3, DType::kI64, {count});
  return OkStatus();
}

Status ImportUnique(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("needs an operand");
  FUSEE_TRY(const int64_t sorted, context.Int("sorted", 1));
  Attrs attrs = {{"sorted", int64_t{sorted != 0}}};
  ir::Dim most = ir::ElementCount(context.info(0).shape);
  int axis = 0;
  if (context.HasAttr("axis")) {
    FUSEE_TRY(const int64_t attribute, context.Int("axis", 0));
    FUSEE_TRY(axis, context.Axis(attribute, context.rank(0)));
    attrs.Set("axis", int64_t{axis});
    most = context.info(0).shape[static_cast<size_t>(axis)];
  }
  FUSEE_TRY(const ir::Dim count, context.NewCount(0, axis, most));
  FUSEE_TRY(const auto results,
            context.EmitFinding("Unique", {context.input(0)}, 4, {count}, std::move(attrs)));
  for (size_t i = 0; i < context.output_count() && i < results.size(); ++i)
    context.SetOutput(i, results[i]);
  return OkStatus();
}

}  // namespace

OpDef DefineUnique() {
  return {
      .name = "Unique", .infer = InferUnique, .imports = {{"Unique", 11, 1 << 20, ImportUnique}}};
}

}  // namespace fusee::ops
