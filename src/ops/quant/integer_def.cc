// MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv, spelled with others:
//
//   acc  = MatMul(a - a_zero, b - b_zero)                  in i32: exact, and wraps as the type
//   does acc  = Conv(x - x_zero, w - w_zero) + bias             in f64: exact below 2^53 y    =
//   saturate(round(acc * (a_scale b_scale / y_scale)) + y_zero)
//
// A convolution's padding is 0 after the zero point is taken off, so x_zero before, which is what
// the standard pads with. The three scales are joined first, in f32, and multiply once: the
// standard says no order, and this is the one that kernels in the field use.
#include "ops/quant/integer_def.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/nn/window_def.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

const ir::SymShape& ShapeOfValue(ImportContext& c, ir::ValueId value) {
  return c.graph().value(value).info.shape;
}

bool IsOne(const ir::SymShape& shape) {
  return std::ranges::all_of(shape, [](const ir::Dim& d) { return d == ir::Dim(1); });
}

bool IsZero(ImportContext& c, ir::ValueId value) {
  const Tensor& constant = c.graph().value(value).constant;
  for (int64_t i = 0; i < constant.elements() && constant.present(); ++i)
    if (IntAt(constant.view(), i) != 0) return false;
  return constant.present();
}

Status Need(ImportContext& c, size_t i, std::string_view name) {
  if (c.has_input(i)) return OkStatus();
  return c.Error(fmt::format("operand {} ({}) is missing", i, name));
}

bool IsCode(DType d) { return d == DType::kU8 || d == DType::kI8; }

}  // namespace

Result<ir::ValueId> CastTo(ImportContext& c, ir::ValueId value, DType to) {
  if (c.graph().value(value).info.dtype == to) return value;
  return c.Emit("Cast", {value}, {{"to", static_cast<int64_t>(to)}});
}

Result<ir::ValueId> OneNumber(ImportContext& c, size_t i, std::string_view name) {
  return Parameter(c, i, name, {}, -1);
}

Result<ir::ValueId> Parameter(ImportContext& c, size_t i, std::string_view name,
                              const ir::SymShape& shape, int axis) {
  FUSEE_TRY(Need(c, i, name));
  const ir::SymShape own = c.info(i).shape;
  if (own.empty()) return c.input(i);
  if (IsOne(own)) return c.Emit("Reshape", {c.input(i)});
  if (own.size() == 1 && axis >= 0) {
    const auto a = static_cast<size_t>(axis);
    FUSEE_TRY(c.RequireEqual(own[0], shape[a], fmt::format("{} and its tensor's axis", name)));
    ir::SymShape spread(shape.size() - a, 1);
    spread[0] = own[0];
    if (spread.size() == 1) return c.input(i);
    return c.Emit("Reshape", {c.input(i)}, {}, std::move(spread));
  }
  if (axis < 0 || own.size() != shape.size()) {
    return c.Error(fmt::format("{} is {}, expected one number{}", name, ir::ToString(own),
                               axis < 0 ? "" : " or one for each position of an axis"));
  }
  for (size_t d = 0; d < shape.size(); ++d) {
    if (own[d] == ir::Dim(1)) continue;
    FUSEE_TRY(c.RequireEqual(own[d], shape[d], fmt::format("{} and its tensor", name)));
  }
  return c.input(i);
}

Result<ir::ValueId> Centred(ImportContext& c, size_t codes, size_t zero, int axis, DType to) {
  FUSEE_TRY(Need(c, codes, "quantised"));
  const ir::ValueInfo info = c.info(codes);
  if (!IsCode(info.dtype)) {
    return c.Refuse(
        fmt::format("operand {} is {}, expected u8 or i8", codes, DTypeName(info.dtype)));
  }
  FUSEE_TRY(const ir::ValueId wide, CastTo(c, c.input(codes), to));
  if (!c.has_input(zero)) return wide;
  if (c.info(zero).dtype != info.dtype)
    return c.Error(fmt::format("the zero point (operand {}) should have its tensor's type", zero));
  FUSEE_TRY(const ir::ValueId spread, Parameter(c, zero, "the zero point", info.shape, axis));
  if (IsZero(c, c.input(zero))) return wide;
  FUSEE_TRY(const ir::ValueId offset, CastTo(c, spread, to));
  return c.Emit("Sub", {wide, offset});
}

namespace {
// Where a 1-D parameter lies. One for each row needs rows.
int RowAxis(ImportContext& c, size_t tensor) {
  return c.rank(tensor) < 2 ? -1 : c.rank(tensor) - 2;
}
int ColumnAxis(ImportContext& c, size_t tensor) {
  return c.rank(tensor) < 2 ? -1 : c.rank(tensor) - 1;
}

// A scale is taken out of sums, so it must not vary along the axis that they run over.
Status CheckConstantAlong(ImportContext& c, size_t i, size_t tensor, int axis) {
  if (axis < 0 || c.rank(i) < 2 || c.rank(i) != c.rank(tensor)) return OkStatus();
  return c.RequireEqual(c.info(i).shape[static_cast<size_t>(axis)], 1,
                        "the scale's size along the summed axis and 1");
}

Result<ir::ValueId> Scale(ImportContext& c, size_t i, size_t tensor, int axis) {
  FUSEE_TRY(Need(c, i, "scale"));
  if (!IsFloat(c.info(i).dtype))
    return c.Error(fmt::format("the scale (operand {}) should be floating-point", i));
  FUSEE_TRY(const ir::ValueId scale, Parameter(c, i, "the scale", c.info(tensor).shape, axis));
  return CastTo(c, scale, DType::kF32);
}
}  // namespace

Result<ir::ValueId> RowScale(ImportContext& c, size_t i, size_t tensor) {
  FUSEE_TRY(const ir::ValueId scale, Scale(c, i, tensor, RowAxis(c, tensor)));
  FUSEE_TRY(CheckConstantAlong(c, i, tensor, ColumnAxis(c, tensor)));
  return scale;
}
Result<ir::ValueId> ColumnScale(ImportContext& c, size_t i, size_t tensor) {
  FUSEE_TRY(const ir::ValueId scale, Scale(c, i, tensor, ColumnAxis(c, tensor)));
  FUSEE_TRY(CheckConstantAlong(c, i, tensor, RowAxis(c, tensor)));
  return scale;
}

int ColumnsOf(ImportContext& c, ir::ValueId product) {
  return static_cast<int>(ShapeOfValue(c, product).size()) - 1;
}

Result<ir::ValueId> EmitIntegerProduct(ImportContext& c, const IntegerProduct& o) {
  FUSEE_TRY(Need(c, o.a, "a"));
  FUSEE_TRY(Need(c, o.b, "b"));
  FUSEE_TRY(const ir::ValueId a, Centred(c, o.a, o.a_zero, RowAxis(c, o.a), DType::kI32));
  FUSEE_TRY(const ir::ValueId b, Centred(c, o.b, o.b_zero, ColumnAxis(c, o.b), DType::kI32));
  return c.Emit("MatMul", {a, b});
}

namespace {
Status EmitQuantize(ImportContext& c, ir::ValueId value, ir::ValueId scale, size_t zero,
                    DType dtype) {
  std::vector<ir::ValueId> operands = {value, scale};
  if (c.has_input(zero)) {
    dtype = c.info(zero).dtype;
    FUSEE_TRY(const ir::ValueId offset, OneNumber(c, zero, "the result's zero point"));
    operands.push_back(offset);
  }
  if (!IsCode(dtype)) {
    return c.Refuse(
        fmt::format("the result's zero point is {}, expected u8 or i8", DTypeName(dtype)));
  }
  FUSEE_TRY(const ir::ValueId y, c.Emit("QuantizeLinear", std::move(operands),
                                        {{"axis", int64_t{0}},
                                         {"block_size", int64_t{0}},
                                         {"dtype", static_cast<int64_t>(dtype)},
                                         {"precision", static_cast<int64_t>(DType::kF32)}}));
  c.SetOutput(0, y);
  return OkStatus();
}
}  // namespace

Result<ir::ValueId> ScaleInteger(ImportContext& c, ir::ValueId acc, ir::ValueId scale, int axis) {
  const ir::SymShape shape = ShapeOfValue(c, scale);
  if (shape.size() <= 1) {
    return c.Emit("DequantizeLinear", {acc, scale},
                  {{"axis", int64_t{shape.empty() ? 0 : axis}},
                   {"block_size", int64_t{0}},
                   {"dtype", static_cast<int64_t>(DType::kF32)}});
  }
  FUSEE_TRY(const ir::ValueId wide, CastTo(c, acc, DType::kF64));
  FUSEE_TRY(const ir::ValueId factor, CastTo(c, scale, DType::kF64));
  FUSEE_TRY(const ir::ValueId scaled, c.Emit("Mul", {wide, factor}));
  return CastTo(c, scaled, DType::kF32);
}

Status QuantizeUnscaled(ImportContext& c, ir::ValueId value, size_t zero, DType otherwise) {
  return EmitQuantize(c, value, c.Scalar(DType::kF32, 1), zero, otherwise);
}

Result<ir::ValueId> RealOf(ImportContext& c, size_t codes, size_t scale, size_t zero) {
  FUSEE_TRY(const ir::ValueId centred, Centred(c, codes, zero, -1, DType::kF32));
  FUSEE_TRY(const ir::ValueId factor, Scale(c, scale, codes, -1));
  return c.Emit("Mul", {centred, factor});
}

Status QuantizeTo(ImportContext& c, ir::ValueId value, size_t scale, size_t zero, DType otherwise) {
  FUSEE_TRY(ir::ValueId factor, OneNumber(c, scale, "the result's scale"));
  FUSEE_TRY(factor, CastTo(c, factor, DType::kF32));
  return EmitQuantize(c, value, factor, zero, otherwise);
}

namespace {

Status ImportMatMulInteger(ImportContext& c) {
  FUSEE_TRY(const ir::ValueId y, EmitIntegerProduct(c, {.a = 0, .a_zero = 2, .b = 1, .b_zero = 3}));
  c.SetOutput(0, y);
  return OkStatus();
}

Status ImportQLinearMatMul(ImportContext& c) {
  FUSEE_TRY(const ir::ValueId acc,
            EmitIntegerProduct(c, {.a = 0, .a_zero = 2, .b = 3, .b_zero = 5}));
  FUSEE_TRY(const ir::ValueId a_scale, RowScale(c, 1, 0));
  FUSEE_TRY(const ir::ValueId b_scale, ColumnScale(c, 4, 3));
  FUSEE_TRY(ir::ValueId y_scale, OneNumber(c, 6, "the result's scale"));
  FUSEE_TRY(y_scale, CastTo(c, y_scale, DType::kF32));
  FUSEE_TRY(ir::ValueId joined, c.Emit("Mul", {a_scale, b_scale}));
  FUSEE_TRY(joined, c.Emit("Div", {joined, y_scale}));
  FUSEE_TRY(const ir::ValueId real, ScaleInteger(c, acc, joined, ColumnsOf(c, acc)));
  return QuantizeUnscaled(c, real, 7);
}

// The window's attributes as Conv has them. w: which operand is the weight.
Result<Attrs> ConvAttrs(ImportContext& c, size_t w) {
  FUSEE_TRY(Need(c, 0, "x"));
  FUSEE_TRY(Need(c, w, "w"));
  const ir::SymShape shape = c.info(w).shape;
  if (c.rank(0) < 3 || c.rank(0) > 2 + kMaxSpatial)
    return c.Refuse(fmt::format("x has rank {}; 3 to 5 are supported", c.rank(0)));
  if (c.rank(w) != c.rank(0))
    return c.Error(fmt::format("w has rank {}, x has {}", c.rank(w), c.rank(0)));
  FUSEE_TRY(std::vector<int64_t> kernel, c.Ints("kernel_shape"));
  if (kernel.empty()) {
    for (size_t i = 2; i < shape.size(); ++i) {
      if (!shape[i].is_constant())
        return c.Refuse("the kernel size must be known while building; set kernel_shape");
      kernel.push_back(shape[i].constant());
    }
  }
  if (kernel.size() + 2 != shape.size()) {
    return c.Error(
        fmt::format("kernel_shape has {} entries, expected {}", kernel.size(), shape.size() - 2));
  }
  FUSEE_TRY(Attrs attrs, ImportWindow(c, std::move(kernel), false));
  FUSEE_TRY(const int64_t group, c.Int("group", 1));
  attrs.Set("group", group);
  return attrs;
}

Status ImportConvInteger(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ConvAttrs(c, 1));
  FUSEE_TRY(const ir::ValueId x, Centred(c, 0, 2, -1, DType::kF64));
  FUSEE_TRY(const ir::ValueId w, Centred(c, 1, 3, 0, DType::kF64));
  FUSEE_TRY(const ir::ValueId acc, c.Emit("Conv", {x, w}, std::move(attrs)));
  FUSEE_TRY(const ir::ValueId y, CastTo(c, acc, DType::kI32));
  c.SetOutput(0, y);
  return OkStatus();
}

// One number, or one per output channel.
Result<ir::ValueId> ChannelScale(ImportContext& c) {
  if (!c.has_input(4) || c.rank(4) == 0 || IsOne(c.info(4).shape)) return Scale(c, 4, 3, -1);
  if (c.rank(4) != 1 || !IsFloat(c.info(4).dtype))
    return c.Error("the scale of w should be one number, or one per output channel");
  FUSEE_TRY(c.RequireEqual(c.info(4).shape[0], c.info(3).shape[0],
                           "the scale of w and its output channels"));
  return CastTo(c, c.input(4), DType::kF32);
}

Status ImportQLinearConv(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ConvAttrs(c, 3));
  FUSEE_TRY(const ir::ValueId x, Centred(c, 0, 2, -1, DType::kF64));
  FUSEE_TRY(const ir::ValueId w, Centred(c, 3, 5, 0, DType::kF64));
  std::vector<ir::ValueId> operands = {x, w};
  if (c.has_input(8)) {
    if (c.info(8).dtype != DType::kI32) return c.Error("the bias should be i32");
    FUSEE_TRY(const ir::ValueId bias, CastTo(c, c.input(8), DType::kF64));
    operands.push_back(bias);
  }
  FUSEE_TRY(const ir::ValueId acc, c.Emit("Conv", std::move(operands), std::move(attrs)));
  FUSEE_TRY(const ir::ValueId x_scale, Scale(c, 1, 0, -1));
  FUSEE_TRY(const ir::ValueId w_scale, ChannelScale(c));
  FUSEE_TRY(ir::ValueId y_scale, OneNumber(c, 6, "the result's scale"));
  FUSEE_TRY(y_scale, CastTo(c, y_scale, DType::kF32));
  FUSEE_TRY(ir::ValueId joined, c.Emit("Mul", {x_scale, w_scale}));
  FUSEE_TRY(joined, c.Emit("Div", {joined, y_scale}));
  FUSEE_TRY(const ir::ValueId whole, CastTo(c, acc, DType::kI32));
  FUSEE_TRY(const ir::ValueId real, ScaleInteger(c, whole, joined, 1));
  return QuantizeUnscaled(c, real, 7);
}

OpDef Spelled(std::string_view name, Status (*import)(ImportContext&)) {
  return {.name = name, .imports = {{name, 10, 1 << 20, import}}};
}

}  // namespace

// Opset 21 let QLinearMatMul's scales be f16 and bf16.
OpDef DefineMatMulInteger() { return Spelled("MatMulInteger", ImportMatMulInteger); }
OpDef DefineConvInteger() { return Spelled("ConvInteger", ImportConvInteger); }
OpDef DefineQLinearMatMul() { return Spelled("QLinearMatMul", ImportQLinearMatMul); }
OpDef DefineQLinearConv() { return Spelled("QLinearConv", ImportQLinearConv); }

}  // namespace fusee::ops
