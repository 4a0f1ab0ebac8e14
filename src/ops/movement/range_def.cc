// Range: start, start + delta, ... in operands' type. Operands: start, delta; dims: the count.
#include <fmt/format.h>

#include <cmath>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferRange(InferContext& context) {
  if (context.dims().size() != 1 || context.input_count() != 2) {
    return context.Error("needs start, delta and a count");
  }
  if (context.dtype(0) != context.dtype(1)) return context.Error("start and delta differ in type");
  const ir::Dim& count = context.dims()[0];
  context.SetOutput(0, context.dtype(0), {count});
  const auto start = KnownElements(context, 0), delta = KnownElements(context, 1);
  if (start && delta && IsTrackable(context.dtype(0), {count})) {
    DimVector elements;
    for (int64_t i = 0; i < count.constant(); ++i) {
      elements.push_back(start->front() + ir::Dim(i) * delta->front());
    }
    context.outputs()[0].elements = std::move(elements);
  }
  return OkStatus();
}

Result<ir::Dim> IntegerCount(ImportContext& context) {
  FUSEE_TRY(const DimVector start, context.DimInput(0, "start"));
  FUSEE_TRY(const std::vector<int64_t> delta, context.ConstInts(2, "delta"));
  auto known = context.DimInput(1, "limit");
  // From 0 on in steps of 1, a limit that only a run tells is the count; below 0 there is nothing.
  if (!known.ok() && known.status().code() == StatusCode::kUnimplemented && start == DimVector{0} &&
      delta == std::vector<int64_t>{1}) {
    const ir::ValueId zero = context.Scalar(context.info(1).dtype, 0);
    FUSEE_TRY(const ir::ValueId count, context.Emit("Max", {context.input(1), zero}));
    constexpr int kAxis = 0;
    known = context.FoundDims(count, 0, std::span(&kAxis, 1), std::nullopt);
  }
  FUSEE_TRY(const DimVector limit, std::move(known));
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1) {
    return context.Error("start, limit and delta should be scalars");
  }
  if (delta[0] == 0) return context.Error("delta is 0");
  if (delta[0] == INT64_MIN) return context.Error("delta is out of range");
  const ir::Dim span = delta[0] > 0 ? limit[0] - start[0] : start[0] - limit[0];
  const ir::Dim count = CeilDiv(span, delta[0] > 0 ? delta[0] : -delta[0]);
  return count.Range(context.graph().symbols()).min >= 0 ? count : Max(count, 0);
}

Result<ir::Dim> FloatCount(ImportContext& context) {
  double values[3];
  for (size_t i = 0; i < 3; ++i) {
    FUSEE_TRY(const Tensor tensor, context.ConstInput(i, "start, limit or delta"));
    if (tensor.elements() != 1) return context.Error("start, limit and delta should be scalars");
    values[i] = DoubleAt(tensor.view(), 0);
  }
  const double count = std::ceil((values[1] - values[0]) / values[2]);
  if (!(count <= 2147483647.0)) {
    return context.Error(fmt::format("start {}, limit {}, delta {} give no finite range", values[0],
                                     values[1], values[2]));
  }
  return ir::Dim(count > 0 ? static_cast<int64_t>(count) : 0);
}

Status ImportRange(ImportContext& context) {
  for (size_t i = 0; i < 3; ++i) {
    if (!context.has_input(i)) return context.Error("needs start, limit and delta");
    if (context.info(i).dtype != context.info(0).dtype) {
      return context.Error("start, limit and delta differ in type");
    }
    // A rank of 1 with one element is common in the field, and harmless.
    if (context.rank(i) > 1) return context.Error("start, limit and delta should be scalars");
  }
  ir::Dim count;
  if (IsFloat(context.info(0).dtype)) {
    FUSEE_TRY(count, FloatCount(context));
  } else {
    FUSEE_TRY(count, IntegerCount(context));
  }
  return context.EmitAs("Range", {context.input(0), context.input(2)}, {}, {count});
}

}  // namespace

OpDef DefineRange() {
  return {.name = "Range", .infer = InferRange, .imports = {{"Range", 11, 1 << 20, ImportRange}}};
}

}  // namespace fusee::ops
