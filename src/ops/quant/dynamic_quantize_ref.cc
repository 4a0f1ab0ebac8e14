// DynamicQuantizeLinear: the range of x, widened to hold 0, over 255 steps:
//   scale = (max - min) / 255, zero_point = saturate(round_half_even(-min / scale)).
// A tensor of zeros has scale 0 by that formula; its quotients are then taken as 0.
#include <algorithm>
#include <cmath>

#include "ops/quant/dynamic_quantize.h"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) { return CheckDynamicQuantize(args); }

// NaN fails both comparisons and gives 0.
uint8_t Saturate(float v) { return v >= 255 ? 255 : (v > 0 ? static_cast<uint8_t>(v) : 0); }

Status Run(const Params&, const RunArgs& args) {
  const float* x = args.inputs[0].as<float>();
  const int64_t n = args.inputs[0].elements();
  float low = 0, high = 0;
  for (int64_t i = 0; i < n; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  const float scale = (high - low) / 255;
  const auto quotient = [scale](float v) { return scale == 0 ? 0.0F : std::nearbyint(v / scale); };
  const uint8_t zero = Saturate(quotient(-low));
  uint8_t* y = args.outputs[0].as<uint8_t>();
  for (int64_t i = 0; i < n; ++i) y[i] = Saturate(quotient(x[i]) + static_cast<float>(zero));
  if (args.outputs[1].present()) *args.outputs[1].as<float>() = scale;
  if (args.outputs[2].present()) *args.outputs[2].as<uint8_t>() = zero;
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckDynamicQuantizeStep(spec));
  return MakeKernel(Params{}, Check, Run);
}

}  // namespace

extern const KernelDef dynamic_quantize_linear_ref = {.id = "dynamic_quantize_linear_ref.1",
                                                      .op = "DynamicQuantizeLinear",
                                                      .reference = true,
                                                      .bind = Bind};

}  // namespace fusee::ops
