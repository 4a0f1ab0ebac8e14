// Fast f32 LayerNormalization and RMSNormalization: two passes over a row that is in cache, sums
// over fixed lanes.
#include <algorithm>
#include <cmath>

#include "ops/norm/lanes.h"
#include "ops/norm/norm.h"

namespace fusee::ops {

namespace {

constexpr int64_t kTaskFloats = 4096;

class RowNormCpu final : public BoundKernel {
 public:
  explicit RowNormCpu(RowNormParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckRowNorm(params_, args); }
  Status Run(const RunArgs& args) const override {
    const Shape& shape = args.inputs[0].shape;
    const int64_t count = shape.elements(params_.axis, shape.rank());
    const int64_t rows = shape.elements(0, params_.axis);
    const int64_t share = std::max<int64_t>(kTaskFloats / std::max<int64_t>(count, 1), 1);
    args.parallel->Run((rows + share - 1) / share, [&](int64_t task) {
      for (int64_t row = task * share; row < std::min(rows, (task + 1) * share); ++row)
        Row(args, row, count);
    });
    return OkStatus();
  }

 private:
  void Row(const RunArgs& args, int64_t row, int64_t n) const {
    const float* x = args.inputs[0].as<float>() + row * n;
    float* y = args.outputs[0].as<float>() + row * n;
    const float size = static_cast<float>(n);
    const float mean = params_.rms ? 0.0f
                                   : ReduceLanes(
                                         n, 0, [x](float a, int64_t i) { return a + x[i]; }, Add) /
                                         size;
    const float squares = ReduceLanes(
        n, 0,
        [x, mean](float a, int64_t i) {
          const float d = x[i] - mean;
          return a + d * d;
        },
        Add);
    const float inv_std = 1.0f / std::sqrt(squares / size + static_cast<float>(params_.epsilon));
    Store(args, x, mean, inv_std, n, y);
    if (args.outputs.size() > 1 && args.outputs[1].present())
      StoreDouble(args.outputs[1], row, static_cast<double>(mean));
    if (args.outputs.size() > 2 && args.outputs[2].present()) {
      StoreDouble(args.outputs[2], row, static_cast<double>(inv_std));
    }
  }

  void Store(const RunArgs& args, const float* x, float mean, float inv_std, int64_t n,
             float* y) const {
    const Shape& shape = args.inputs[0].shape;
    const float* scale = args.inputs[1].as<float>();
    const float* bias = args.has_input(2) ? args.inputs[2].as<float>() : nullptr;
    const RowOperand s = RowOperandOf(params_, shape, args.inputs[1].shape);
    const RowOperand b =
        bias != nullptr ? RowOperandOf(params_, shape, args.inputs[2].shape) : RowOperand();
    if (!s.contiguous || !b.contiguous) {
      for (int64_t i = 0; i < n; ++i) {
        const float v = (x[i] - mean) * inv_std * scale[s.Index(i)];
        y[i] = bias != nullptr ? v + bias[b.Index(i)] : v;
      }
    } else if (bias != nullptr) {
      FUSEE_INDEPENDENT_LOOP
      for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inv_std * scale[i] + bias[i];
    } else {
      FUSEE_INDEPENDENT_LOOP
      for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inv_std * scale[i];
    }
  }

  RowNormParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(RowNormParams params, ParseRowNorm(spec));
  if (params.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  return std::unique_ptr<BoundKernel>(new RowNormCpu(params));
}

}  // namespace

extern const KernelDef layernorm_f32 = {
    .id = "layernorm_f32_cpu.1", .op = "LayerNormalization", .in_place_inputs = 1, .bind = Bind};
extern const KernelDef rmsnorm_f32 = {
    .id = "rmsnorm_f32_cpu.1", .op = "RMSNormalization", .in_place_inputs = 1, .bind = Bind};

}  // namespace fusee::ops
