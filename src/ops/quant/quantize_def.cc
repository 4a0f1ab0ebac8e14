// QuantizeLinear and DequantizeLinear. Operands: tensor, scale, optional zero point. Attributes:
// axis (normalised; 0 per tensor), block_size (0: not blocked), dtype (the result's type, as its
// number), and for QuantizeLinear precision (the type that the division rounds to) and, to float8
// only, saturate.
#include <fmt/format.h>

#include "ops/op_def.h"
#include "ops/quant/quantised_types.h"

namespace fusee::ops {
namespace {

Result<DType> ReadDType(InferContext& context, std::string_view name) {
  FUSEE_TRY(const int64_t number, context.attrs().Int(name, 0));
  return DTypeFromOnnx(static_cast<int32_t>(number)).value_or(DType::kInvalid);
}

// Scale and zero point against the tensor; see QuantParams for the three arrangements.
Status CheckScale(InferContext& context) {
  const ir::SymShape& shape = context.shape(0);
  const ir::SymShape& scale = context.shape(1);
  FUSEE_TRY(const int64_t axis, context.attrs().Int("axis", 0));
  FUSEE_TRY(const int64_t block, context.attrs().Int("block_size", 0));
  if (!IsScale(context.dtype(1))) {
    return context.Refuse(fmt::format("a scale of type {}", DTypeName(context.dtype(1))));
  }
  if (context.has_input(2)) {
    if (context.shape(2).size() != scale.size())
      return context.Error("scale and zero point differ in rank");
    for (size_t i = 0; i < scale.size(); ++i) {
      FUSEE_TRY(
          context.RequireEqual(scale[i], context.shape(2)[i], "shapes of scale and zero point"));
    }
  }
  const bool one = scale.size() <= 1 && ir::ElementCount(scale) == ir::Dim(1);
  if (block == 0 && one) return OkStatus();
  FUSEE_TRY(const int a, context.Axis(axis, context.rank(0)));
  ir::SymShape want = {shape[static_cast<size_t>(a)]};
  if (block > 0) {
    want = shape;
    want[static_cast<size_t>(a)] = CeilDiv(shape[static_cast<size_t>(a)], block);
  }
  if (scale.size() != want.size()) {
    return context.Error(fmt::format("the scale is {}, expected one element or {}",
                                     ir::ToString(scale), ir::ToString(want)));
  }
  for (size_t i = 0; i < want.size(); ++i) {
    FUSEE_TRY(context.RequireEqual(scale[i], want[i], "the scale's shape and the tensor's axis"));
  }
  return OkStatus();
}

Status InferQuantize(InferContext& context) {
  FUSEE_TRY(CheckScale(context));
  FUSEE_TRY(const DType result, ReadDType(context, "dtype"));
  const DType x = context.dtype(0);
  if (!IsRealScale(x) && x != DType::kI32) {
    return context.Error(fmt::format("quantises f32, f16, bf16 or i32, got {}", DTypeName(x)));
  }
  if (!IsQuantised(result)) {
    return context.Error(
        fmt::format("quantises to {}, got {}", kQuantisedNames, DTypeName(result)));
  }
  if (context.has_input(2) && context.dtype(2) != result) {
    return context.Error("the zero point should have the result's type");
  }
  context.SetOutput(0, result, context.shape(0));
  return OkStatus();
}

Status InferDequantize(InferContext& context) {
  FUSEE_TRY(CheckScale(context));
  FUSEE_TRY(const DType result, ReadDType(context, "dtype"));
  const DType x = context.dtype(0);
  if (!IsQuantised(x) && x != DType::kI32) {
    return context.Error(fmt::format("dequantises i32, {}, got {}", kQuantisedNames, DTypeName(x)));
  }
  if (!IsRealScale(result)) {
    return context.Error(fmt::format("dequantises to f32, f16 or bf16, got {}; set output_dtype",
                                     DTypeName(result)));
  }
  if (context.has_input(2) && context.dtype(2) != x) {
    return context.Error("the zero point should have the operand's type");
  }
  context.SetOutput(0, result, context.shape(0));
  return OkStatus();
}

// A type named by an attribute; refused by name when Fusee has no tensors of it.
Result<DType> TypeAttr(ImportContext& context, std::string_view name, DType fallback) {
  FUSEE_TRY(const int64_t number, context.Int(name, 0));
  if (number == 0) return fallback;
  const auto type = DTypeFromOnnx(static_cast<int32_t>(number));
  if (type) return *type;
  return context.Refuse(fmt::format("{} is {}, which is not supported", name,
                                    OnnxTypeName(static_cast<int32_t>(number))));
}

Status Emit(ImportContext& context, Attrs attrs) {
  FUSEE_TRY(int64_t axis, context.Int("axis", 1));
  FUSEE_TRY(const int64_t block, context.Int("block_size", 0));
  if (!context.has_input(0) || !context.has_input(1))
    return context.Error("needs a tensor and a scale");
  if (block < 0) return context.Error("block_size is negative");
  const ir::SymShape& scale = context.info(1).shape;
  const bool one = scale.size() <= 1 && ir::ElementCount(scale) == ir::Dim(1);
  if (one && block == 0) {
    axis = 0;
  } else {
    FUSEE_TRY(axis, context.Axis(axis, context.rank(0)));
  }
  attrs.Set("axis", axis);
  attrs.Set("block_size", block);
  std::vector<ir::ValueId> inputs(context.inputs().begin(), context.inputs().end());
  // One number is one number, as a scalar or as a vector of one element.
  if (one && context.has_input(2) && context.info(2).shape.size() != scale.size() &&
      ir::ElementCount(context.info(2).shape) == ir::Dim(1)) {
    FUSEE_TRY(inputs[2], context.Emit("Reshape", {inputs[2]}, {}, scale));
  }
  return context.EmitAs(context.node().op_type, std::move(inputs), std::move(attrs), {});
}

Status ImportQuantize(ImportContext& context) {
  if (!context.has_input(1)) return context.Error("needs a tensor and a scale");
  FUSEE_TRY(const int64_t saturate, context.Int("saturate", 1));
  const DType implied = context.has_input(2) ? context.info(2).dtype : DType::kU8;
  FUSEE_TRY(const DType result, TypeAttr(context, "output_dtype", implied));
  // Dividing by a power of two is exact, so that its own type, which no quotient fits, cannot be
  // meant.
  const DType scale = context.info(1).dtype;
  FUSEE_TRY(const DType precision,
            TypeAttr(context, "precision", scale == DType::kF8E8M0 ? DType::kF32 : scale));
  if (!IsRealScale(precision)) {
    return context.Refuse(fmt::format("a division in {}", DTypeName(precision)));
  }
  Attrs attrs = {{"dtype", int64_t{static_cast<uint8_t>(result)}},
                 {"precision", int64_t{static_cast<uint8_t>(precision)}}};
  if (IsFloat8(result)) attrs.Set("saturate", int64_t{saturate != 0});
  return Emit(context, std::move(attrs));
}

Status ImportDequantize(ImportContext& context) {
  if (!context.has_input(1)) return context.Error("needs a tensor and a scale");
  FUSEE_TRY(const DType result, TypeAttr(context, "output_dtype", context.info(1).dtype));
  return Emit(context, {{"dtype", int64_t{static_cast<uint8_t>(result)}}});
}

}  // namespace

OpDef DefineQuantizeLinear() {
  return {.name = "QuantizeLinear",
          .infer = InferQuantize,
          .imports = {{"QuantizeLinear", 10, 1 << 20, ImportQuantize}},
          .narrow = true};
}

OpDef DefineDequantizeLinear() {
  return {.name = "DequantizeLinear",
          .infer = InferDequantize,
          .imports = {{"DequantizeLinear", 10, 1 << 20, ImportDequantize}},
          .narrow = true};
}

}  // namespace fusee::ops
