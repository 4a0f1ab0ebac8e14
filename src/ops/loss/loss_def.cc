// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss, spelled with others. Operands: scores
// [N, C, ...], labels [N, ...] (i32 or i64), optional weights [C].
//
//   ignored = labels == ignore_index           (only with that attribute, as are the two Wheres)
//   label   = Where(ignored, 0, labels)        (and beyond all classes where it is negative)
//   weight  = Where(ignored, 0, Gather(weights, label))
//   loss    = Where(ignored, 0, -GatherElements(scores, label, axis 1) * weight)
//
// reduction "mean" divides the sum of the losses by the sum of the weights, where a label without
// weights counts 1. An ignored label is replaced before it is followed, because it may lie outside
// [0, C); its loss is replaced rather than multiplied by 0, because its score may be infinite.
//
// f16 and bf16 are computed in f32 and rounded once: sums over a batch of labels leave f16's range.
#include <fmt/format.h>

#include <limits>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Result<ir::ValueId> Convert(ImportContext& c, ir::ValueId value, DType to) {
  if (c.graph().value(value).info.dtype == to) return value;
  return c.Emit("Cast", {value}, {{"to", static_cast<int64_t>(to)}});
}

Result<ir::ValueId> SumOfAll(ImportContext& c, ir::ValueId value) {
  std::vector<int64_t> axes;
  for (size_t i = 0; i < c.graph().value(value).info.shape.size(); ++i)
    axes.push_back(static_cast<int64_t>(i));
  return c.Emit("ReduceSum", {value}, {{"axes", std::move(axes)}, {"keepdims", int64_t{0}}});
}

Status CheckOperands(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1)) return c.Error("operands scores and labels are required");
  if (!IsFloat(c.info(0).dtype)) return c.Error("the scores should be floating-point");
  const DType labels = c.info(1).dtype;
  if (labels != DType::kI32 && labels != DType::kI64)
    return c.Error(fmt::format("the labels are {}, expected i32 or i64", DTypeName(labels)));
  if (c.rank(0) < 2 || c.rank(1) != c.rank(0) - 1) {
    return c.Error(
        fmt::format("scores {} and labels {} do not fit, expected [N, C, ...] and "
                    "[N, ...]",
                    ir::ToString(c.info(0).shape), ir::ToString(c.info(1).shape)));
  }
  for (size_t i = 0; i < c.info(1).shape.size(); ++i) {
    FUSEE_TRY(c.RequireEqual(c.info(0).shape[i == 0 ? 0 : i + 1], c.info(1).shape[i],
                             fmt::format("dimension {} of the labels and the scores'", i)));
  }
  if (!c.has_input(2)) return OkStatus();
  if (c.rank(2) != 1 || c.info(2).dtype != c.info(0).dtype)
    return c.Error("the weights should be one number per class, of the scores' type");
  return c.RequireEqual(c.info(2).shape[0], c.info(0).shape[1],
                        "the number of weights and of classes");
}

// One number per label: 0 where it is ignored. `ignored` is invalid without ignore_index.
Result<ir::ValueId> ZeroWhere(ImportContext& c, ir::ValueId ignored, ir::ValueId value) {
  if (!ignored.valid()) return value;
  const DType dtype = c.graph().value(value).info.dtype;
  return c.Emit("Where", {ignored, c.Scalar(dtype, 0), value});
}

// The weight of every label; an invalid id when each is 1.
Result<ir::ValueId> Weights(ImportContext& c, ir::ValueId ignored, ir::ValueId label, DType type) {
  if (c.has_input(2)) {
    FUSEE_TRY(const ir::ValueId table, Convert(c, c.input(2), type));
    FUSEE_TRY(const ir::ValueId weight, c.Emit("Gather", {table, label}, {{"axis", int64_t{0}}}));
    return ZeroWhere(c, ignored, weight);
  }
  if (!ignored.valid()) return ir::ValueId();
  FUSEE_TRY(const ir::ValueId counted, c.Emit("Not", {ignored}));
  return Convert(c, counted, type);
}

// Gathers count a negative index from the end, but no class is meant by one: it becomes an index
// that they refuse.
Result<ir::ValueId> FailBelowZero(ImportContext& c, ir::ValueId label) {
  const DType dtype = c.graph().value(label).info.dtype;
  const ir::ValueId beyond = c.Scalar(dtype, std::numeric_limits<int32_t>::max());
  FUSEE_TRY(const ir::ValueId negative, c.Emit("Less", {label, c.Scalar(dtype, 0)}));
  return c.Emit("Where", {negative, beyond, label});
}

// scores: logarithms of probabilities in the type that is computed in.
Status EmitLoss(ImportContext& c, ir::ValueId scores) {
  const DType type = c.graph().value(scores).info.dtype;
  const DType labels = c.info(1).dtype;
  FUSEE_TRY(const std::string reduction, c.Str("reduction", "mean"));
  if (reduction != "none" && reduction != "sum" && reduction != "mean") {
    return c.Error(fmt::format("reduction '{}' is unknown, expected none, sum or mean", reduction));
  }
  ir::ValueId ignored, label = c.input(1);
  if (c.HasAttr("ignore_index")) {
    FUSEE_TRY(const int64_t index, c.Int("ignore_index", 0));
    // No i32 label equals an index beyond i32.
    if (labels == DType::kI64 || index == static_cast<int32_t>(index)) {
      TensorView out;
      FUSEE_TRY(Tensor constant, Tensor::Allocate(labels, fusee::Shape{}, &out));
      StoreInt(out, 0, index);
      FUSEE_TRY(ignored, c.Emit("Equal", {label, c.Constant(std::move(constant))}));
      FUSEE_TRY(label, ZeroWhere(c, ignored, label));
    }
  }
  FUSEE_TRY(label, FailBelowZero(c, label));
  const ir::SymShape shape = c.info(1).shape;
  ir::SymShape column = shape;
  column.insert(column.begin() + 1, 1);
  FUSEE_TRY(const ir::ValueId index, c.Emit("Reshape", {label}, {}, std::move(column)));
  FUSEE_TRY(const ir::ValueId picked,
            c.Emit("GatherElements", {scores, index}, {{"axis", int64_t{1}}}));
  FUSEE_TRY(ir::ValueId loss, c.Emit("Reshape", {picked}, {}, shape));
  FUSEE_TRY(loss, c.Emit("Neg", {loss}));
  FUSEE_TRY(const ir::ValueId weight, Weights(c, ignored, label, type));
  if (c.has_input(2)) {
    FUSEE_TRY(loss, c.Emit("Mul", {loss, weight}));
  }
  FUSEE_TRY(loss, ZeroWhere(c, ignored, loss));
  if (reduction == "sum" || (reduction == "mean" && weight.valid())) {
    FUSEE_TRY(loss, SumOfAll(c, loss));
  }
  if (reduction == "mean" && weight.valid()) {
    FUSEE_TRY(const ir::ValueId total, SumOfAll(c, weight));
    FUSEE_TRY(loss, c.Emit("Div", {loss, total}));
  } else if (reduction == "mean") {
    std::vector<int64_t> axes;
    for (size_t i = 0; i < shape.size(); ++i) axes.push_back(static_cast<int64_t>(i));
    FUSEE_TRY(loss,
              c.Emit("ReduceMean", {loss}, {{"axes", std::move(axes)}, {"keepdims", int64_t{0}}}));
  }
  FUSEE_TRY(loss, Convert(c, loss, c.info(0).dtype));
  c.SetOutput(0, loss);
  return OkStatus();
}

// The scores in the type that is computed in.
Result<ir::ValueId> Scores(ImportContext& c) {
  return Convert(c, c.input(0), c.info(0).dtype == DType::kF64 ? DType::kF64 : DType::kF32);
}

Status ImportNegativeLogLikelihood(ImportContext& c) {
  FUSEE_TRY(CheckOperands(c));
  FUSEE_TRY(const ir::ValueId scores, Scores(c));
  return EmitLoss(c, scores);
}

Status ImportCrossEntropy(ImportContext& c) {
  FUSEE_TRY(CheckOperands(c));
  FUSEE_TRY(const ir::ValueId scores, Scores(c));
  FUSEE_TRY(const ir::ValueId logs, c.Emit("LogSoftmax", {scores}, {{"axis", int64_t{1}}}));
  if (c.wants_output(1)) {
    FUSEE_TRY(const ir::ValueId result, Convert(c, logs, c.info(0).dtype));
    c.SetOutput(1, result);
  }
  return EmitLoss(c, logs);
}

}  // namespace

// Opset 13 added bf16, 22 types that Fusee has in both.
OpDef DefineNegativeLogLikelihoodLoss() {
  return {.name = "NegativeLogLikelihoodLoss",
          .imports = {{"NegativeLogLikelihoodLoss", 12, 1 << 20, ImportNegativeLogLikelihood}}};
}

OpDef DefineSoftmaxCrossEntropyLoss() {
  return {.name = "SoftmaxCrossEntropyLoss",
          .imports = {{"SoftmaxCrossEntropyLoss", 12, 1 << 20, ImportCrossEntropy}}};
}

}  // namespace fusee::ops
