// QuantizeLinear: y = saturate(round_half_even(x / scale) + zero_point); DequantizeLinear:
// y = (x - zero_point) * scale. One element at a time, types read at run time.
//
// The quotient is rounded to the `precision` type before it is rounded to an integer, as the
// standard says; a quotient that is not a number becomes the lowest value. To a narrow float the
// sum is rounded, not the quotient, with a Cast's rules for what lies out of range. The product is
// rounded once.
#include <cmath>

#include "ops/quant/quantize.h"
#include "tensor/narrow.h"

namespace fusee::ops {
namespace {

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

Status CheckQuantize(const QuantizeParams& params, const RunArgs& args) {
  return CheckQuant("QuantizeLinear", params.quant, args);
}

Status RunQuantize(const QuantizeParams& params, const RunArgs& args) {
  const bool has_zero = args.has_input(2);
  ForEachElement(params.quant, args, [&](int64_t i, int64_t s) {
    const double scale = DoubleAt(args.inputs[1], s);
    const double quotient = Divide(DoubleAt(args.inputs[0], i), scale, params.precision);
    if (!params.integer) {
      // Adding no zero keeps the sign of -0.
      const double zero = has_zero ? DoubleAt(args.inputs[2], s) : 0;
      static_cast<uint8_t*>(args.outputs[0].data)[i] =
          DoubleToNarrow(args.outputs[0].dtype, zero != 0 ? quotient + zero : quotient,
                         {.saturate = params.saturate});
      return;
    }
    double y = std::nearbyint(quotient);
    if (has_zero) y += static_cast<double>(IntAt(args.inputs[2], s));
    y = y > params.low ? y : params.low;
    y = y < params.high ? y : params.high;
    StoreInt(args.outputs[0], i, static_cast<int64_t>(y));
  });
  return OkStatus();
}

Status CheckDequantize(const QuantParams& params, const RunArgs& args) {
  return CheckQuant("DequantizeLinear", params, args);
}

Status RunDequantize(const QuantParams& params, const RunArgs& args) {
  const bool has_zero = args.has_input(2);
  ForEachElement(params, args, [&](int64_t i, int64_t s) {
    // Of i32 too, exact in double.
    const double zero = has_zero ? DoubleAt(args.inputs[2], s) : 0;
    const auto difference = static_cast<float>(DoubleAt(args.inputs[0], i) - zero);
    StoreDouble(args.outputs[0], i, static_cast<double>(difference) * DoubleAt(args.inputs[1], s));
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> BindQuantize(const StepSpec& spec) {
  FUSEE_TRY(const QuantizeParams params, ReadQuantize(spec));
  return MakeKernel(params, CheckQuantize, RunQuantize);
}

Result<std::unique_ptr<BoundKernel>> BindDequantize(const StepSpec& spec) {
  FUSEE_TRY(const QuantParams params, ReadDequantize(spec));
  return MakeKernel(params, CheckDequantize, RunDequantize);
}

}  // namespace

extern const KernelDef quantize_linear_ref = {.id = "quantize_linear_ref.1",
                                              .op = "QuantizeLinear",
                                              .reference = true,
                                              .bind = {BindQuantize, kNarrowToo}};
extern const KernelDef dequantize_linear_ref = {.id = "dequantize_linear_ref.1",
                                                .op = "DequantizeLinear",
                                                .reference = true,
                                                .bind = {BindDequantize, kNarrowToo}};

}  // namespace fusee::ops
