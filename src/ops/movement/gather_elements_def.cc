// GatherElements: result[i][j] = data[indices[i][j]][j] for axis 0, and so on. GatherND: slices of
// data picked by index tuples in the last axis of indices, after batch_dims common axes.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status CheckIndexType(InferContext& context) {
  if (context.input_count() < 2) return context.Error("needs data and indices");
  if (context.dtype(1) == DType::kI64 || context.dtype(1) == DType::kI32) return OkStatus();
  return context.Error(
      fmt::format("indices should be i32 or i64, got {}", DTypeName(context.dtype(1))));
}

Status InferGatherElements(InferContext& context) {
  FUSEE_TRY(CheckIndexType(context));
  FUSEE_TRY(const int64_t axis, context.attrs().Int("axis", 0));
  FUSEE_TRY(const int checked, context.Axis(axis, context.rank(0)));
  if (context.rank(1) != context.rank(0)) return context.Error("data and indices differ in rank");
  for (int i = 0; i < context.rank(0); ++i) {
    const auto a = static_cast<size_t>(i);
    const ir::Dim slack = context.shape(0)[a] - context.shape(1)[a];
    if (i != checked && slack.Range(context.symbols()).max < 0) {
      return context.Error(fmt::format("indices {} reach beyond data {}",
                                       ir::ToString(context.shape(1)),
                                       ir::ToString(context.shape(0))));
    }
  }
  context.SetOutput(0, context.dtype(0), context.shape(1));
  return OkStatus();
}

Status ImportGatherElements(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", 0));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  return context.EmitAs("GatherElements", {{"axis", int64_t{axis}}});
}

Status InferGatherNd(InferContext& context) {
  FUSEE_TRY(CheckIndexType(context));
  FUSEE_TRY(const int64_t batch, context.attrs().Int("batch_dims", 0));
  const ir::SymShape& data = context.shape(0);
  const ir::SymShape& indices = context.shape(1);
  if (data.empty() || indices.empty())
    return context.Error("needs data and indices of rank 1 or more");
  if (!indices.back().is_constant()) {
    return context.Refuse("the length of the index tuples depends on the model's inputs");
  }
  const int64_t tuple = indices.back().constant();
  if (batch < 0 || batch >= context.rank(1) || batch >= context.rank(0) || tuple < 1 ||
      tuple > context.rank(0) - batch) {
    return context.Error(fmt::format("batch_dims {} and tuples of {} do not fit data {}", batch,
                                     tuple, ir::ToString(data)));
  }
  ir::SymShape out;
  for (size_t i = 0; i + 1 < indices.size(); ++i) {
    if (i < static_cast<size_t>(batch)) {
      FUSEE_TRY(context.RequireEqual(data[i], indices[i], "batch dimensions of data and indices"));
    }
    out.push_back(indices[i]);
  }
  out.insert(out.end(), data.begin() + batch + tuple, data.end());
  context.SetOutput(0, context.dtype(0), std::move(out));
  return OkStatus();
}

Status ImportGatherNd(ImportContext& context) {
  FUSEE_TRY(const int64_t batch, context.Int("batch_dims", 0));
  return context.EmitAs("GatherND", {{"batch_dims", batch}});
}

}  // namespace

OpDef DefineGatherElements() {
  return {.name = "GatherElements",
          .infer = InferGatherElements,
          .imports = {{"GatherElements", 11, 1 << 20, ImportGatherElements}}};
}

OpDef DefineGatherND() {
  return {.name = "GatherND",
          .infer = InferGatherNd,
          .imports = {{"GatherND", 11, 1 << 20, ImportGatherNd}}};
}

}  // namespace fusee::ops
