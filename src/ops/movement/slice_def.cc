// Slice: attributes axes and steps, one entry per sliced axis; dims = all starts, then all ends.
//
// Bounds follow the standard: negative ones count from the end, then they are clamped to [0, d] for
// a positive step and to [0, d-1] (start) and [-1, d-1] (end) for a negative one. Where a bound or
// the dimension is symbolic the clamps stay in the expression, except those that the ranges decide.
#include <fmt/format.h>

#include <algorithm>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

// Beyond every real dimension; keeps "to the end" (INT64_MAX) from overflowing.
constexpr int64_t kFar = int64_t{1} << 48;

ir::Dim ClampLow(const ir::Dim& value, const ir::Dim& low, const ir::SymbolRanges& symbols) {
  const ir::DimRange range = (value - low).Range(symbols);
  if (range.min >= 0) return value;
  return range.max <= 0 ? low : Max(value, low);
}
ir::Dim ClampHigh(const ir::Dim& value, const ir::Dim& high, const ir::SymbolRanges& symbols) {
  const ir::DimRange range = (high - value).Range(symbols);
  if (range.min >= 0) return value;
  return range.max <= 0 ? high : Min(value, high);
}

Result<ir::Dim> Bound(const InferContext& context, const ir::Dim& given, const ir::Dim& size,
                      const ir::Dim& low, const ir::Dim& high) {
  const ir::SymbolRanges& symbols = context.symbols();
  const ir::DimRange range = given.Range(symbols);
  ir::Dim bound = given;
  if (range.max < 0) {
    bound = given + size;
  } else if (range.min < 0) {
    return context.Refuse(fmt::format(
        "bound {} may be negative or not at run time, so that what it counts from is not known",
        given.ToString()));
  }
  return ClampHigh(ClampLow(bound, low, symbols), high, symbols);
}

struct AxisSlice {
  ir::Dim start, length;
  int64_t step = 1;
};

Result<AxisSlice> ResolveAxis(const InferContext& context, const ir::Dim& size,
                              const ir::Dim& given_start, const ir::Dim& given_end, int64_t step) {
  const ir::SymbolRanges& symbols = context.symbols();
  const ir::Dim last = size - ir::Dim(1);
  AxisSlice out;
  out.step = step;
  ir::Dim span;
  if (step > 0) {
    FUSEE_TRY(out.start, Bound(context, given_start, size, 0, size));
    FUSEE_TRY(const ir::Dim end, Bound(context, given_end, size, 0, size));
    span = end - out.start;
  } else {
    // An empty dimension has last == -1; the high clamp then wins and nothing is taken.
    FUSEE_TRY(out.start, Bound(context, given_start, size, 0, last));
    FUSEE_TRY(const ir::Dim end, Bound(context, given_end, size, -1, last));
    span = out.start - end;
  }
  out.length = CeilDiv(ClampLow(span, 0, symbols), step > 0 ? step : -step);
  return out;
}

Status InferSlice(InferContext& context) {
  FUSEE_TRY(const std::vector<int64_t> axes, context.attrs().Ints("axes"));
  FUSEE_TRY(const std::vector<int64_t> steps, context.attrs().Ints("steps"));
  const size_t count = axes.size();
  if (steps.size() != count || context.dims().size() != 2 * count) {
    return context.Error("axes, steps, starts and ends differ in length");
  }
  const ir::SymShape& shape = context.shape(0);
  ir::SymShape out = shape;
  std::vector<AxisSlice> slices(shape.size());
  std::vector<bool> seen(shape.size(), false);
  bool starts_known = true;
  for (size_t i = 0; i < count; ++i) {
    FUSEE_TRY(const int axis, context.Axis(axes[i], context.rank(0)));
    const auto a = static_cast<size_t>(axis);
    if (seen[a]) return context.Error("an axis is sliced twice");
    if (steps[i] == 0) return context.Error("a step is 0");
    seen[a] = true;
    FUSEE_TRY(slices[a], ResolveAxis(context, shape[a], context.dims()[i],
                                     context.dims()[count + i], steps[i]));
    out[a] = slices[a].length;
    starts_known = starts_known && slices[a].start.is_constant();
  }
  context.SetOutput(0, context.dtype(0), out);
  const auto known = KnownElements(context, 0);
  if (!known || !starts_known || !IsTrackable(context.dtype(0), out)) return OkStatus();
  context.outputs()[0].elements =
      MapElements(out, [&](std::span<const int64_t> index) -> std::optional<ir::Dim> {
        std::vector<int64_t> source(index.begin(), index.end());
        for (size_t a = 0; a < source.size(); ++a) {
          source[a] = slices[a].start.constant() + index[a] * slices[a].step;
        }
        return (*known)[FlatIndex(shape, source)];
      });
  return OkStatus();
}

DimVector Limited(DimVector bounds) {
  for (ir::Dim& bound : bounds) {
    if (bound.is_constant()) bound = std::clamp(bound.constant(), -kFar, kFar);
  }
  return bounds;
}

Status EmitSlice(ImportContext& context, DimVector starts, DimVector ends,
                 std::vector<int64_t> axes, std::vector<int64_t> steps) {
  if (ends.size() != starts.size() || axes.size() != starts.size() ||
      steps.size() != starts.size()) {
    return context.Error(fmt::format("has {} starts, {} ends, {} axes and {} steps", starts.size(),
                                     ends.size(), axes.size(), steps.size()));
  }
  for (int64_t& axis : axes) {
    FUSEE_TRY(const int normal, context.Axis(axis, context.rank(0)));
    axis = normal;
  }
  for (int64_t& step : steps) step = std::clamp(step, -kFar, kFar);
  DimVector bounds = Limited(std::move(starts));
  for (ir::Dim& end : Limited(std::move(ends))) bounds.push_back(std::move(end));
  return context.EmitAs("Slice", {context.input(0)},
                        {{"axes", std::move(axes)}, {"steps", std::move(steps)}},
                        std::move(bounds));
}

std::vector<int64_t> FirstAxes(size_t count) {
  std::vector<int64_t> axes(count);
  for (size_t i = 0; i < count; ++i) axes[i] = static_cast<int64_t>(i);
  return axes;
}

Status ImportSliceAttributes(ImportContext& context) {
  FUSEE_TRY(const std::vector<int64_t> starts, context.Ints("starts"));
  FUSEE_TRY(const std::vector<int64_t> ends, context.Ints("ends"));
  FUSEE_TRY(std::vector<int64_t> axes, context.Ints("axes", FirstAxes(starts.size())));
  return EmitSlice(context, {starts.begin(), starts.end()}, {ends.begin(), ends.end()},
                   std::move(axes), std::vector<int64_t>(starts.size(), 1));
}

Status ImportSliceOperands(ImportContext& context) {
  FUSEE_TRY(DimVector starts, context.DimInput(1, "starts"));
  FUSEE_TRY(DimVector ends, context.DimInput(2, "ends"));
  std::vector<int64_t> axes = FirstAxes(starts.size());
  std::vector<int64_t> steps(starts.size(), 1);
  if (context.has_input(3)) {
    FUSEE_TRY(axes, context.ConstInts(3, "axes"));
  }
  if (context.has_input(4)) {
    FUSEE_TRY(steps, context.ConstInts(4, "steps"));
  }
  return EmitSlice(context, std::move(starts), std::move(ends), std::move(axes), std::move(steps));
}

}  // namespace

OpDef DefineSlice() {
  return {.name = "Slice",
          .infer = InferSlice,
          .imports = {{"Slice", 1, 9, ImportSliceAttributes},
                      {"Slice", 10, 1 << 20, ImportSliceOperands}},
          .narrow = true};
}

}  // namespace fusee::ops
