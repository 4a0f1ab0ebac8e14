// The ten reductions. Attributes: axes (normalised, ascending; empty: each element is reduced
// alone, so that ReduceL1 still takes the magnitude) and keepdims. The result has the operand's
// type.
#include <fmt/format.h>

#include <algorithm>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

// What the ten differ in at build time.
using Fold = ir::Dim (*)(const ir::Dim&, const ir::Dim&);

Status InferReduce(InferContext& context, Fold fold) {
  FUSEE_TRY(const std::vector<int64_t> axes, context.attrs().Ints("axes"));
  FUSEE_TRY(const int64_t keepdims, context.attrs().Int("keepdims", 1));
  const ir::SymShape& shape = context.shape(0);
  std::vector<bool> reduced(shape.size(), false);
  for (int64_t axis : axes) {
    FUSEE_TRY(const int a, context.Axis(axis, context.rank(0)));
    if (reduced[static_cast<size_t>(a)]) return context.Error("an axis is named twice");
    reduced[static_cast<size_t>(a)] = true;
  }
  ir::SymShape out;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!reduced[i]) out.push_back(shape[i]);
    if (reduced[i] && keepdims != 0) out.emplace_back(1);
  }
  context.SetOutput(0, context.dtype(0), out);
  // Exporters multiply or add up shapes: a whole tracked vector to one element.
  const auto known = KnownElements(context, 0);
  if (fold == nullptr || !known || known->empty() || shape.size() != 1 || axes.size() != 1) {
    return OkStatus();
  }
  ir::Dim total = known->front();
  for (size_t i = 1; i < known->size(); ++i) total = fold(total, (*known)[i]);
  context.outputs()[0].elements = DimVector{total};
  return OkStatus();
}

ir::Dim Add(const ir::Dim& a, const ir::Dim& b) { return a + b; }
ir::Dim Multiply(const ir::Dim& a, const ir::Dim& b) { return a * b; }
ir::Dim Larger(const ir::Dim& a, const ir::Dim& b) { return Max(a, b); }
ir::Dim Smaller(const ir::Dim& a, const ir::Dim& b) { return Min(a, b); }

Status InferPlain(InferContext& context) { return InferReduce(context, nullptr); }
Status InferSum(InferContext& context) { return InferReduce(context, Add); }
Status InferProd(InferContext& context) { return InferReduce(context, Multiply); }
Status InferMax(InferContext& context) { return InferReduce(context, Larger); }
Status InferMin(InferContext& context) { return InferReduce(context, Smaller); }

Status EmitReduce(ImportContext& context, std::vector<int64_t> axes, bool noop_when_empty) {
  FUSEE_TRY(const int64_t keepdims, context.Int("keepdims", 1));
  const int rank = context.rank(0);
  if (axes.empty() && !noop_when_empty) {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  } else {
    FUSEE_TRY(axes, NormaliseAxes(context, std::move(axes), rank));
  }
  return context.EmitAs(context.node().op_type, {context.input(0)},
                        {{"axes", std::move(axes)}, {"keepdims", keepdims}}, {});
}

Status ImportAttribute(ImportContext& context) {
  FUSEE_TRY(std::vector<int64_t> axes, context.Ints("axes"));
  return EmitReduce(context, std::move(axes), false);
}

Status ImportOperand(ImportContext& context) {
  FUSEE_TRY(const int64_t noop, context.Int("noop_with_empty_axes", 0));
  std::vector<int64_t> axes;
  if (context.has_input(1)) {
    FUSEE_TRY(axes, context.ConstInts(1, "axes"));
  }
  return EmitReduce(context, std::move(axes), noop != 0);
}

// operand_since: the opset that moved axes from an attribute to an operand.
OpDef Define(std::string_view name, Status (*infer)(InferContext&), int operand_since = 18) {
  return {.name = name,
          .infer = infer,
          .imports = {{name, 1, operand_since - 1, ImportAttribute},
                      {name, operand_since, 1 << 20, ImportOperand}}};
}

}  // namespace

OpDef DefineReduceSum() { return Define("ReduceSum", InferSum, 13); }
OpDef DefineReduceMean() { return Define("ReduceMean", InferPlain); }
OpDef DefineReduceMax() { return Define("ReduceMax", InferMax); }
OpDef DefineReduceMin() { return Define("ReduceMin", InferMin); }
OpDef DefineReduceProd() { return Define("ReduceProd", InferProd); }
OpDef DefineReduceL1() { return Define("ReduceL1", InferPlain); }
OpDef DefineReduceL2() { return Define("ReduceL2", InferPlain); }
OpDef DefineReduceLogSum() { return Define("ReduceLogSum", InferPlain); }
OpDef DefineReduceLogSumExp() { return Define("ReduceLogSumExp", InferPlain); }
OpDef DefineReduceSumSquare() { return Define("ReduceSumSquare", InferPlain); }

}  // namespace fusee::ops
