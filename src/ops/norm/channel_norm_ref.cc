// Reference BatchNormalization, GroupNormalization and LRN.
#include <algorithm>
#include <cmath>

#include "ops/nn/element.h"
#include "ops/norm/norm.h"
#include "tensor/math.h"

namespace fusee::ops {

namespace {

class ChannelNormRef : public BoundKernel {
 public:
  explicit ChannelNormRef(ChannelParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckChannelNorm(params_, args); }

 protected:
  ChannelParams params_;
};

// y = (x - mean) / sqrt(var + epsilon) * scale + b, per channel.
class BatchNormRef final : public ChannelNormRef {
 public:
  using ChannelNormRef::ChannelNormRef;
  Status Run(const RunArgs& args) const override {
    return DispatchFloat(params_.dtype, [&]<typename T>() {
      const ChannelShape s = ChannelGeometry(args.inputs[0].shape, params_.channels_last);
      args.parallel->Run(s.batch * s.channels, [&](int64_t plane) {
        const int64_t c = plane % s.channels;
        const bool last = params_.channels_last;
        const int64_t stride = last ? s.channels : 1;
        const int64_t first =
            last ? plane / s.channels * s.plane * s.channels + c : plane * s.plane;
        const double mean = DoubleAt(args.inputs[3], c);
        const double factor =
            DoubleAt(args.inputs[1], c) / std::sqrt(DoubleAt(args.inputs[4], c) + params_.epsilon);
        const double bias = DoubleAt(args.inputs[2], c);
        for (int64_t k = 0; k < s.plane; ++k) {
          const int64_t i = first + k * stride;
          const double x = LoadDouble<T>(args.inputs[0].data, i);
          StoreElement(args.outputs[0].data, i, RoundTo<T>((x - mean) * factor + bias));
        }
      });
      return OkStatus();
    });
  }
};

class GroupNormRef final : public ChannelNormRef {
 public:
  using ChannelNormRef::ChannelNormRef;
  Status Run(const RunArgs& args) const override {
    return DispatchFloat(params_.dtype, [&]<typename T>() {
      const ChannelShape s = ChannelGeometry(args.inputs[0].shape);
      const int64_t channels = s.channels / params_.groups;
      const int64_t count = channels * s.plane;
      args.parallel->Run(s.batch * params_.groups, [&](int64_t group) {
        const int64_t base = group * count;
        const void* x = args.inputs[0].data;
        double mean = 0;
        for (int64_t i = 0; i < count; ++i) mean += LoadDouble<T>(x, base + i);
        mean /= static_cast<double>(count);
        double sum = 0;
        for (int64_t i = 0; i < count; ++i) {
          const double d = LoadDouble<T>(x, base + i) - mean;
          sum += d * d;
        }
        const double inv_std = 1 / std::sqrt(sum / static_cast<double>(count) + params_.epsilon);
        for (int64_t i = 0; i < count; ++i) {
          const int64_t c = group % params_.groups * channels + i / s.plane;
          const double y =
              (LoadDouble<T>(x, base + i) - mean) * inv_std * DoubleAt(args.inputs[1], c) +
              DoubleAt(args.inputs[2], c);
          StoreElement(args.outputs[0].data, base + i, RoundTo<T>(y));
        }
      });
      return OkStatus();
    });
  }
};

// y = x / (bias + alpha / size * sum of squares over `size` neighbouring channels) ^ beta.
class LrnRef final : public ChannelNormRef {
 public:
  using ChannelNormRef::ChannelNormRef;
  Status Run(const RunArgs& args) const override {
    return DispatchFloat(params_.dtype, [&]<typename T>() {
      const ChannelShape s = ChannelGeometry(args.inputs[0].shape);
      const void* x = args.inputs[0].data;
      args.parallel->Run(s.batch * s.channels, [&](int64_t plane) {
        const int64_t c = plane % s.channels;
        const int64_t first = std::max<int64_t>(c - (params_.size - 1) / 2, 0) - c;
        const int64_t last = std::min<int64_t>(c + params_.size / 2, s.channels - 1) - c;
        for (int64_t i = 0; i < s.plane; ++i) {
          double sum = 0;
          for (int64_t d = first; d <= last; ++d) {
            const double v = LoadDouble<T>(x, (plane + d) * s.plane + i);
            sum += v * v;
          }
          const double base =
              params_.bias + params_.alpha / static_cast<double>(params_.size) * sum;
          const double y = LoadDouble<T>(x, plane * s.plane + i) / math::Pow(base, params_.beta);
          StoreElement(args.outputs[0].data, plane * s.plane + i, RoundTo<T>(y));
        }
      });
      return OkStatus();
    });
  }
};

template <typename Kernel>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ChannelParams params, ParseChannelNorm(spec));
  return std::unique_ptr<BoundKernel>(new Kernel(params));
}

}  // namespace

extern const KernelDef batchnorm_ref = {.id = "batchnorm_ref.1",
                                        .op = "BatchNormalization",
                                        .reference = true,
                                        .in_place_inputs = 1,
                                        .bind = Bind<BatchNormRef>};
extern const KernelDef groupnorm_ref = {.id = "groupnorm_ref.1",
                                        .op = "GroupNormalization",
                                        .reference = true,
                                        .in_place_inputs = 1,
                                        .bind = Bind<GroupNormRef>};
extern const KernelDef lrn_ref = {
    .id = "lrn_ref.1", .op = "LRN", .reference = true, .bind = Bind<LrnRef>};

}  // namespace fusee::ops
