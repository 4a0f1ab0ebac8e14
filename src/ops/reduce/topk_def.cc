// TopK: the dims[0] largest (or smallest) elements along `axis` in order, and their positions as
// i64. Equal elements keep the order of their positions.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferTopK(InferContext& context) {
  FUSEE_TRY(const int64_t attribute, context.attrs().Int("axis", -1));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  if (context.dims().size() != 1 || context.outputs().size() != 2) {
    return context.Error("needs a count and has two results");
  }
  if (context.dtype(0) == DType::kBool) return context.Error("is not defined for bool");
  ir::SymShape out = context.shape(0);
  const ir::Dim& k = context.dims()[0];
  const ir::Dim slack = out[static_cast<size_t>(axis)] - k;
  if (slack.Range(context.symbols()).max < 0 || k.Range(context.symbols()).max < 0) {
    return context.Error(fmt::format("asks for {} of {} elements", k.ToString(),
                                     out[static_cast<size_t>(axis)].ToString()));
  }
  out[static_cast<size_t>(axis)] = k;
  context.SetOutput(0, context.dtype(0), out);
  context.SetOutput(1, DType::kI64, std::move(out));
  return OkStatus();
}

Status EmitTopK(ImportContext& context, std::vector<ir::Dim> k) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", -1));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  FUSEE_TRY(const int64_t largest, context.Int("largest", 1));
  FUSEE_TRY(const int64_t sorted, context.Int("sorted", 1));
  (void)sorted;  // unsorted results may come in any order; sorted is one
  // The kernel needs both results as memory, wanted or not.
  FUSEE_TRY(const std::vector<ir::ValueId> results,
            context.EmitMany("TopK", {context.input(0)}, 2,
                             {{"axis", int64_t{axis}}, {"largest", largest}}, std::move(k)));
  for (size_t i = 0; i < context.output_count() && i < 2; ++i) context.SetOutput(i, results[i]);
  return OkStatus();
}

Status ImportTopKAttribute(ImportContext& context) {
  FUSEE_TRY(const int64_t k, context.RequiredInt("k"));
  return EmitTopK(context, {k});
}

Status ImportTopKOperand(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", -1));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  FUSEE_TRY(std::vector<ir::Dim> k,
            context.FoundDimInput(1, "k", 0, std::span(&axis, 1),
                                  context.info(0).shape[static_cast<size_t>(axis)]));
  return EmitTopK(context, std::move(k));
}

}  // namespace

OpDef DefineTopK() {
  return {
      .name = "TopK",
      .infer = InferTopK,
      .imports = {{"TopK", 1, 9, ImportTopKAttribute}, {"TopK", 10, 1 << 20, ImportTopKOperand}}};
}

}  // namespace fusee::ops
