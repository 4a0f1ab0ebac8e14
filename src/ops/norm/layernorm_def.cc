// LayerNormalization and RMSNormalization. IR: attribute axis (not negative): axes [axis, rank) are
// normalised together; epsilon. Operands x, scale and (LayerNormalization) an optional bias, of the
// normalised axes' shape, or broadcasting to it. Optional results Mean and InvStdDev: x's shape
// with the normalised axes 1, f32 or bf16.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {

namespace {

// stash_type: the type that statistics are computed in. Fusee always has at least f32, and for
// 64-bit operands f64.
Result<Attrs> ImportCommon(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1)) return c.Error("operands x and scale are required");
  FUSEE_TRY(int64_t axis_attr, c.Int("axis", -1));
  FUSEE_TRY(double epsilon, c.Float("epsilon", static_cast<double>(1e-5f)));
  FUSEE_TRY(int axis, c.Axis(axis_attr, c.rank(0)));
  Attrs attrs;
  attrs.Set("axis", int64_t{axis});
  attrs.Set("epsilon", epsilon);
  return attrs;
}

Status ImportLayerNorm(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ImportCommon(c));
  FUSEE_TRY(int64_t stash, c.Int("stash_type", 1));
  if (stash != 1 && stash != 16)
    return c.Refuse(fmt::format("stash_type {} is not float (1) or bfloat16 (16)", stash));
  if (c.wants_output(1) || c.wants_output(2)) {
    if (stash == 16) attrs.Set("stash_type", stash);
    return c.EmitAs("LayerNormalization", std::move(attrs));
  }
  FUSEE_TRY(ir::ValueId y,
            c.Emit("LayerNormalization", {c.inputs().begin(), c.inputs().end()}, std::move(attrs)));
  c.SetOutput(0, y);
  return OkStatus();
}

Status ImportRmsNorm(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ImportCommon(c));
  FUSEE_TRY(int64_t stash, c.Int("stash_type", 1));
  if (stash != 1 && stash != 16)
    return c.Refuse(fmt::format("stash_type {} is not float (1) or bfloat16 (16)", stash));
  return c.EmitAs("RMSNormalization", std::move(attrs));
}

// The shape of scale or bias must broadcast to the normalised axes, not beyond them.
Status CheckScale(InferContext& c, size_t operand, int axis) {
  if (!c.has_input(operand)) return OkStatus();
  const ir::SymShape& x = c.shape(0);
  const ir::SymShape& s = c.shape(operand);
  if (!IsFloat(c.dtype(operand)))
    return c.Error(fmt::format("operand {} should be floating-point", operand));
  if (s.size() > x.size())
    return c.Error(fmt::format("operand {} has a higher rank than x", operand));
  for (size_t i = 0; i < s.size(); ++i) {
    const size_t d = x.size() - s.size() + i;
    if (s[i] == ir::Dim(1)) continue;
    if (static_cast<int>(d) < axis)
      return c.Refuse(fmt::format("operand {} varies outside the normalised axes", operand));
    FUSEE_TRY(c.RequireEqual(s[i], x[d], "scale or bias and the normalised axes"));
  }
  return OkStatus();
}

Status InferNorm(InferContext& c, size_t max_inputs, size_t max_outputs) {
  if (c.input_count() < 2 || c.input_count() > max_inputs || !c.has_input(0) || !c.has_input(1) ||
      c.outputs().empty() || c.outputs().size() > max_outputs) {
    return c.Error("wrong number of operands or results");
  }
  if (!IsFloat(c.dtype(0)))
    return c.Error(fmt::format("x is {}, expected floating point", DTypeName(c.dtype(0))));
  FUSEE_TRY(int64_t axis, c.attrs().Int("axis", -1));
  FUSEE_TRY(int64_t stash, c.attrs().Int("stash_type", 1));
  if (axis < 0 || axis >= c.rank(0)) return c.Error(fmt::format("axis {} is out of range", axis));
  FUSEE_TRY(CheckScale(c, 1, static_cast<int>(axis)));
  FUSEE_TRY(CheckScale(c, 2, static_cast<int>(axis)));
  // The standard lets scale's type differ from x's; the result has scale's in RMSNormalization.
  if (c.dtype(1) != c.dtype(0)) return c.Refuse("scale has another type than x");
  if (c.has_input(2) && c.dtype(2) != c.dtype(0))
    return c.Refuse("the bias has another type than x");
  ir::SymShape stat = c.shape(0);
  for (size_t i = static_cast<size_t>(axis); i < stat.size(); ++i) stat[i] = 1;
  for (size_t i = 1; i < c.outputs().size(); ++i)
    c.SetOutput(i, stash == 16 ? DType::kBF16 : DType::kF32, stat);
  c.SetOutput(0, c.dtype(0), c.shape(0));
  return OkStatus();
}

Status InferLayerNorm(InferContext& c) { return InferNorm(c, 3, 3); }
Status InferRmsNorm(InferContext& c) { return InferNorm(c, 2, 1); }

}  // namespace

OpDef DefineLayerNormalization() {
  return {.name = "LayerNormalization",
          .infer = InferLayerNorm,
          .imports = {{.onnx_op = "LayerNormalization", .since = 1, .import = ImportLayerNorm}}};
}

OpDef DefineRMSNormalization() {
  return {.name = "RMSNormalization",
          .infer = InferRmsNorm,
          .imports = {{.onnx_op = "RMSNormalization", .since = 23, .import = ImportRmsNorm}}};
}

}  // namespace fusee::ops
