// What import rules share that compute on quantised codes: codes less their zero points, products
// in integers, and the way back.
//
// A parameter (scale or zero point) is one number, or one for each position of an axis of its
// tensor, or lies over the tensor by broadcasting. Here all three become values that broadcast
// against the tensor.
#pragma once

#include "ops/import_context.h"

namespace fusee::ops {

Result<ir::ValueId> CastTo(ImportContext& c, ir::ValueId value, DType to);

// Operand i as a scalar. Errors: kInvalidArgument when it has not exactly one element.
Result<ir::ValueId> OneNumber(ImportContext& c, size_t i, std::string_view name);

// Operand i, a parameter of a tensor of `shape`. axis: where a 1-D one lies; below 0: nowhere,
// exactly one number is allowed. Errors: kInvalidArgument when it has no place over the shape.
Result<ir::ValueId> Parameter(ImportContext& c, size_t i, std::string_view name,
                              const ir::SymShape& shape, int axis);

// Operand `codes` (u8 or i8) less operand `zero` (of the same type; may be absent), in type `to`.
Result<ir::ValueId> Centred(ImportContext& c, size_t codes, size_t zero, int axis, DType to);

// Operands a, a_zero, b, b_zero of a MatMul: the product of what Centred gives, exact in i32. A 1-D
// zero point of a is per row, of b per column.
struct IntegerProduct {
  size_t a = 0, a_zero = 0, b = 0, b_zero = 0;
};
Result<ir::ValueId> EmitIntegerProduct(ImportContext& c, const IntegerProduct& operands);

// Operand i, the scale of a (rows) or b (columns) of a MatMul, in f32, to broadcast against the
// product.
Result<ir::ValueId> RowScale(ImportContext& c, size_t i, size_t tensor);
Result<ir::ValueId> ColumnScale(ImportContext& c, size_t i, size_t tensor);

// The last axis of a product.
int ColumnsOf(ImportContext& c, ir::ValueId product);

// acc (i32) * scale (f32) in f32. scale: one number; one for each position of `axis`; or broadcast.
// Spelled as DequantizeLinear where it can be, since conversion to 16 bits leaves that whole: acc
// may be far beyond what f16 holds.
Result<ir::ValueId> ScaleInteger(ImportContext& c, ir::ValueId acc, ir::ValueId scale, int axis);

// value rounded to the nearest integer (ties to even) and moved by the zero point (operand `zero`,
// one number; u8 or i8; when absent: 0 of type `otherwise`), as the node's result 0.
Status QuantizeUnscaled(ImportContext& c, ir::ValueId value, size_t zero,
                        DType otherwise = DType::kU8);

// Operand `codes` as real numbers, with operands scale and zero (may be absent) of one number each:
// (code - zero) * scale, rounded once to f32.
Result<ir::ValueId> RealOf(ImportContext& c, size_t codes, size_t scale, size_t zero);
// The way back, as result 0: QuantizeUnscaled of value / scale.
Status QuantizeTo(ImportContext& c, ir::ValueId value, size_t scale, size_t zero,
                  DType otherwise = DType::kU8);

}  // namespace fusee::ops
