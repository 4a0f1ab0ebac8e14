// Hardmax: 1 at the first largest element along an axis, 0 elsewhere, spelled as OneHot of ArgMax.
// Until opset 12 the operand is flattened to 2-D at axis (default 1), so all axes from there on
// count as one.
#include <fmt/format.h>

#include "ops/nn/speller_def.h"

namespace fusee::ops {

namespace {

// x with `axis` of the given shape.
Status Spell(ImportContext& c, Speller& s, ir::ValueId x, const ir::SymShape& shape, int64_t axis,
             const ir::SymShape& result) {
  const DType dtype = c.info(0).dtype;
  const ir::Dim& depth = shape[static_cast<size_t>(axis)];
  ir::ValueId y;
  if (depth == ir::Dim(0)) {
    y = s.Op("Identity", {x});  // no element: nothing is the largest
  } else {
    const ir::ValueId at =
        s.Op("ArgMax", {x},
             {{"axis", axis}, {"keepdims", int64_t{0}}, {"select_last_index", int64_t{0}}});
    TensorView values;
    FUSEE_TRY(Tensor off_on, Tensor::Allocate(dtype, Shape{2}, &values));
    StoreDouble(values, 0, 0);
    StoreDouble(values, 1, 1);
    y = s.Op("OneHot", {at, c.Constant(std::move(off_on))}, {{"axis", axis}}, {depth});
  }
  if (shape != result) y = s.Reshape(y, result);
  FUSEE_TRY(s.status());
  c.SetOutput(0, y);
  return OkStatus();
}

Status CheckX(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  if (!IsFloat(c.info(0).dtype))
    return c.Error(fmt::format("x is {}, expected floating point", DTypeName(c.info(0).dtype)));
  return OkStatus();
}

Status ImportFlattened(ImportContext& c) {
  FUSEE_TRY(CheckX(c));
  FUSEE_TRY(const int64_t axis_attr, c.Int("axis", 1));
  const int rank = c.rank(0);
  FUSEE_TRY(const int axis, c.Axis(axis_attr, axis_attr < 0 ? rank : rank + 1));
  const ir::SymShape x = c.info(0).shape;
  const ir::SymShape rows(x.begin(), x.begin() + axis), columns(x.begin() + axis, x.end());
  const ir::SymShape flat{ir::ElementCount(rows), ir::ElementCount(columns)};
  Speller s(c);
  const ir::ValueId flattened = s.Reshape(c.input(0), flat);
  return Spell(c, s, flattened, flat, 1, x);
}

Status ImportOneAxis(ImportContext& c) {
  FUSEE_TRY(CheckX(c));
  FUSEE_TRY(const int64_t axis_attr, c.Int("axis", -1));
  if (c.rank(0) == 0) return c.Refuse("an operand of rank 0 has no axis");
  FUSEE_TRY(const int axis, c.Axis(axis_attr, c.rank(0)));
  Speller s(c);
  const ir::SymShape x = c.info(0).shape;
  return Spell(c, s, c.input(0), x, axis, x);
}

}  // namespace

OpDef DefineHardmax() {
  return {.name = "Hardmax",
          .imports = {{.onnx_op = "Hardmax", .since = 1, .import = ImportFlattened},
                      {.onnx_op = "Hardmax", .since = 13, .import = ImportOneAxis}}};
}

}  // namespace fusee::ops
