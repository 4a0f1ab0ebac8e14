// Split: the operand cut along `axis` into parts of the sizes in `dims`, one per result.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferSplit(InferContext& context) {
  FUSEE_TRY(const int64_t attribute, context.attrs().Int("axis", 0));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  const auto a = static_cast<size_t>(axis);
  const ir::SymShape& shape = context.shape(0);
  if (context.dims().size() != context.outputs().size()) {
    return context.Error(fmt::format("has {} sizes for {} results", context.dims().size(),
                                     context.outputs().size()));
  }
  ir::Dim sum = 0;
  for (const ir::Dim& size : context.dims()) {
    if (size.is_constant() && size.constant() < 0) {
      return context.Error(fmt::format("a part has size {}", size.constant()));
    }
    sum = sum + size;
  }
  FUSEE_TRY(context.RequireEqual(sum, shape[a],
                                 fmt::format("the sum of the parts and dimension {}", axis)));
  const auto known = KnownElements(context, 0);
  ir::Dim start = 0;
  for (size_t i = 0; i < context.outputs().size(); ++i) {
    ir::SymShape out = shape;
    out[a] = context.dims()[i];
    context.SetOutput(i, context.dtype(0), out);
    if (known && IsTrackable(context.dtype(0), out)) {
      context.outputs()[i].elements =
          MapElements(out, [&](std::span<const int64_t> index) -> std::optional<ir::Dim> {
            std::vector<int64_t> source(index.begin(), index.end());
            source[a] += start.constant();
            return (*known)[FlatIndex(shape, source)];
          });
    }
    start = start + context.dims()[i];
  }
  return OkStatus();
}

Status EmitSplit(ImportContext& context, int axis, DimVector sizes) {
  if (sizes.size() != context.output_count()) {
    return context.Error(
        fmt::format("names {} results for {} parts", context.output_count(), sizes.size()));
  }
  return context.EmitAs("Split", {context.input(0)}, {{"axis", int64_t{axis}}}, std::move(sizes));
}

// Equal parts; since opset 18 the last may be smaller.
Status EmitEqual(ImportContext& context, int axis, int64_t parts, bool uneven) {
  const ir::Dim& total = ShapeOf(context, 0)[static_cast<size_t>(axis)];
  if (parts < 1) return context.Error(fmt::format("asks for {} parts", parts));
  if (static_cast<size_t>(parts) != context.output_count()) {
    return context.Error(
        fmt::format("names {} results for {} parts", context.output_count(), parts));
  }
  const ir::Dim part = uneven ? CeilDiv(total, parts) : FloorDiv(total, parts);
  DimVector sizes(static_cast<size_t>(parts), part);
  if (uneven) sizes.back() = total - part * ir::Dim(parts - 1);
  return EmitSplit(context, axis, std::move(sizes));
}

Result<int> ReadAxis(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", 0));
  return context.Axis(attribute, context.rank(0));
}

Status ImportSplitAttribute(ImportContext& context) {
  FUSEE_TRY(const int axis, ReadAxis(context));
  FUSEE_TRY(std::vector<int64_t> sizes, context.Ints("split"));
  if (!context.HasAttr("split")) {
    return EmitEqual(context, axis, static_cast<int64_t>(context.output_count()), false);
  }
  return EmitSplit(context, axis, DimVector(sizes.begin(), sizes.end()));
}

Status ImportSplitOperand(ImportContext& context) {
  FUSEE_TRY(const int axis, ReadAxis(context));
  if (context.has_input(1)) {
    if (context.HasAttr("num_outputs"))
      return context.Error("has both split sizes and num_outputs");
    FUSEE_TRY(DimVector sizes, context.DimInput(1, "split sizes"));
    return EmitSplit(context, axis, std::move(sizes));
  }
  const auto results = static_cast<int64_t>(context.output_count());
  if (context.opset() < 18) return EmitEqual(context, axis, results, false);
  FUSEE_TRY(const int64_t parts, context.Int("num_outputs", results));
  return EmitEqual(context, axis, parts, true);
}

}  // namespace

OpDef DefineSplit() {
  return {.name = "Split",
          .infer = InferSplit,
          .imports = {{"Split", 2, 12, ImportSplitAttribute},
                      {"Split", 13, 1 << 20, ImportSplitOperand}},
          .narrow = true};
}

}  // namespace fusee::ops
