// Fast f32 BatchNormalization, GroupNormalization and LRN.
#include <algorithm>
#include <cmath>

#include "ops/norm/lanes.h"
#include "ops/norm/norm.h"
#include "tensor/math_inline.h"

namespace fusee::ops {

namespace {

class ChannelNormCpu : public BoundKernel {
 public:
  explicit ChannelNormCpu(ChannelParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckChannelNorm(params_, args));
    for (const ConstTensorView& input : args.inputs) {
      if (input.dtype != DType::kF32) return InvalidArgument("operands differ from those bound");
    }
    return OkStatus();
  }

 protected:
  ChannelParams params_;
};

class BatchNormCpu final : public ChannelNormCpu {
 public:
  using ChannelNormCpu::ChannelNormCpu;
  Status Run(const RunArgs& args) const override {
    const ChannelShape s = ChannelGeometry(args.inputs[0].shape);
    args.parallel->Run(s.batch * s.channels, [&](int64_t plane) {
      const int64_t c = plane % s.channels;
      // Factor and shift are rounded once from double; per element one multiply and one add remain.
      const double factor =
          static_cast<double>(args.inputs[1].as<float>()[c]) /
          std::sqrt(static_cast<double>(args.inputs[4].as<float>()[c]) + params_.epsilon);
      const float mean = args.inputs[3].as<float>()[c];
      const float bias = args.inputs[2].as<float>()[c];
      const float scale = static_cast<float>(factor);
      const float* x = args.inputs[0].as<float>() + plane * s.plane;
      float* y = args.outputs[0].as<float>() + plane * s.plane;
      FUSEE_INDEPENDENT_LOOP
      for (int64_t i = 0; i < s.plane; ++i) y[i] = (x[i] - mean) * scale + bias;
    });
    return OkStatus();
  }
};

class GroupNormCpu final : public ChannelNormCpu {
 public:
  using ChannelNormCpu::ChannelNormCpu;
  Status Run(const RunArgs& args) const override {
    const ChannelShape s = ChannelGeometry(args.inputs[0].shape);
    const int64_t channels = s.channels / params_.groups;
    const int64_t n = channels * s.plane;
    args.parallel->Run(s.batch * params_.groups, [&](int64_t group) {
      const float* x = args.inputs[0].as<float>() + group * n;
      float* y = args.outputs[0].as<float>() + group * n;
      const float size = static_cast<float>(n);
      const float mean = ReduceLanes(
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
      for (int64_t c = 0; c < channels; ++c) {
        const float scale =
            inv_std * args.inputs[1].as<float>()[group % params_.groups * channels + c];
        const float bias = args.inputs[2].as<float>()[group % params_.groups * channels + c];
        FUSEE_INDEPENDENT_LOOP
        for (int64_t i = c * s.plane; i < (c + 1) * s.plane; ++i)
          y[i] = (x[i] - mean) * scale + bias;
      }
    });
    return OkStatus();
  }
};

// base^-beta for base > 0. The exponents that published networks use need square roots only, which
// are exact.
template <int kBeta100>
[[gnu::always_inline]] inline float InversePower(float base, float beta) {
  if constexpr (kBeta100 == 75) {
    const float root = std::sqrt(base);
    return 1.0f / (root * std::sqrt(root));
  } else if constexpr (kBeta100 == 50) {
    return 1.0f / std::sqrt(base);
  } else if constexpr (kBeta100 == 100) {
    return 1.0f / base;
  } else {
    return math::ExpF(-beta * math::LogF(base));
  }
}

class LrnCpu final : public ChannelNormCpu {
 public:
  using ChannelNormCpu::ChannelNormCpu;
  Status Run(const RunArgs& args) const override {
    const ChannelShape s = ChannelGeometry(args.inputs[0].shape);
    args.parallel->Run(s.batch * s.channels, [&](int64_t plane) {
      if (params_.beta == 0.75) {
        Plane<75>(args, s, plane);
      } else if (params_.beta == 0.5) {
        Plane<50>(args, s, plane);
      } else if (params_.beta == 1) {
        Plane<100>(args, s, plane);
      } else {
        Plane<0>(args, s, plane);
      }
    });
    return OkStatus();
  }

 private:
  // Sums go through a block of the plane at a time, which needs no workspace.
  template <int kBeta100>
  void Plane(const RunArgs& args, const ChannelShape& s, int64_t plane) const {
    constexpr int64_t kBlock = 256;
    const int64_t c = plane % s.channels;
    const int64_t first = std::max<int64_t>(c - (params_.size - 1) / 2, 0) - c;
    const int64_t last = std::min<int64_t>(c + params_.size / 2, s.channels - 1) - c;
    const float alpha = static_cast<float>(params_.alpha / static_cast<double>(params_.size));
    const float beta = static_cast<float>(params_.beta);
    const float bias = static_cast<float>(params_.bias);
    const float* x = args.inputs[0].as<float>() + plane * s.plane;
    float* y = args.outputs[0].as<float>() + plane * s.plane;
    for (int64_t begin = 0; begin < s.plane; begin += kBlock) {
      const int64_t n = std::min(kBlock, s.plane - begin);
      float sum[kBlock] = {};
      for (int64_t d = first; d <= last; ++d) {
        const float* row = x + d * s.plane + begin;
        for (int64_t i = 0; i < n; ++i) sum[i] += row[i] * row[i];
      }
      for (int64_t i = 0; i < n; ++i) {
        y[begin + i] = x[begin + i] * InversePower<kBeta100>(bias + alpha * sum[i], beta);
      }
    }
  }
};

template <typename Kernel>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ChannelParams params, ParseChannelNorm(spec));
  if (params.channels_last) return RefuseTactic(spec, "takes layout NCHW only");
  for (const TensorSpec& input : spec.inputs) {
    if (input.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  }
  return std::unique_ptr<BoundKernel>(new Kernel(params));
}

}  // namespace

extern const KernelDef batchnorm_f32 = {.id = "batchnorm_f32_cpu.1",
                                        .op = "BatchNormalization",
                                        .in_place_inputs = 1,
                                        .bind = Bind<BatchNormCpu>};
extern const KernelDef groupnorm_f32 = {.id = "groupnorm_f32_cpu.1",
                                        .op = "GroupNormalization",
                                        .in_place_inputs = 1,
                                        .bind = Bind<GroupNormCpu>};
extern const KernelDef lrn_f32 = {.id = "lrn_f32_cpu.1", .op = "LRN", .bind = Bind<LrnCpu>};

}  // namespace fusee::ops
