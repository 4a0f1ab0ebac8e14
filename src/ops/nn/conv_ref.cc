// Reference convolution: every tap of the definition, summed in double in the order (channel,
// depth, height, width). Results are computed 16 columns at a time only so that verifying a ResNet
// takes seconds, not minutes.
#include <algorithm>

#include "ops/nn/conv.h"
#include "ops/nn/element.h"

namespace fusee::ops {

namespace {

constexpr int64_t kColumns = 16;

// acc[j] += weight * row[first + j stride] for the columns j of [0, count) that lie inside [0,
// width).
template <typename T>
void AddTap(double weight, const void* x, int64_t row, int64_t first, int64_t stride, int64_t width,
            int64_t count, double* acc) {
  if (stride == 1 && count == kColumns && first >= 0 && first + kColumns <= width) {
    for (int64_t j = 0; j < kColumns; ++j) acc[j] += weight * LoadDouble<T>(x, row + first + j);
    return;
  }
  for (int64_t j = 0; j < count; ++j) {
    const int64_t column = first + j * stride;
    if (column >= 0 && column < width) acc[j] += weight * LoadDouble<T>(x, row + column);
  }
}

// Columns [column, column + count) of one output row.
template <typename T>
void ConvColumns(const ConvShape& s, const void* x, const void* w, int64_t image,
                 int64_t out_channel, int64_t depth, int64_t height, int64_t column, int64_t count,
                 double* acc) {
  const Window& v = s.window;
  const int64_t first_channel =
      image * s.channels + out_channel / s.group_out_channels * s.group_channels;
  for (int64_t c = 0; c < s.group_channels; ++c) {
    for (int64_t kd = 0; kd < v.kernel[0]; ++kd) {
      const int64_t id = depth * v.stride[0] + kd * v.dilation[0] - v.pad_begin[0];
      if (id < 0 || id >= v.in[0]) continue;
      for (int64_t kh = 0; kh < v.kernel[1]; ++kh) {
        const int64_t ih = height * v.stride[1] + kh * v.dilation[1] - v.pad_begin[1];
        if (ih < 0 || ih >= v.in[1]) continue;
        const int64_t row = (((first_channel + c) * v.in[0] + id) * v.in[1] + ih) * v.in[2];
        const int64_t taps =
            (((out_channel * s.group_channels + c) * v.kernel[0] + kd) * v.kernel[1] + kh) *
            v.kernel[2];
        for (int64_t kw = 0; kw < v.kernel[2]; ++kw) {
          const int64_t first = column * v.stride[2] + kw * v.dilation[2] - v.pad_begin[2];
          AddTap<T>(LoadDouble<T>(w, taps + kw), x, row, first, v.stride[2], v.in[2], count, acc);
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
    const void* bias = args.has_input(2) ? args.inputs[2].data : nullptr;
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
            StoreElement(args.outputs[0].data,
                         (plane * v.out[0] * v.out[1] + row) * v.out[2] + column + j,
                         RoundTo<T>(ApplyActivation(params_.activation, acc[j] + start)));
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
