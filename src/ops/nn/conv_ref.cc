// Reference convolution: every tap of the definition, summed in double in the order (channel,
// depth, height, width). Results are computed 16 columns at a time only so that verifying a ResNet
// takes seconds, not minutes.
#include <algorithm>

#include "ops/nn/conv.h"
#include "ops/nn/element.h"

namespace fusee::ops {

namespace {

constexpr int64_t kColumns = 16;

// Where the elements of the three tensors lie: image n, channel c and pixel p of x are at
// (n InElements() C) + c x_channel + p x_pixel; tap t of channel c of output channel o at
// o * w_row + c w_channel + t w_tap; y as x. Only this tells the layouts apart, so that both sum in
// one order and give the same bits.
struct Strides {
  int64_t x_channel, x_pixel, w_row, w_channel, w_tap, y_channel, y_pixel;
  explicit Strides(const ConvShape& s) : w_row(s.group_channels * s.window.KernelElements()) {
    const bool last = s.window.channels_last;
    x_channel = last ? 1 : s.window.InElements();
    x_pixel = last ? s.channels : 1;
    w_channel = last ? 1 : s.window.KernelElements();
    w_tap = last ? s.group_channels : 1;
    y_channel = last ? 1 : s.window.OutElements();
    y_pixel = last ? s.out_channels : 1;
  }
};

// acc[j] += weight * row[(first + j stride) pixel] for the columns j of [0, count) that lie inside
// [0, width).
template <typename T>
void AddTap(double weight, const void* x, int64_t row, int64_t first, int64_t stride, int64_t width,
            int64_t pixel, int64_t count, double* acc) {
  if (pixel == 1 && stride == 1 && count == kColumns && first >= 0 && first + kColumns <= width) {
    for (int64_t j = 0; j < kColumns; ++j) acc[j] += weight * LoadDouble<T>(x, row + first + j);
    return;
  }
  for (int64_t j = 0; j < count; ++j) {
    const int64_t column = first + j * stride;
    if (column >= 0 && column < width) acc[j] += weight * LoadDouble<T>(x, row + column * pixel);
  }
}

// Columns [column, column + count) of one output row.
template <typename T>
void ConvColumns(const ConvShape& s, const void* x, const void* w, int64_t image,
                 int64_t out_channel, int64_t depth, int64_t height, int64_t column, int64_t count,
                 double* acc) {
  const Window& v = s.window;
  const Strides at(s);
  const int64_t first_channel = out_channel / s.group_out_channels * s.group_channels;
  for (int64_t c = 0; c < s.group_channels; ++c) {
    for (int64_t kd = 0; kd < v.kernel[0]; ++kd) {
      const int64_t id = depth * v.stride[0] + kd * v.dilation[0] - v.pad_begin[0];
      if (id < 0 || id >= v.in[0]) continue;
      for (int64_t kh = 0; kh < v.kernel[1]; ++kh) {
        const int64_t ih = height * v.stride[1] + kh * v.dilation[1] - v.pad_begin[1];
        if (ih < 0 || ih >= v.in[1]) continue;
        const int64_t row = image * s.channels * v.InElements() +
                            (first_channel + c) * at.x_channel +
                            (id * v.in[1] + ih) * v.in[2] * at.x_pixel;
        const int64_t taps = out_channel * at.w_row + c * at.w_channel +
                             (kd * v.kernel[1] + kh) * v.kernel[2] * at.w_tap;
        for (int64_t kw = 0; kw < v.kernel[2]; ++kw) {
          const int64_t first = column * v.stride[2] + kw * v.dilation[2] - v.pad_begin[2];
          AddTap<T>(LoadDouble<T>(w, taps + kw * at.w_tap), x, row, first, v.stride[2], v.in[2],
                    at.x_pixel, count, acc);
        }
      }
    }
  }
}

class ConvRef final : public BoundKernel {
 public:
  explicit ConvRef(ConvParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckConv(params_, args); }
  Status Run(const RunArgs& args) const override {
    ConvShape shape;
    FUSEE_TRY(ConvGeometry(params_, args.inputs[0].shape, args.inputs[1].shape, &shape));
    return DispatchFloat(params_.dtype, [&]<typename T>() { return RunTyped<T>(shape, args); });
  }

 private:
  template <typename T>
  Status RunTyped(const ConvShape& s, const RunArgs& args) const {
    const Window& v = s.window;
    const Strides at(s);
    const void* bias = args.has_input(2) ? args.inputs[2].data : nullptr;
    const void* residual = args.has_input(3) ? args.inputs[3].data : nullptr;
    // A task is one row plane of one output channel of one image.
    args.parallel->Run(s.batch * s.out_channels, [&](int64_t plane) {
      const int64_t channel = plane % s.out_channels;
      const double start = bias == nullptr ? 0 : LoadDouble<T>(bias, channel);
      for (int64_t row = 0; row < v.out[0] * v.out[1]; ++row) {
        for (int64_t column = 0; column < v.out[2]; column += kColumns) {
          const int64_t count = std::min(kColumns, v.out[2] - column);
          double acc[kColumns] = {};
          ConvColumns<T>(s, args.inputs[0].data, args.inputs[1].data, plane / s.out_channels,
                         channel, row / v.out[1], row % v.out[1], column, count, acc);
          for (int64_t j = 0; j < count; ++j) {
            const int64_t i = plane / s.out_channels * s.out_channels * v.OutElements() +
                              channel * at.y_channel + (row * v.out[2] + column + j) * at.y_pixel;
            double sum = acc[j] + start;
            if (residual != nullptr) sum += LoadDouble<T>(residual, i);
            StoreElement(args.outputs[0].data, i,
                         RoundTo<T>(ApplyActivation(params_.activation, sum)));
          }
        }
      }
    });
    return OkStatus();
  }

  ConvParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ConvParams params, ParseConv(spec));
  return std::unique_ptr<BoundKernel>(new ConvRef(params));
}

}  // namespace

extern const KernelDef conv_ref = {
    .id = "conv_ref.1", .op = "Conv", .reference = true, .bind = Bind};

}  // namespace fusee::ops
