// Reference transposed convolution: each result gathers the taps that reach it, summed in double.
#include <fmt/format.h>

#include "ops/nn/conv.h"
#include "ops/nn/element.h"

namespace fusee::ops {

namespace {

struct Geometry {
  int64_t batch = 0, channels = 0, out_channels = 0, group_channels = 0, group_out_channels = 0;
  Spatial in{1, 1, 1}, out{1, 1, 1};
  int64_t InElements() const { return in[0] * in[1] * in[2]; }
  int64_t OutElements() const { return out[0] * out[1] * out[2]; }
};

class ConvTransposeRef final : public BoundKernel {
 public:
  ConvTransposeRef(WindowAttrs window, Spatial extra, int64_t group, DType dtype)
      : window_(window), extra_(extra), group_(group), dtype_(dtype) {}

  Status CheckShapes(const RunArgs& args) const override {
    if (args.inputs.size() < 2 || args.outputs.size() != 1)
      return InvalidArgument("ConvTranspose: wrong operand count");
    for (size_t i = 0; i < args.inputs.size(); ++i) {
      if ((i < 2 || args.has_input(i)) && args.inputs[i].dtype != dtype_) {
        return InvalidArgument("ConvTranspose: operands differ from those bound");
      }
    }
    Geometry g;
    FUSEE_TRY(Resolve(args, &g));
    Shape want{g.batch, g.out_channels};
    for (size_t a = static_cast<size_t>(kMaxSpatial - window_.spatial); a < kMaxSpatial; ++a)
      want.push_back(g.out[a]);
    if (args.outputs[0].dtype != dtype_)
      return InvalidArgument("ConvTranspose: the result has another type than x");
    if (!(args.outputs[0].shape == want))
      return ShapeMismatch("ConvTranspose", "the result", want, args.outputs[0].shape);
    if (args.has_input(2) && !(args.inputs[2].shape == Shape{g.out_channels})) {
      return ShapeMismatch("ConvTranspose", "the bias", Shape{g.out_channels},
                           args.inputs[2].shape);
    }
    return OkStatus();
  }

  Status Run(const RunArgs& args) const override {
    Geometry g;
    FUSEE_TRY(Resolve(args, &g));
    return DispatchFloat(dtype_, [&]<typename T>() {
      args.parallel->Run(g.batch * g.out_channels, [&](int64_t plane) {
        const double start =
            args.has_input(2) ? LoadDouble<T>(args.inputs[2].data, plane % g.out_channels) : 0;
        Spatial at;
        int64_t out = plane * g.OutElements();
        for (at[0] = 0; at[0] < g.out[0]; ++at[0]) {
          for (at[1] = 0; at[1] < g.out[1]; ++at[1]) {
            for (at[2] = 0; at[2] < g.out[2]; ++at[2], ++out) {
              StoreElement(args.outputs[0].data, out,
                           RoundTo<T>(start + Gather<T>(g, args, plane, at)));
            }
          }
        }
      });
      return OkStatus();
    });
  }

 private:
  Status Resolve(const RunArgs& args, Geometry* g) const {
    const Shape& x = args.inputs[0].shape;
    const Shape& w = args.inputs[1].shape;
    const int rank = window_.spatial + 2;
    bool fits = x.rank() == rank && w.rank() == rank && x[1] == w[0] && w[0] % group_ == 0;
    fits = fits && !__builtin_mul_overflow(w[1], group_, &g->out_channels);
    for (int i = 0; fits && i < window_.spatial; ++i) {
      const size_t a = static_cast<size_t>(kMaxSpatial - window_.spatial + i);
      fits = w[2 + i] == window_.kernel[a] && x[2 + i] >= 1 && x[2 + i] < kMaxWindowValue;
      g->in[a] = x[2 + i];
      g->out[a] = (x[2 + i] - 1) * window_.stride[a] + extra_[a] +
                  window_.Extent(static_cast<int>(a)) - window_.pad_begin[a] - window_.pad_end[a];
      fits = fits && g->out[a] >= 1;
    }
    if (!fits) {
      return InvalidArgument(
          fmt::format("ConvTranspose: w of shape {} does not fit x of shape {} with group {}",
                      w.ToString(), x.ToString(), group_));
    }
    g->batch = x[0];
    g->channels = x[1];
    g->group_channels = x[1] / group_;
    g->group_out_channels = w[1];
    return OkStatus();
  }

  // Input position that tap k brings to output position p along axis a, or -1.
  int64_t Source(const Geometry& g, size_t a, int64_t p, int64_t k) const {
    const int64_t i = p + window_.pad_begin[a] - k * window_.dilation[a];
    if (i < 0 || i % window_.stride[a] != 0 || i / window_.stride[a] >= g.in[a]) return -1;
    return i / window_.stride[a];
  }

  template <typename T>
  double Gather(const Geometry& g, const RunArgs& args, int64_t plane, const Spatial& at) const {
    const int64_t channel = plane % g.out_channels;
    const int64_t group = channel / g.group_out_channels;
    const int64_t first = plane / g.out_channels * g.channels + group * g.group_channels;
    double sum = 0;
    for (int64_t kd = 0; kd < window_.kernel[0]; ++kd) {
      const int64_t d = Source(g, 0, at[0], kd);
      if (d < 0) continue;
      for (int64_t kh = 0; kh < window_.kernel[1]; ++kh) {
        const int64_t h = Source(g, 1, at[1], kh);
        if (h < 0) continue;
        for (int64_t kw = 0; kw < window_.kernel[2]; ++kw) {
          const int64_t column = Source(g, 2, at[2], kw);
          if (column < 0) continue;
          const int64_t position = (d * g.in[1] + h) * g.in[2] + column;
          const int64_t tap = (kd * window_.kernel[1] + kh) * window_.kernel[2] + kw;
          for (int64_t c = 0; c < g.group_channels; ++c) {
            const int64_t row = (group * g.group_channels + c) * g.group_out_channels +
                                channel % g.group_out_channels;
            sum += LoadDouble<T>(args.inputs[0].data, (first + c) * g.InElements() + position) *
                   LoadDouble<T>(args.inputs[1].data, row * window_.KernelElements() + tap);
          }
        }
      }
    }
    return sum;
  }

  WindowAttrs window_;
  Spatial extra_;  // output_padding
  int64_t group_;
  DType dtype_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ConvParams p, ParseConv(spec));
  if (p.activation.kind != ActivationKind::kNone)
    return BadStep(spec, "an activation is not part of ConvTranspose");
  if (p.window.channels_last || spec.has_input(3))
    return BadStep(spec, "layout NHWC and a residual are not part of ConvTranspose");
  FUSEE_TRY(std::vector<int64_t> list, spec.attrs->Ints("output_padding"));
  Spatial extra{0, 0, 0};
  if (!list.empty() && list.size() != static_cast<size_t>(p.window.spatial)) {
    return BadStep(spec, "output_padding should have one entry per spatial axis");
  }
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] < 0 || list[i] >= kMaxWindowValue)
      return BadStep(spec, "output_padding is out of range");
    extra[static_cast<size_t>(kMaxSpatial) - list.size() + i] = list[i];
  }
  return std::unique_ptr<BoundKernel>(new ConvTransposeRef(p.window, extra, p.group, p.dtype));
}

}  // namespace

extern const KernelDef convtranspose_ref = {
    .id = "convtranspose_ref.1", .op = "ConvTranspose", .reference = true, .bind = Bind};

}  // namespace fusee::ops
