#include "ops/quant/quantize.h"

#include <fmt/format.h>

namespace fusee::ops {

Result<QuantParams> ReadQuant(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 3}));
  QuantParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const int64_t axis, spec.attrs->Int("axis", 0));
  FUSEE_TRY(params.block, spec.attrs->Int("block_size", 0));
  // A scalar has no axis, and needs none.
  if (params.rank > 0) {
    FUSEE_TRY(params.axis, StepAxis(spec, axis, params.rank));
  }
  if (params.block < 0) return BadStep(spec, "block_size is negative");
  return params;
}

Result<QuantizeParams> ReadQuantize(const StepSpec& spec) {
  QuantizeParams params;
  FUSEE_TRY(params.quant, ReadQuant(spec));
  FUSEE_TRY(const int64_t precision, spec.attrs->Int("precision", 1));
  params.precision = DTypeFromOnnx(static_cast<int32_t>(precision)).value_or(DType::kInvalid);
  const DType x = spec.inputs[0].dtype;
  if (!IsScale(spec.inputs[1].dtype) || !IsRealScale(params.precision) ||
      (!IsRealScale(x) && x != DType::kI32)) {
    return BadStep(spec, "takes f32, f16 or bf16, i32 to quantise and f8e8m0 to scale");
  }
  FUSEE_TRY(const int64_t saturate, spec.attrs->Int("saturate", 1));
  params.saturate = saturate != 0;
  const TensorSpec& y = spec.outputs[0];
  if (spec.has_input(2))
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[2], y, "zero point and result"));
  if (!IsQuantised(y.dtype)) return BadStep(spec, fmt::format("quantises to {}", kQuantisedNames));
  params.integer = !IsNarrowFloat(y.dtype);
  if (params.integer) {
    const int bits = PackedBitsPerElement(y.dtype);
    const bool is_signed = IsSignedInt(y.dtype) || y.dtype == DType::kI4 || y.dtype == DType::kI2;
    params.low = is_signed ? -static_cast<double>(1 << (bits - 1)) : 0;
    params.high = params.low + static_cast<double>((1 << bits) - 1);
  }
  return params;
}

Result<QuantParams> ReadDequantize(const StepSpec& spec) {
  FUSEE_TRY(const QuantParams params, ReadQuant(spec));
  const DType x = spec.inputs[0].dtype;
  if (!IsQuantised(x) && x != DType::kI32) {
    return BadStep(spec, fmt::format("dequantises i32, {}", kQuantisedNames));
  }
  if (!IsScale(spec.inputs[1].dtype) || !IsRealScale(spec.outputs[0].dtype)) {
    return BadStep(spec, "scale and result should be f32, f16 or bf16, or the scale f8e8m0");
  }
  if (spec.has_input(2)) {
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[2], spec.inputs[0], "zero point and operand"));
  }
  return params;
}

Status CheckQuant(std::string_view op, const QuantParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const Shape& scale = args.inputs[1].shape;
  if (in.rank() != params.rank)
    return InvalidArgument(std::string(op) + ": the operand has another rank");
  FUSEE_TRY(ExpectShape(op, "result", in, args.outputs[0].shape));
  if (args.has_input(2)) FUSEE_TRY(ExpectShape(op, "zero point", scale, args.inputs[2].shape));
  if (params.block > 0) {
    if (params.rank == 0) return InvalidArgument(std::string(op) + ": a scalar cannot be blocked");
    Shape want = in;
    // Without adding first: a hostile block size must not overflow.
    want[params.axis] = in[params.axis] / params.block + (in[params.axis] % params.block != 0);
    return ExpectShape(op, "scale", want, scale);
  }
  if (scale.rank() <= 1 && scale.elements() == 1) return OkStatus();
  if (params.rank == 0) return ExpectShape(op, "scale", Shape{}, scale);
  return ExpectShape(op, "scale", Shape{in[params.axis]}, scale);
}

QuantRows::QuantRows(const QuantParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  elements_ = in.elements();
  if (elements_ == 0) return;
  const bool one = params.block == 0 && args.inputs[1].shape.elements() == 1;
  if (one || params.rank == 0) {
    length_ = kElementsPerTask;
    count_ = (elements_ + length_ - 1) / length_;
    return;
  }
  const int64_t outer = in.elements(0, params.axis);
  size_ = in[params.axis];
  inner_ = in.elements(params.axis + 1, params.rank);
  if (params.block == 0) {
    kind_ = inner_ == 1 ? Kind::kAxisLast : Kind::kAxisInner;
    count_ = inner_ == 1 ? outer : outer * size_;
    length_ = inner_ == 1 ? size_ : inner_;
    return;
  }
  block_ = params.block < size_ ? params.block : size_;
  blocks_ = (size_ + block_ - 1) / block_;
  kind_ = inner_ == 1 ? Kind::kBlockLast : Kind::kBlockInner;
  count_ = inner_ == 1 ? outer * blocks_ : outer * size_;
  length_ = inner_ == 1 ? block_ : inner_;
}

QuantRow QuantRows::row(int64_t i) const {
  switch (kind_) {
    case Kind::kOne: {
      const int64_t begin = i * length_;
      return {begin, elements_ - begin < length_ ? elements_ - begin : length_, 0, 0};
    }
    case Kind::kAxisLast: return {i * length_, length_, 0, 1};
    case Kind::kAxisInner: return {i * length_, length_, i % size_, 0};
    case Kind::kBlockLast: {
      const int64_t o = i / blocks_, b = i % blocks_;
      const int64_t left = size_ - b * block_;
      return {o * size_ + b * block_, left < block_ ? left : block_, i, 0};
    }
    case Kind::kBlockInner: {
      const int64_t o = i / size_, c = i % size_;
      return {i * inner_, inner_, (o * blocks_ + c / block_) * inner_, 1};
    }
  }
  return {};
}

}  // namespace fusee::ops
