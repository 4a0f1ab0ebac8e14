// LRN (across channels) and LpNormalization (over one axis).
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {

namespace {

Status ImportLrn(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  FUSEE_TRY(int64_t size, c.RequiredInt("size"));
  FUSEE_TRY(double alpha, c.Float("alpha", static_cast<double>(1e-4f)));
  FUSEE_TRY(double beta, c.Float("beta", 0.75));
  FUSEE_TRY(double bias, c.Float("bias", 1));
  return c.EmitAs("LRN", Attrs{{"size", size}, {"alpha", alpha}, {"beta", beta}, {"bias", bias}});
}

Status InferLrn(InferContext& c) {
  if (c.input_count() != 1 || !c.has_input(0)) return c.Error("expected one operand");
  if (!IsFloat(c.dtype(0)))
    return c.Error(fmt::format("x is {}, expected floating point", DTypeName(c.dtype(0))));
  if (c.rank(0) < 2) return c.Error(fmt::format("x has rank {}, expected at least 2", c.rank(0)));
  FUSEE_TRY(int64_t size, c.attrs().Int("size", 0));
  if (size < 1 || size >= (int64_t{1} << 31))
    return c.Error(fmt::format("size {} is not positive", size));
  c.SetOutput(0, c.dtype(0), c.shape(0));
  return OkStatus();
}

Status ImportLpNorm(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  FUSEE_TRY(int64_t axis_attr, c.Int("axis", -1));
  FUSEE_TRY(int64_t p, c.Int("p", 2));
  FUSEE_TRY(int axis, c.Axis(axis_attr, c.rank(0)));
  if (p != 1 && p != 2) return c.Error(fmt::format("p is {}, expected 1 or 2", p));
  return c.EmitAs("LpNormalization", Attrs{{"axis", int64_t{axis}}, {"p", p}});
}

Status InferLpNorm(InferContext& c) {
  if (c.input_count() != 1 || !c.has_input(0)) return c.Error("expected one operand");
  if (!IsFloat(c.dtype(0)))
    return c.Error(fmt::format("x is {}, expected floating point", DTypeName(c.dtype(0))));
  FUSEE_TRY(int64_t axis, c.attrs().Int("axis", -1));
  FUSEE_TRY(int64_t p, c.attrs().Int("p", 2));
  if (axis < 0 || axis >= c.rank(0)) return c.Error(fmt::format("axis {} is out of range", axis));
  if (p != 1 && p != 2) return c.Error(fmt::format("p is {}, expected 1 or 2", p));
  c.SetOutput(0, c.dtype(0), c.shape(0));
  return OkStatus();
}

}  // namespace

OpDef DefineLRN() {
  return {.name = "LRN",
          .infer = InferLrn,
          .imports = {{.onnx_op = "LRN", .since = 1, .import = ImportLrn}}};
}

OpDef DefineLpNormalization() {
  return {.name = "LpNormalization",
          .infer = InferLpNorm,
          .imports = {{.onnx_op = "LpNormalization", .since = 1, .import = ImportLpNorm}}};
}

}  // namespace fusee::ops
