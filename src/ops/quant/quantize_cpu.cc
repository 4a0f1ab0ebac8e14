// QuantizeLinear f32 -> u8, i8 and DequantizeLinear u8, i8, i32 -> f32 with f32 scales: whole rows
// whose scales step alike, in loops that vectorise. The same bits as the reference. Traffic: 5
// bytes an element (8 from i32); memory bound.
#include <cmath>
#include <limits>

#include "ops/quant/quantize.h"

namespace fusee::ops {
namespace {

template <typename Each>
void ForEachRow(const QuantParams& params, const RunArgs& args, Each&& each) {
  const QuantRows rows(params, args);
  const int64_t grain = rows.length() > 0 ? kElementsPerTask / rows.length() : 1;
  ParallelBlocks(args.parallel, rows.count(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) each(rows.row(r));
  });
}

template <typename Y>
Y QuantizeOne(float x, float scale, float zero) {
  constexpr auto kLow = static_cast<float>(std::numeric_limits<Y>::min());
  constexpr auto kHigh = static_cast<float>(std::numeric_limits<Y>::max());
  // Beyond 2^24 the sum loses bits, but there the result saturates anyway.
  float y = std::nearbyint(x / scale) + zero;
  y = y > kLow ? y : kLow;
  y = y < kHigh ? y : kHigh;
  return static_cast<Y>(static_cast<int32_t>(y));
}

Status CheckQuantize(const QuantParams& params, const RunArgs& args) {
  return CheckQuant("QuantizeLinear", params, args);
}

template <typename Y>
Status RunQuantize(const QuantParams& params, const RunArgs& args) {
  const float* scales = args.inputs[1].as<float>();
  const Y* zeros = args.has_input(2) ? args.inputs[2].as<Y>() : nullptr;
  ForEachRow(params, args, [&](const QuantRow& row) {
    const float* x = args.inputs[0].as<float>() + row.begin;
    Y* y = args.outputs[0].as<Y>() + row.begin;
    const float* s = scales + row.scale;
    const Y* z = zeros != nullptr ? zeros + row.scale : nullptr;
    if (row.scale_stride == 0) {
      const float scale = *s, zero = z != nullptr ? static_cast<float>(*z) : 0;
      for (int64_t i = 0; i < row.length; ++i) y[i] = QuantizeOne<Y>(x[i], scale, zero);
    } else if (z != nullptr) {
      for (int64_t i = 0; i < row.length; ++i)
        y[i] = QuantizeOne<Y>(x[i], s[i], static_cast<float>(z[i]));
    } else {
      for (int64_t i = 0; i < row.length; ++i) y[i] = QuantizeOne<Y>(x[i], s[i], 0);
    }
  });
  return OkStatus();
}

Status CheckDequantize(const QuantParams& params, const RunArgs& args) {
  return CheckQuant("DequantizeLinear", params, args);
}

template <typename X>
float Difference(X x, X zero) {
  using Wide = std::conditional_t<sizeof(X) == 4, int64_t, int32_t>;
  return static_cast<float>(static_cast<Wide>(x) - static_cast<Wide>(zero));
}

template <typename X>
Status RunDequantize(const QuantParams& params, const RunArgs& args) {
  const float* scales = args.inputs[1].as<float>();
  const X* zeros = args.has_input(2) ? args.inputs[2].as<X>() : nullptr;
  ForEachRow(params, args, [&](const QuantRow& row) {
    const X* x = args.inputs[0].as<X>() + row.begin;
    float* y = args.outputs[0].as<float>() + row.begin;
    const float* s = scales + row.scale;
    const X* z = zeros != nullptr ? zeros + row.scale : nullptr;
    if (row.scale_stride == 0) {
      const float scale = *s;
      const X zero = z != nullptr ? *z : X{0};
      for (int64_t i = 0; i < row.length; ++i) y[i] = Difference(x[i], zero) * scale;
    } else if (z != nullptr) {
      for (int64_t i = 0; i < row.length; ++i) y[i] = Difference(x[i], z[i]) * s[i];
    } else {
      for (int64_t i = 0; i < row.length; ++i) y[i] = Difference(x[i], X{0}) * s[i];
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> BindQuantize(const StepSpec& spec) {
  FUSEE_TRY(const QuantParams params, ReadQuant(spec));
  FUSEE_TRY(const int64_t precision, spec.attrs->Int("precision", 1));
  const DType y = spec.outputs[0].dtype;
  if (spec.inputs[0].dtype != DType::kF32 || spec.inputs[1].dtype != DType::kF32 ||
      precision != static_cast<int64_t>(DType::kF32) || (y != DType::kU8 && y != DType::kI8)) {
    return RefuseTactic(spec, "takes f32 to u8 or i8 only");
  }
  if (spec.has_input(2)) {
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[2], spec.outputs[0], "zero point and result"));
  }
  return MakeKernel(params, CheckQuantize,
                    y == DType::kU8 ? RunQuantize<uint8_t> : RunQuantize<int8_t>);
}

Result<std::unique_ptr<BoundKernel>> BindDequantize(const StepSpec& spec) {
  FUSEE_TRY(const QuantParams params, ReadQuant(spec));
  const DType x = spec.inputs[0].dtype;
  if (spec.outputs[0].dtype != DType::kF32 || spec.inputs[1].dtype != DType::kF32) {
    return RefuseTactic(spec, "gives f32 with f32 scales only");
  }
  if (spec.has_input(2)) {
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[2], spec.inputs[0], "zero point and operand"));
  }
  if (x == DType::kU8) return MakeKernel(params, CheckDequantize, RunDequantize<uint8_t>);
  if (x == DType::kI8) return MakeKernel(params, CheckDequantize, RunDequantize<int8_t>);
  if (x == DType::kI32) return MakeKernel(params, CheckDequantize, RunDequantize<int32_t>);
  return RefuseTactic(spec, "takes u8, i8 or i32 only");
}

}  // namespace

extern const KernelDef quantize_linear_cpu = {
    .id = "quantize_linear_f32_cpu.1", .op = "QuantizeLinear", .bind = BindQuantize};
extern const KernelDef dequantize_linear_cpu = {
    .id = "dequantize_linear_f32_cpu.1", .op = "DequantizeLinear", .bind = BindDequantize};

}  // namespace fusee::ops
