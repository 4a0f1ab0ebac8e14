// Fast f32 Softmax and LogSoftmax: rows where the group is contiguous, blocks of 16 groups side by
// side where it is not. The maximum is subtracted before exp; sums are f32 over fixed lanes (rows)
// or in order (columns).
#include <algorithm>
#include <limits>

#include "ops/norm/lanes.h"
#include "ops/norm/norm.h"
#include "tensor/math_inline.h"

namespace fusee::ops {

namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr int64_t kTaskFloats =
    4096;  // elements of one task, so that short rows do not drown in hand-outs

void SoftmaxRow(const float* x, int64_t n, float* y) {
  const float max = ReduceLanes(
      n, kLowest, [x](float a, int64_t i) { return MaxOrNan(a, x[i]); }, MaxOrNan);
  FUSEE_INDEPENDENT_LOOP
  for (int64_t i = 0; i < n; ++i) y[i] = math::ExpF(x[i] - max);
  const float sum = ReduceLanes(
      n, 0, [y](float a, int64_t i) { return a + y[i]; }, Add);
  FUSEE_INDEPENDENT_LOOP
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] / sum;
}

void LogSoftmaxRow(const float* x, int64_t n, float* y) {
  const float max = ReduceLanes(
      n, kLowest, [x](float a, int64_t i) { return MaxOrNan(a, x[i]); }, MaxOrNan);
  const float sum = ReduceLanes(
      n, 0, [x, max](float a, int64_t i) { return a + math::ExpF(x[i] - max); }, Add);
  const float log_sum = math::LogF(sum);
  FUSEE_INDEPENDENT_LOOP
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - max) - log_sum;
}

// Sixteen neighbouring groups (fewer at the end), elements `step` apart.
void SoftmaxColumns(const float* x, int64_t n, int64_t step, int64_t columns, bool log, float* y) {
  float max[kLanes], sum[kLanes];
  for (int64_t l = 0; l < kLanes; ++l) {
    max[l] = kLowest;
    sum[l] = 0;
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t l = 0; l < columns; ++l) max[l] = MaxOrNan(max[l], x[i * step + l]);
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t l = 0; l < columns; ++l) sum[l] += math::ExpF(x[i * step + l] - max[l]);
  }
  if (log) {
    for (int64_t l = 0; l < columns; ++l) sum[l] = math::LogF(sum[l]);
  }
  for (int64_t i = 0; i < n; ++i) {
    FUSEE_INDEPENDENT_LOOP
    for (int64_t l = 0; l < columns; ++l) {
      const float d = x[i * step + l] - max[l];
      y[i * step + l] = log ? d - sum[l] : math::ExpF(d) / sum[l];
    }
  }
}

class SoftmaxCpu final : public BoundKernel {
 public:
  explicit SoftmaxCpu(AxisParams params) : params_(params), log_(params.op == "LogSoftmax") {}
  Status CheckShapes(const RunArgs& args) const override { return CheckAxisNorm(params_, args); }
  Status Run(const RunArgs& args) const override {
    const AxisShape s = AxisGeometry(params_, args.inputs[0].shape);
    if (s.outer == 0 || s.count == 0 || s.inner == 0) return OkStatus();
    const float* x = args.inputs[0].as<float>();
    float* y = args.outputs[0].as<float>();
    const int64_t blocks = (s.inner + kLanes - 1) / kLanes;  // per outer index
    const int64_t units = s.outer * blocks;
    const int64_t share = std::max<int64_t>(kTaskFloats / (s.count * std::min(s.inner, kLanes)), 1);
    args.parallel->Run((units + share - 1) / share, [&](int64_t task) {
      for (int64_t unit = task * share; unit < std::min(units, (task + 1) * share); ++unit) {
        const int64_t first = unit % blocks * kLanes;
        const int64_t base = unit / blocks * s.count * s.inner + first;
        if (s.inner > 1) {
          SoftmaxColumns(x + base, s.count, s.inner, std::min(kLanes, s.inner - first), log_,
                         y + base);
        } else if (log_) {
          LogSoftmaxRow(x + base, s.count, y + base);
        } else {
          SoftmaxRow(x + base, s.count, y + base);
        }
      }
    });
    return OkStatus();
  }

 private:
  AxisParams params_;
  bool log_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(AxisParams params, ParseAxisNorm(spec));
  if (params.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  return std::unique_ptr<BoundKernel>(new SoftmaxCpu(params));
}

}  // namespace

extern const KernelDef softmax_f32 = {
    .id = "softmax_f32_cpu.1", .op = "Softmax", .in_place_inputs = 1, .bind = Bind};
extern const KernelDef logsoftmax_f32 = {
    .id = "logsoftmax_f32_cpu.1", .op = "LogSoftmax", .in_place_inputs = 1, .bind = Bind};

}  // namespace fusee::ops
