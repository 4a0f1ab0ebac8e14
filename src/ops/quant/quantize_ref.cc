// QuantizeLinear: y = saturate(round_half_even(x / scale) + zero_point); DequantizeLinear:
// y = (x - zero_point) * scale. One element at a time, types read at run time.
//
// The quotient is rounded to the `precision` type before it is rounded to an integer, as the
// standard says; a quotient that is not a number becomes the lowest value. The product is rounded
// once.
#include <cmath>

#include "ops/quant/quantize.h"

namespace fusee::ops {
namespace {

struct Params {
  QuantParams quant;
  DType precision = DType::kF32;
  double low = 0, high = 0;
};

double Divide(double x, double scale, DType precision) {
  if (precision == DType::kF16) return static_cast<float>(HalfFromDouble(x / scale));
  if (precision == DType::kBF16) return static_cast<float>(BFloat16FromDouble(x / scale));
  return static_cast<float>(x) / static_cast<float>(scale);
}

template <typename Each>
void ForEachElement(const QuantParams& quant, const RunArgs& args, Each&& each) {
  const QuantRows rows(quant, args);
  const int64_t grain = rows.length() > 0 ? kElementsPerTask / rows.length() : 1;
  ParallelBlocks(args.parallel, rows.count(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const QuantRow row = rows.row(r);
      for (int64_t i = 0; i < row.length; ++i)
        each(row.begin + i, row.scale + i * row.scale_stride);
    }
  });
}

Status CheckQuantize(const Params& params, const RunArgs& args) {
  return CheckQuant("QuantizeLinear", params.quant, args);
}

Status RunQuantize(const Params& params, const RunArgs& args) {
  const bool has_zero = args.has_input(2);
  ForEachElement(params.quant, args, [&](int64_t i, int64_t s) {
    const double scale = DoubleAt(args.inputs[1], s);
    const double quotient = Divide(DoubleAt(args.inputs[0], i), scale, params.precision);
    double y = std::nearbyint(quotient);
    if (has_zero) y += static_cast<double>(IntAt(args.inputs[2], s));
    y = y > params.low ? y : params.low;
    y = y < params.high ? y : params.high;
    StoreInt(args.outputs[0], i, static_cast<int64_t>(y));
  });
  return OkStatus();
}

Status CheckDequantize(const Params& params, const RunArgs& args) {
  return CheckQuant("DequantizeLinear", params.quant, args);
}

Status RunDequantize(const Params& params, const RunArgs& args) {
  const bool has_zero = args.has_input(2);
  ForEachElement(params.quant, args, [&](int64_t i, int64_t s) {
    const int64_t zero = has_zero ? IntAt(args.inputs[2], s) : 0;
    const auto difference = static_cast<float>(IntAt(args.inputs[0], i) - zero);
    StoreDouble(args.outputs[0], i, static_cast<double>(difference) * DoubleAt(args.inputs[1], s));
  });
  return OkStatus();
}

bool IsScale(DType d) { return d == DType::kF32 || d == DType::kF16 || d == DType::kBF16; }

Result<std::unique_ptr<BoundKernel>> BindQuantize(const StepSpec& spec) {
  Params params;
  FUSEE_TRY(params.quant, ReadQuant(spec));
  FUSEE_TRY(const int64_t precision, spec.attrs->Int("precision", 1));
  params.precision = DTypeFromOnnx(static_cast<int32_t>(precision)).value_or(DType::kInvalid);
  const DType x = spec.inputs[0].dtype;
  if (!IsScale(spec.inputs[1].dtype) || !IsScale(params.precision) ||
      (!IsScale(x) && x != DType::kI32)) {
    return BadStep(spec, "takes f32, f16 or bf16, and i32 to quantise");
  }
  const TensorSpec& y = spec.outputs[0];
  if (spec.has_input(2))
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[2], y, "zero point and result"));
  const auto range = [&](double low, double high) { params.low = low, params.high = high; };
  if (y.dtype == DType::kU8)
    range(0, 255);
  else if (y.dtype == DType::kI8)
    range(-128, 127);
  else if (y.dtype == DType::kU16)
    range(0, 65535);
  else if (y.dtype == DType::kI16)
    range(-32768, 32767);
  else
    return BadStep(spec, "quantises to u8, i8, u16 or i16");
  return MakeKernel(params, CheckQuantize, RunQuantize);
}

Result<std::unique_ptr<BoundKernel>> BindDequantize(const StepSpec& spec) {
  Params params;
  FUSEE_TRY(params.quant, ReadQuant(spec));
  const DType x = spec.inputs[0].dtype;
  if (x != DType::kU8 && x != DType::kI8 && x != DType::kU16 && x != DType::kI16 &&
      x != DType::kI32) {
    return BadStep(spec, "dequantises u8, i8, u16, i16 or i32");
  }
  if (!IsScale(spec.inputs[1].dtype) || !IsScale(spec.outputs[0].dtype)) {
    return BadStep(spec, "scale and result should be f32, f16 or bf16");
  }
  if (spec.has_input(2)) {
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[2], spec.inputs[0], "zero point and operand"));
  }
  return MakeKernel(params, CheckDequantize, RunDequantize);
}

}  // namespace

extern const KernelDef quantize_linear_ref = {
    .id = "quantize_linear_ref.1", .op = "QuantizeLinear", .reference = true, .bind = BindQuantize};
extern const KernelDef dequantize_linear_ref = {.id = "dequantize_linear_ref.1",
                                                .op = "DequantizeLinear",
                                                .reference = true,
                                                .bind = BindDequantize};

}  // namespace fusee::ops
