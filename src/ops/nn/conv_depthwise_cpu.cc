// Fast f32 depthwise convolution (one input channel per group): a matrix product would have one
// column of k's per channel, so each output row is instead a sum of shifted, scaled input rows.
// Padding is skipped.
#include <algorithm>

#include "ops/nn/conv.h"
#include "ops/nn/epilogue.h"

namespace fusee::ops {

namespace {

// Columns j of [0, out) whose tap lies inside the input: 0 <= j * stride + offset < in.
struct Columns {
  int64_t low, high;
  Columns(int64_t offset, int64_t stride, int64_t in, int64_t out)
      : low(std::clamp<int64_t>(offset < 0 ? (-offset + stride - 1) / stride : 0, 0, out)),
        high(std::clamp<int64_t>(in > offset ? (in - offset + stride - 1) / stride : 0, low, out)) {
  }
};

inline void AddRow(const float* x, int64_t offset, int64_t stride, Columns columns, float weight,
                   float* y) {
  if (stride == 1) {
    for (int64_t j = columns.low; j < columns.high; ++j) y[j] += weight * x[j + offset];
  } else {
    for (int64_t j = columns.low; j < columns.high; ++j) y[j] += weight * x[j * stride + offset];
  }
}

// One output row of one channel, before bias.
void OutputRow(const Window& v, const float* x, const float* w, int64_t depth, int64_t height,
               float* y) {
  for (int64_t j = 0; j < v.out[2]; ++j) y[j] = 0;
  for (int64_t kd = 0; kd < v.kernel[0]; ++kd) {
    const int64_t d = depth * v.stride[0] + kd * v.dilation[0] - v.pad_begin[0];
    if (d < 0 || d >= v.in[0]) continue;
    for (int64_t kh = 0; kh < v.kernel[1]; ++kh) {
      const int64_t h = height * v.stride[1] + kh * v.dilation[1] - v.pad_begin[1];
      if (h < 0 || h >= v.in[1]) continue;
      for (int64_t kw = 0; kw < v.kernel[2]; ++kw) {
        const int64_t offset = kw * v.dilation[2] - v.pad_begin[2];
        AddRow(x + (d * v.in[1] + h) * v.in[2], offset, v.stride[2],
               Columns(offset, v.stride[2], v.in[2], v.out[2]),
               w[(kd * v.kernel[1] + kh) * v.kernel[2] + kw], y);
      }
    }
  }
}

class ConvDepthwise final : public BoundKernel {
 public:
  explicit ConvDepthwise(ConvParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckConv(params_, args));
    if (args.inputs[1].shape[1] != 1)
      return InvalidArgument("Conv: w should have one channel per group");
    return OkStatus();
  }
  Status Run(const RunArgs& args) const override {
    ConvShape s;
    FUSEE_TRY(ConvGeometry(params_, args.inputs[0].shape, args.inputs[1].shape, &s));
    const Window& v = s.window;
    Epilogue epilogue{1, 1, nullptr, 1, 0, params_.activation};
    if (args.has_input(2)) epilogue.c = args.inputs[2].as<float>();
    args.parallel->Run(s.batch * s.out_channels, [&](int64_t plane) {
      const int64_t channel = plane % s.out_channels;
      const int64_t image = plane / s.out_channels;
      const float* x = args.inputs[0].as<float>() +
                       (image * s.channels + channel / s.group_out_channels) * v.InElements();
      const float* w = args.inputs[1].as<float>() + channel * v.KernelElements();
      float* y = args.outputs[0].as<float>() + plane * v.OutElements();
      for (int64_t row = 0; row < v.out[0] * v.out[1]; ++row) {
        OutputRow(v, x, w, row / v.out[1], row % v.out[1], y + row * v.out[2]);
      }
      Epilogue own = epilogue;
      if (args.has_input(3)) {
        own.residual = args.inputs[3].as<float>() + image * s.out_channels * v.OutElements();
        own.residual_row = v.OutElements();
      }
      ApplyEpilogue(own, channel, 0, 1, v.OutElements(), y, v.OutElements());
    });
    return OkStatus();
  }

 private:
  ConvParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ConvParams params, ParseConv(spec));
  if (params.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  if (params.window.channels_last) return RefuseTactic(spec, "takes layout NCHW only");
  const Shape& w = spec.inputs[1].max_shape;
  if (params.group < 2 || w.rank() < 2 || w[1] != 1)
    return RefuseTactic(spec, "takes one channel per group only");
  return std::unique_ptr<BoundKernel>(new ConvDepthwise(params));
}

}  // namespace

extern const KernelDef conv_f32_depthwise = {
    .id = "conv_f32_depthwise_cpu.1", .op = "Conv", .bind = Bind};

}  // namespace fusee::ops
