// The quantised operators of the domain com.microsoft, which onnxruntime's quantiser writes,
// spelled with others. Codes become real numbers, or integers less their zero point; the operator
// computes on those; the result is quantised again (integer_def.h).
#include <fmt/format.h>

#include "ops/nn/window_def.h"
#include "ops/op_def.h"
#include "ops/quant/integer_def.h"

namespace fusee::ops {
namespace {

DType TypeOf(ImportContext& c, size_t i) { return c.has_input(i) ? c.info(i).dtype : DType::kU8; }

Result<ir::ValueId> JoinScales(ImportContext& c, ir::ValueId a, ir::ValueId b) {
  return c.Emit("Mul", {a, b});
}

// One number in f32.
Result<ir::ValueId> OneScale(ImportContext& c, size_t i) {
  FUSEE_TRY(const ir::ValueId scale, OneNumber(c, i, "a scale"));
  if (!IsFloat(c.info(i).dtype)) return c.Error("a scale should be floating-point");
  return CastTo(c, scale, DType::kF32);
}

// --- a and b: codes, scale, zero point each; then the result's scale and zero point ---

Status ImportAdd(ImportContext& c) {
  FUSEE_TRY(const ir::ValueId a, RealOf(c, 0, 1, 2));
  FUSEE_TRY(const ir::ValueId b, RealOf(c, 3, 4, 5));
  FUSEE_TRY(const ir::ValueId sum, c.Emit("Add", {a, b}));
  return QuantizeTo(c, sum, 6, 7, TypeOf(c, 0));
}

// The integer product is exact in f32, so it is scaled once.
Status ImportMul(ImportContext& c) {
  FUSEE_TRY(const ir::ValueId a, Centred(c, 0, 2, -1, DType::kF32));
  FUSEE_TRY(const ir::ValueId b, Centred(c, 3, 5, -1, DType::kF32));
  FUSEE_TRY(const ir::ValueId product, c.Emit("Mul", {a, b}));
  FUSEE_TRY(const ir::ValueId a_scale, OneScale(c, 1));
  FUSEE_TRY(const ir::ValueId b_scale, OneScale(c, 4));
  FUSEE_TRY(const ir::ValueId y_scale, OneScale(c, 6));
  FUSEE_TRY(ir::ValueId joined, JoinScales(c, a_scale, b_scale));
  FUSEE_TRY(joined, c.Emit("Div", {joined, y_scale}));
  FUSEE_TRY(const ir::ValueId scaled, c.Emit("Mul", {product, joined}));
  return QuantizeUnscaled(c, scaled, 7, TypeOf(c, 0));
}

// --- x: codes, scale, zero point; then the result's scale and zero point ---

Status ImportSigmoid(ImportContext& c) {
  FUSEE_TRY(const ir::ValueId x, RealOf(c, 0, 1, 2));
  FUSEE_TRY(const ir::ValueId y, c.Emit("Sigmoid", {x}));
  return QuantizeTo(c, y, 3, 4, TypeOf(c, 0));
}

Status ImportLeakyRelu(ImportContext& c) {
  FUSEE_TRY(const double alpha, c.Float("alpha", static_cast<double>(0.01f)));
  FUSEE_TRY(const ir::ValueId x, RealOf(c, 0, 1, 2));
  FUSEE_TRY(const ir::ValueId y, c.Emit("LeakyRelu", {x}, {{"alpha", alpha}}));
  return QuantizeTo(c, y, 3, 4, TypeOf(c, 0));
}

// Averages of codes less their zero point; scaled once.
Status EmitAverage(ImportContext& c, std::string_view op, Attrs attrs) {
  FUSEE_TRY(const int64_t channels_last, c.Int("channels_last", 0));
  if (channels_last != 0) attrs.Set("layout", std::string("NHWC"));
  FUSEE_TRY(const ir::ValueId x, Centred(c, 0, 2, -1, DType::kF32));
  FUSEE_TRY(const ir::ValueId mean, c.Emit(op, {x}, std::move(attrs)));
  FUSEE_TRY(const ir::ValueId x_scale, OneScale(c, 1));
  FUSEE_TRY(const ir::ValueId y_scale, OneScale(c, 3));
  FUSEE_TRY(const ir::ValueId joined, c.Emit("Div", {x_scale, y_scale}));
  FUSEE_TRY(const ir::ValueId scaled, c.Emit("Mul", {mean, joined}));
  return QuantizeUnscaled(c, scaled, 4, TypeOf(c, 0));
}

Status ImportGlobalAverage(ImportContext& c) { return EmitAverage(c, "GlobalAveragePool", {}); }

Status ImportAverage(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  FUSEE_TRY(std::vector<int64_t> kernel, c.Ints("kernel_shape"));
  if (static_cast<int>(kernel.size()) != c.rank(0) - 2)
    return c.Error("kernel_shape should have one entry per spatial axis");
  FUSEE_TRY(const int64_t channels_last, c.Int("channels_last", 0));
  FUSEE_TRY(const std::string auto_pad, c.Str("auto_pad", "NOTSET"));
  if (channels_last != 0 && auto_pad.starts_with("SAME"))
    return c.Refuse("auto_pad SAME with channels_last; write the pads out");
  FUSEE_TRY(Attrs attrs, ImportWindow(c, std::move(kernel), true));
  FUSEE_TRY(const int64_t include, c.Int("count_include_pad", 0));
  if (include != 0) attrs.Set("count_include_pad", int64_t{1});
  return EmitAverage(c, "AveragePool", std::move(attrs));
}

// --- the result's scale and zero point; then codes, scale, zero point of each operand ---

Status ImportConcat(ImportContext& c) {
  if (c.input_count() < 5 || (c.input_count() - 2) % 3 != 0)
    return c.Error("expected a scale, a zero point, and three operands for each tensor");
  FUSEE_TRY(const int64_t attribute, c.RequiredInt("axis"));
  std::vector<ir::ValueId> parts;
  for (size_t i = 2; i < c.input_count(); i += 3) {
    FUSEE_TRY(const ir::ValueId part, RealOf(c, i, i + 1, i + 2));
    parts.push_back(part);
  }
  FUSEE_TRY(const int axis, c.Axis(attribute, c.rank(2)));
  FUSEE_TRY(const ir::ValueId y, c.Emit("Concat", std::move(parts), {{"axis", int64_t{axis}}}));
  return QuantizeTo(c, y, 0, 1, TypeOf(c, 2));
}

// --- products ---

// acc * scale + bias in f32; bias may be absent.
Status FinishReal(ImportContext& c, ir::ValueId acc, ir::ValueId scale, size_t bias, DType type) {
  FUSEE_TRY(ir::ValueId y, ScaleInteger(c, acc, scale, ColumnsOf(c, acc)));
  if (c.has_input(bias)) {
    if (c.rank(bias) != 1) return c.Error("the bias should be 1-D");
    const ir::SymShape product = c.graph().value(y).info.shape;
    if (product.empty()) return c.Error("a bias needs columns");
    FUSEE_TRY(c.RequireEqual(c.info(bias).shape[0], product.back(), "the bias and the columns"));
    FUSEE_TRY(const ir::ValueId b, CastTo(c, c.input(bias), DType::kF32));
    FUSEE_TRY(y, c.Emit("Add", {y, b}));
  }
  FUSEE_TRY(y, CastTo(c, y, type));
  c.SetOutput(0, y);
  return OkStatus();
}

// A, B, a_scale, b_scale, a_zero, b_zero, bias.
Status ImportIntegerToFloat(ImportContext& c) {
  FUSEE_TRY(const ir::ValueId acc,
            EmitIntegerProduct(c, {.a = 0, .a_zero = 4, .b = 1, .b_zero = 5}));
  FUSEE_TRY(const ir::ValueId a_scale, RowScale(c, 2, 0));
  FUSEE_TRY(const ir::ValueId b_scale, ColumnScale(c, 3, 1));
  FUSEE_TRY(const ir::ValueId joined, JoinScales(c, a_scale, b_scale));
  return FinishReal(c, acc, joined, 6, c.info(2).dtype);
}

// A (real), B, b_scale, b_zero, bias. A is quantised as DynamicQuantizeLinear does.
Status ImportDynamicMatMul(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1)) return c.Error("operands a and b are required");
  FUSEE_TRY(const std::vector<ir::ValueId> a, c.EmitMany("DynamicQuantizeLinear", {c.input(0)}, 3));
  FUSEE_TRY(const ir::ValueId codes, CastTo(c, a[0], DType::kI32));
  FUSEE_TRY(const ir::ValueId zero, CastTo(c, a[2], DType::kI32));
  FUSEE_TRY(const ir::ValueId left, c.Emit("Sub", {codes, zero}));
  const int columns = c.rank(1) < 2 ? -1 : c.rank(1) - 1;
  FUSEE_TRY(const ir::ValueId right, Centred(c, 1, 3, columns, DType::kI32));
  FUSEE_TRY(const ir::ValueId acc, c.Emit("MatMul", {left, right}));
  FUSEE_TRY(const ir::ValueId b_scale, ColumnScale(c, 2, 1));
  FUSEE_TRY(const ir::ValueId joined, JoinScales(c, a[1], b_scale));
  return FinishReal(c, acc, joined, 4, DType::kF32);
}

Result<ir::ValueId> TransposeIf(ImportContext& c, bool wanted, ir::ValueId matrix) {
  if (!wanted) return matrix;
  return c.Emit("Transpose", {matrix}, {{"perm", std::vector<int64_t>{1, 0}}});
}

// A, a_scale, a_zero, B, b_scale, b_zero, C (i32, in units of alpha a_scale b_scale), y_scale,
// y_zero. Without y_scale the result is real.
Status ImportGemm(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(3) || c.rank(0) != 2 || c.rank(3) != 2)
    return c.Error("a and b should be matrices");
  FUSEE_TRY(const int64_t trans_a, c.Int("transA", 0));
  FUSEE_TRY(const int64_t trans_b, c.Int("transB", 0));
  FUSEE_TRY(const double alpha, c.Float("alpha", 1));
  const int column_axis = trans_b != 0 ? 0 : 1;
  FUSEE_TRY(ir::ValueId a, Centred(c, 0, 2, -1, DType::kI32));
  FUSEE_TRY(ir::ValueId b, Centred(c, 3, 5, column_axis, DType::kI32));
  FUSEE_TRY(a, TransposeIf(c, trans_a != 0, a));
  FUSEE_TRY(b, TransposeIf(c, trans_b != 0, b));
  FUSEE_TRY(ir::ValueId acc, c.Emit("MatMul", {a, b}));
  if (c.has_input(6)) {
    const ir::SymShape product = c.graph().value(acc).info.shape;
    FUSEE_TRY(acc, c.Emit("Add", {acc, c.input(6)}));
    if (c.graph().value(acc).info.shape.size() != 2) return c.Error("c should be at most 2-D");
    for (size_t i = 0; i < 2; ++i) {
      FUSEE_TRY(c.RequireEqual(c.graph().value(acc).info.shape[i], product[i],
                               "the sum with c and the product"));
    }
  }
  FUSEE_TRY(const ir::ValueId a_scale, OneScale(c, 1));
  if (!c.has_input(4) || c.rank(4) > 1 || !IsFloat(c.info(4).dtype))
    return c.Error("the scale of b should be one number, or one per column");
  if (c.rank(4) == 1 && !(c.info(4).shape[0] == ir::Dim(1))) {
    FUSEE_TRY(c.RequireEqual(c.info(4).shape[0], c.info(3).shape[static_cast<size_t>(column_axis)],
                             "the scale of b and its columns"));
  }
  FUSEE_TRY(const ir::ValueId b_scale, CastTo(c, c.input(4), DType::kF32));
  FUSEE_TRY(ir::ValueId joined, JoinScales(c, a_scale, b_scale));
  if (alpha != 1) {
    FUSEE_TRY(joined, c.Emit("Mul", {joined, c.Scalar(DType::kF32, alpha)}));
  }
  if (!c.has_input(7)) return FinishReal(c, acc, joined, c.input_count(), DType::kF32);
  FUSEE_TRY(const ir::ValueId y_scale, OneScale(c, 7));
  FUSEE_TRY(joined, c.Emit("Div", {joined, y_scale}));
  FUSEE_TRY(const ir::ValueId real, ScaleInteger(c, acc, joined, 1));
  return QuantizeUnscaled(c, real, 8, TypeOf(c, 0));
}

OpDef Contrib(std::string_view name, Status (*import)(ImportContext&)) {
  return {.name = name,
          .imports = {{.onnx_op = name, .import = import, .domain = "com.microsoft"}}};
}

}  // namespace

OpDef DefineQLinearAdd() { return Contrib("QLinearAdd", ImportAdd); }
OpDef DefineQLinearMul() { return Contrib("QLinearMul", ImportMul); }
OpDef DefineQLinearConcat() { return Contrib("QLinearConcat", ImportConcat); }
OpDef DefineQLinearSigmoid() { return Contrib("QLinearSigmoid", ImportSigmoid); }
OpDef DefineQLinearLeakyRelu() { return Contrib("QLinearLeakyRelu", ImportLeakyRelu); }
OpDef DefineQLinearAveragePool() { return Contrib("QLinearAveragePool", ImportAverage); }
OpDef DefineQLinearGlobalAveragePool() {
  return Contrib("QLinearGlobalAveragePool", ImportGlobalAverage);
}
OpDef DefineQGemm() { return Contrib("QGemm", ImportGemm); }
OpDef DefineDynamicQuantizeMatMul() {
  return Contrib("DynamicQuantizeMatMul", ImportDynamicMatMul);
}
OpDef DefineMatMulIntegerToFloat() { return Contrib("MatMulIntegerToFloat", ImportIntegerToFloat); }

}  // namespace fusee::ops
