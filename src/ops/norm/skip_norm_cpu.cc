// Fast f32 SkipLayerNormalization: the sum is stored while it is reduced, then normalised from
// cache. The same operations in the same order as Add and the fast LayerNormalization, so fusing
// changes no bits.
#include <algorithm>
#include <cmath>

#include "ops/norm/lanes.h"
#include "ops/norm/skip_norm.h"

namespace fusee::ops {

namespace {

constexpr int64_t kTaskFloats = 4096;

// sum may be x, skip or y.
void Row(const float* x, const float* skip, const float* scale, const float* bias, float epsilon,
         int64_t n, float* sum, float* y) {
  FUSEE_INDEPENDENT_LOOP
  for (int64_t i = 0; i < n; ++i) sum[i] = x[i] + skip[i];
  const float size = static_cast<float>(n);
  const float mean = ReduceLanes(
                         n, 0, [sum](float a, int64_t i) { return a + sum[i]; }, Add) /
                     size;
  const float squares = ReduceLanes(
      n, 0,
      [sum, mean](float a, int64_t i) {
        const float d = sum[i] - mean;
        return a + d * d;
      },
      Add);
  const float inv_std = 1.0f / std::sqrt(squares / size + epsilon);
  if (bias != nullptr) {
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] = (sum[i] - mean) * inv_std * scale[i] + bias[i];
  } else {
    FUSEE_INDEPENDENT_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] = (sum[i] - mean) * inv_std * scale[i];
  }
}

class SkipNormCpu final : public BoundKernel {
 public:
  explicit SkipNormCpu(SkipNormParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckSkipNorm(params_, args); }
  Status Run(const RunArgs& args) const override {
    const Shape& shape = args.inputs[0].shape;
    const int64_t n = shape[params_.rank - 1];
    const int64_t rows = shape.elements(0, params_.rank - 1);
    const int64_t share = std::max<int64_t>(kTaskFloats / std::max<int64_t>(n, 1), 1);
    const float* bias = args.has_input(3) ? args.inputs[3].as<float>() : nullptr;
    args.parallel->Run((rows + share - 1) / share, [&](int64_t task) {
      for (int64_t row = task * share; row < std::min(rows, (task + 1) * share); ++row) {
        float* y = args.outputs[0].as<float>() + row * n;
        Row(args.inputs[0].as<float>() + row * n, args.inputs[1].as<float>() + row * n,
            args.inputs[2].as<float>(), bias, static_cast<float>(params_.epsilon), n,
            WantsSum(args) ? args.outputs[1].as<float>() + row * n : y, y);
      }
    });
    return OkStatus();
  }

 private:
  SkipNormParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(SkipNormParams params, ParseSkipNorm(spec));
  if (params.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  return std::unique_ptr<BoundKernel>(new SkipNormCpu(params));
}

}  // namespace

extern const KernelDef skip_layernorm_f32 = {.id = "skip_layernorm_f32_cpu.1",
                                             .op = "SkipLayerNormalization",
                                             .in_place_inputs = 3,
                                             .bind = Bind};

}  // namespace fusee::ops
