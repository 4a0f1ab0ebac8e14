// Softmax and LogSoftmax. IR: attribute axis (not negative) and axes_count (default 1): the
// normalisation runs over axes [axis, axis + axes_count) together.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {

namespace {

// Until opset 12 the operand is flattened to 2-D at axis (default 1), so all axes from there on
// count as one.
Status ImportFlattened(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  FUSEE_TRY(int64_t axis_attr, c.Int("axis", 1));
  const int rank = c.rank(0);
  Attrs attrs;
  // Flattening a scalar or at the rank gives rows of one element: axis = rank then has an empty
  // product.
  FUSEE_TRY(int axis, c.Axis(axis_attr, axis_attr < 0 ? rank : rank + 1));
  attrs.Set("axis", int64_t{axis});
  if (rank - axis != 1) attrs.Set("axes_count", int64_t{rank - axis});
  return c.EmitAs(c.node().op_type, std::move(attrs));
}

Status ImportOneAxis(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  FUSEE_TRY(int64_t axis_attr, c.Int("axis", -1));
  if (c.rank(0) == 0) return c.Refuse("an operand of rank 0 has no axis");
  FUSEE_TRY(int axis, c.Axis(axis_attr, c.rank(0)));
  Attrs attrs;
  attrs.Set("axis", int64_t{axis});
  return c.EmitAs(c.node().op_type, std::move(attrs));
}

Status InferSoftmax(InferContext& c) {
  if (c.input_count() != 1 || !c.has_input(0)) return c.Error("expected one operand");
  if (!IsFloat(c.dtype(0)))
    return c.Error(fmt::format("x is {}, expected floating point", DTypeName(c.dtype(0))));
  FUSEE_TRY(int64_t axis, c.attrs().Int("axis", 0));
  FUSEE_TRY(int64_t count, c.attrs().Int("axes_count", 1));
  if (axis < 0 || count < 0 || count > kMaxRank || axis > c.rank(0) - count) {
    return c.Error(fmt::format("axes {} to {} are out of range for rank {}", axis, axis + count - 1,
                               c.rank(0)));
  }
  c.SetOutput(0, c.dtype(0), c.shape(0));
  return OkStatus();
}

}  // namespace

OpDef DefineSoftmax() {
  return {.name = "Softmax",
          .infer = InferSoftmax,
          .imports = {{.onnx_op = "Softmax", .since = 1, .import = ImportFlattened},
                      {.onnx_op = "Softmax", .since = 13, .import = ImportOneAxis}}};
}

OpDef DefineLogSoftmax() {
  return {.name = "LogSoftmax",
          .infer = InferSoftmax,
          .imports = {{.onnx_op = "LogSoftmax", .since = 1, .import = ImportFlattened},
                      {.onnx_op = "LogSoftmax", .since = 13, .import = ImportOneAxis}}};
}

}  // namespace fusee::ops
