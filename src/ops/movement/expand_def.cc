// Expand: operand 0 broadcast with the shape in `dims`. ConstantOfShape is imported as the
// expansion of a scalar constant.
#include <algorithm>
#include <numeric>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferExpand(InferContext& context) {
  const ir::SymShape target(context.dims().begin(), context.dims().end());
  const ir::SymShape& shape = context.shape(0);
  FUSEE_TRY(const ir::SymShape out, context.Broadcast(shape, target));
  context.SetOutput(0, context.dtype(0), out);
  const auto known = KnownElements(context, 0);
  if (known && IsTrackable(context.dtype(0), out)) {
    context.outputs()[0].elements =
        MapElements(out, [&](std::span<const int64_t> index) -> std::optional<ir::Dim> {
          const auto tail = index.subspan(index.size() - shape.size());
          std::vector<int64_t> source(tail.begin(), tail.end());
          for (size_t i = 0; i < source.size(); ++i) {
            if (shape[i] == ir::Dim(1)) source[i] = 0;
          }
          return (*known)[FlatIndex(shape, source)];
        });
  }
  return OkStatus();
}

// Axes 0, 1, ...: as many as the operand has elements.
Result<DimVector> TargetShape(ImportContext& context, size_t operand, std::string_view meaning) {
  const auto count = ir::ElementCount(context.info(operand).shape).AsConstant();
  std::vector<int> axes(static_cast<size_t>(std::clamp<int64_t>(count.value_or(0), 0, kMaxRank)));
  std::iota(axes.begin(), axes.end(), 0);
  return context.FoundDimInput(operand, meaning, 0, axes, std::nullopt);
}

Status CheckTarget(ImportContext& context, const DimVector& target) {
  for (const ir::Dim& d : target) {
    if (d.Range(context.graph().symbols()).max < 0) {
      return context.Error("the target shape has the negative dimension " + d.ToString());
    }
  }
  return OkStatus();
}

Status ImportExpand(ImportContext& context) {
  FUSEE_TRY(DimVector target, TargetShape(context, 1, "target shape"));
  FUSEE_TRY(CheckTarget(context, target));
  return context.EmitAs("Expand", {context.input(0)}, {}, std::move(target));
}

Status ImportConstantOfShape(ImportContext& context) {
  ir::ValueId value;
  if (context.HasAttr("value")) {
    FUSEE_TRY(const Tensor tensor, context.TensorAttr("value"));
    if (tensor.elements() != 1) return context.Error("attribute 'value' should have one element");
    value = context.Constant(tensor.Reshaped(Shape{}));
  } else {
    value = context.Scalar(DType::kF32, 0);
  }
  FUSEE_TRY(DimVector target, TargetShape(context, 0, "shape"));
  FUSEE_TRY(CheckTarget(context, target));
  return context.EmitAs("Expand", {value}, {}, std::move(target));
}

}  // namespace

OpDef DefineExpand() {
  return {.name = "Expand",
          .infer = InferExpand,
          .imports = {{"Expand", 8, 1 << 20, ImportExpand},
                      {"ConstantOfShape", 9, 1 << 20, ImportConstantOfShape}},
          .narrow = true};
}

}  // namespace fusee::ops
