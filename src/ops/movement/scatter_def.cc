// ScatterElements and ScatterND: operand 0 with elements or slices replaced by operand 2 where
// operand 1 points. Attribute reduction: none, add, mul, max or min with what is there; applied in
// the order of the indices.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status CheckOperands(InferContext& context) {
  if (context.input_count() != 3) return context.Error("needs data, indices and updates");
  if (context.dtype(1) != DType::kI64 && context.dtype(1) != DType::kI32) {
    return context.Error(
        fmt::format("indices should be i32 or i64, got {}", DTypeName(context.dtype(1))));
  }
  if (context.dtype(2) != context.dtype(0)) return context.Error("data and updates differ in type");
  FUSEE_TRY(const std::string reduction, context.attrs().Str("reduction", "none"));
  if (reduction != "none" && reduction != "add" && reduction != "mul" && reduction != "max" &&
      reduction != "min") {
    return context.Error(fmt::format("has no reduction '{}'", reduction));
  }
  if (reduction != "none" && context.dtype(0) == DType::kBool) {
    return context.Refuse("a reduction of bool");
  }
  context.SetOutput(0, context.dtype(0), context.shape(0));
  return OkStatus();
}

Status InferScatterElements(InferContext& context) {
  FUSEE_TRY(CheckOperands(context));
  FUSEE_TRY(const int64_t axis, context.attrs().Int("axis", 0));
  FUSEE_TRY(const int checked, context.Axis(axis, context.rank(0)));
  (void)checked;
  if (context.rank(1) != context.rank(0) || context.rank(2) != context.rank(0)) {
    return context.Error("data, indices and updates differ in rank");
  }
  for (size_t i = 0; i < context.shape(1).size(); ++i) {
    FUSEE_TRY(context.RequireEqual(context.shape(1)[i], context.shape(2)[i],
                                   "shapes of indices and updates"));
  }
  return OkStatus();
}

Status InferScatterNd(InferContext& context) {
  FUSEE_TRY(CheckOperands(context));
  const ir::SymShape& data = context.shape(0);
  const ir::SymShape& indices = context.shape(1);
  if (data.empty() || indices.empty() || !indices.back().is_constant()) {
    return context.Refuse("the length of the index tuples depends on the model's inputs");
  }
  const int64_t tuple = indices.back().constant();
  if (tuple < 1 || tuple > context.rank(0)) {
    return context.Error(
        fmt::format("index tuples of {} do not fit data {}", tuple, ir::ToString(data)));
  }
  ir::SymShape want(indices.begin(), indices.end() - 1);
  want.insert(want.end(), data.begin() + tuple, data.end());
  if (want.size() != context.shape(2).size()) {
    return context.Error(fmt::format("updates are {}, expected {}", ir::ToString(context.shape(2)),
                                     ir::ToString(want)));
  }
  for (size_t i = 0; i < want.size(); ++i) {
    FUSEE_TRY(context.RequireEqual(want[i], context.shape(2)[i], "shapes of indices and updates"));
  }
  return OkStatus();
}

Status ImportScatterElements(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", 0));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  FUSEE_TRY(std::string reduction, context.Str("reduction", "none"));
  return context.EmitAs("ScatterElements",
                        {{"axis", int64_t{axis}}, {"reduction", std::move(reduction)}});
}

Status ImportScatterNd(ImportContext& context) {
  FUSEE_TRY(std::string reduction, context.Str("reduction", "none"));
  return context.EmitAs("ScatterND", {{"reduction", std::move(reduction)}});
}

}  // namespace

OpDef DefineScatterElements() {
  return {.name = "ScatterElements",
          .infer = InferScatterElements,
          .imports = {{"ScatterElements", 11, 1 << 20, ImportScatterElements},
                      {"Scatter", 9, 10, ImportScatterElements}}};
}

OpDef DefineScatterND() {
  return {.name = "ScatterND",
          .infer = InferScatterNd,
          .imports = {{"ScatterND", 11, 1 << 20, ImportScatterNd}}};
}

}  // namespace fusee::ops
