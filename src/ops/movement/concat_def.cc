// Concat: operands one after the other along `axis`.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferConcat(InferContext& context) {
  if (context.input_count() == 0) return context.Error("needs at least one operand");
  FUSEE_TRY(const int64_t attribute, context.attrs().Int("axis", 0));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  const auto a = static_cast<size_t>(axis);
  ir::SymShape out = context.shape(0);
  std::vector<DimVector> known;  // one entry per operand, as long as all are known
  for (size_t i = 0; i < context.input_count(); ++i) {
    if (!context.has_input(i)) return context.Error(fmt::format("operand {} is missing", i));
    const ir::SymShape& shape = context.shape(i);
    if (shape.size() != out.size() || context.dtype(i) != context.dtype(0)) {
      return context.Error(
          fmt::format("operand {} is {}{}, expected the rank and type of operand 0, {}{}", i,
                      DTypeName(context.dtype(i)), ir::ToString(shape), DTypeName(context.dtype(0)),
                      ir::ToString(context.shape(0))));
    }
    if (auto elements = KnownElements(context, i)) known.push_back(std::move(*elements));
    if (i == 0) continue;
    for (size_t d = 0; d < out.size(); ++d) {
      if (d == a) continue;
      FUSEE_TRY(context.RequireEqual(out[d], shape[d],
                                     fmt::format("dimension {} of operands 0 and {}", d, i)));
      if (shape[d].is_constant()) out[d] = shape[d];
    }
    out[a] = out[a] + shape[a];
  }
  context.SetOutput(0, context.dtype(0), out);
  if (known.size() != context.input_count() || !IsTrackable(context.dtype(0), out)) {
    return OkStatus();
  }
  context.outputs()[0].elements =
      MapElements(out, [&](std::span<const int64_t> index) -> std::optional<ir::Dim> {
        std::vector<int64_t> source(index.begin(), index.end());
        for (size_t i = 0; i < context.input_count(); ++i) {
          const int64_t size = context.shape(i)[a].constant();
          if (source[a] < size) return known[i][FlatIndex(context.shape(i), source)];
          source[a] -= size;
        }
        return std::nullopt;
      });
  return OkStatus();
}

Status ImportConcat(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.RequiredInt("axis"));
  if (!context.has_input(0)) return context.Error("operand 0 is missing");
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  return context.EmitAs("Concat", {{"axis", int64_t{axis}}});
}

}  // namespace

OpDef DefineConcat() {
  return {.name = "Concat",
          .infer = InferConcat,
          .imports = {{"Concat", 4, 1 << 20, ImportConcat}},
          .narrow = true};
}

}  // namespace fusee::ops
