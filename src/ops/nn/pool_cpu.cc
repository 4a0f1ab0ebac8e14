// Fast f32 pooling: each output row is folded from the input rows under its window, tap by tap, so
// that the inner loop runs over columns and vectorises. Every element depends on its own window
// only, in a fixed order of taps.
#include <algorithm>
#include <limits>

#include "ops/nn/pool.h"

namespace fusee::ops {

namespace {

// NaN wins, as in the reference: once y is NaN no comparison replaces it.
struct MaxFold {
  static constexpr float kStart = -std::numeric_limits<float>::infinity();
  static float Fold(float y, float x) {
    const float larger = x <= y ? y : x;  // a NaN x is taken
    return y != y ? y : larger;
  }
};
struct SumFold {
  static constexpr float kStart = 0;
  static float Fold(float y, float x) { return y + x; }
};

template <typename F>
void FoldRow(const float* x, int64_t offset, int64_t stride, int64_t in, int64_t out, float* y) {
  const int64_t low = std::clamp<int64_t>(offset < 0 ? (-offset + stride - 1) / stride : 0, 0, out);
  const int64_t high =
      std::clamp<int64_t>(in > offset ? (in - offset + stride - 1) / stride : 0, low, out);
  if (stride == 1) {
    for (int64_t j = low; j < high; ++j) y[j] = F::Fold(y[j], x[j + offset]);
  } else if (stride == 2) {
    for (int64_t j = low; j < high; ++j) y[j] = F::Fold(y[j], x[2 * j + offset]);
  } else {
    for (int64_t j = low; j < high; ++j) y[j] = F::Fold(y[j], x[j * stride + offset]);
  }
}

template <typename F>
void PoolRow(const Window& w, const float* x, int64_t depth, int64_t height, float* y) {
  for (int64_t j = 0; j < w.out[2]; ++j) y[j] = F::kStart;
  for (int64_t kd = 0; kd < w.kernel[0]; ++kd) {
    const int64_t d = depth * w.stride[0] + kd * w.dilation[0] - w.pad_begin[0];
    if (d < 0 || d >= w.in[0]) continue;
    for (int64_t kh = 0; kh < w.kernel[1]; ++kh) {
      const int64_t h = height * w.stride[1] + kh * w.dilation[1] - w.pad_begin[1];
      if (h < 0 || h >= w.in[1]) continue;
      for (int64_t kw = 0; kw < w.kernel[2]; ++kw) {
        FoldRow<F>(x + (d * w.in[1] + h) * w.in[2], kw * w.dilation[2] - w.pad_begin[2],
                   w.stride[2], w.in[2], w.out[2], y);
      }
    }
  }
}

void DivideRow(const Window& w, bool include_pad, int64_t depth, int64_t height, float* y) {
  // Along the row the divisor changes at the edges only.
  int64_t last = -1;
  float divisor = 0;
  for (int64_t j = 0; j < w.out[2]; ++j) {
    const int64_t begin = j * w.stride[2] - w.pad_begin[2];
    const bool inside = begin >= 0 && begin + w.Extent(2) <= w.in[2];
    if (!inside || last != 1) {
      divisor = static_cast<float>(AverageDivisor(w, include_pad, {depth, height, j}));
      last = inside ? 1 : 0;
    }
    y[j] = divisor == 0 ? 0 : y[j] / divisor;
  }
}

// A whole plane: eight partial sums in double, one per residue of the position modulo 8, added in a
// fixed order.
float PlaneMean(const float* x, int64_t n) {
  double sum[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t l = 0; l < 8; ++l) sum[l] += static_cast<double>(x[i + l]);
  }
  for (int64_t l = 0; i < n; ++i, ++l) sum[l] += static_cast<double>(x[i]);
  const double total =
      ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  return static_cast<float>(total / static_cast<double>(n));
}

float PlaneMax(const float* x, int64_t n) {
  float best = MaxFold::kStart;
  for (int64_t i = 0; i < n; ++i) best = MaxFold::Fold(best, x[i]);
  return best;
}

class PoolCpu final : public BoundKernel {
 public:
  explicit PoolCpu(PoolParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckPool(params_, args); }
  Status Run(const RunArgs& args) const override {
    PoolShape s;
    FUSEE_TRY(PoolGeometry(params_, args.inputs[0].shape, &s));
    const Window& w = s.window;
    args.parallel->Run(s.planes, [&](int64_t plane) {
      const float* x = args.inputs[0].as<float>() + plane * w.InElements();
      float* y = args.outputs[0].as<float>() + plane * w.OutElements();
      if (params_.global) {
        *y = params_.max ? PlaneMax(x, w.InElements()) : PlaneMean(x, w.InElements());
        return;
      }
      for (int64_t row = 0; row < w.out[0] * w.out[1]; ++row, y += w.out[2]) {
        if (params_.max) {
          PoolRow<MaxFold>(w, x, row / w.out[1], row % w.out[1], y);
        } else {
          PoolRow<SumFold>(w, x, row / w.out[1], row % w.out[1], y);
          DivideRow(w, params_.count_include_pad, row / w.out[1], row % w.out[1], y);
        }
      }
    });
    return OkStatus();
  }

 private:
  PoolParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(PoolParams params, ParsePool(spec));
  if (params.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  if (params.window.channels_last) return RefuseTactic(spec, "takes layout NCHW only");
  if (spec.outputs.size() > 1 && spec.outputs[1].present())
    return RefuseTactic(spec, "does not give indices");
  return std::unique_ptr<BoundKernel>(new PoolCpu(params));
}

}  // namespace

extern const KernelDef maxpool_f32 = {.id = "maxpool_f32_cpu.1", .op = "MaxPool", .bind = Bind};
extern const KernelDef averagepool_f32 = {
    .id = "averagepool_f32_cpu.1", .op = "AveragePool", .bind = Bind};
extern const KernelDef globalaveragepool_f32 = {
    .id = "globalaveragepool_f32_cpu.1", .op = "GlobalAveragePool", .bind = Bind};
extern const KernelDef globalmaxpool_f32 = {
    .id = "globalmaxpool_f32_cpu.1", .op = "GlobalMaxPool", .bind = Bind};

}  // namespace fusee::ops
