// Resize, plainly: each result is the weighted sum over the taps of every axis, the outermost axis
// first, in double. An axis has 1 tap where nothing moves, 2 for linear, 4 for cubic, and more
// where an antialiasing filter is stretched by 1/scale. Cubic weights: R. Keys, "Cubic convolution
// interpolation for digital image processing", 1981.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/movement/resize.h"

namespace fusee::ops {
namespace {

double LinearWeight(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

double CubicWeight(double distance, double a) {
  const double x = std::abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// The taps of one position on one axis: elements first .. first + count - 1, which may lie outside
// the operand (then the border element counts, or none with exclude_outside).
struct Taps {
  int64_t first = 0;
  int64_t count = 1;
  double source = 0;
  double stretch = 1;    // filter argument per element
  double normalise = 1;  // weights are divided by this
  bool outside = false;  // extrapolated
};

double RawWeight(const ResizeParams& params, const ResizeAxis& axis, const Taps& taps, int64_t k) {
  const int64_t index = taps.first + k;
  if (params.exclude_outside && (index < 0 || index >= axis.in)) return 0;
  const double distance = (static_cast<double>(index) - taps.source) * taps.stretch;
  return params.mode == ResizeMode::kLinear ? LinearWeight(distance)
                                            : CubicWeight(distance, params.cubic_coeff_a);
}

Taps MakeTaps(const ResizeParams& params, const ResizeAxis& axis, int64_t at) {
  Taps taps;
  if (axis.identity) {
    taps.first = at;
    return taps;
  }
  const float source = axis.Source(at);
  taps.source = static_cast<double>(source);
  taps.outside = axis.Outside(source);
  if (taps.outside) return taps;
  const int64_t radius = params.mode == ResizeMode::kLinear ? 1 : 2;
  int64_t half = radius;
  if (params.antialias && axis.scale < 1) {
    taps.stretch = static_cast<double>(axis.scale);
    half = static_cast<int64_t>(std::ceil(static_cast<double>(radius) / taps.stretch));
  }
  // An exact hit counts as the right end of the interval on its left.
  taps.first = static_cast<int64_t>(std::ceil(taps.source)) - half;
  taps.count = 2 * half;
  if (params.exclude_outside || taps.stretch != 1) {
    taps.normalise = 0;
    for (int64_t k = 0; k < taps.count; ++k) taps.normalise += RawWeight(params, axis, taps, k);
  }
  return taps;
}

struct Sampler {
  const ResizeParams& params;
  const ConstTensorView& in;
  Shape strides;
  std::array<ResizeAxis, kMaxRank> axes{};
  std::array<Taps, kMaxRank> taps{};

  double Sample(int i, int64_t offset) const {
    if (i == params.rank) return DoubleAt(in, offset);
    const auto a = static_cast<size_t>(i);
    const Taps& t = taps[a];
    if (axes[a].identity) return Sample(i + 1, offset + t.first * strides[i]);
    double sum = 0;
    for (int64_t k = 0; k < t.count; ++k) {
      const double weight = RawWeight(params, axes[a], t, k);
      if (weight == 0) continue;
      const int64_t index = std::clamp<int64_t>(t.first + k, 0, axes[a].in - 1);
      sum += weight * Sample(i + 1, offset + index * strides[i]);
    }
    return sum / t.normalise;
  }
};

Status RunWeighted(const ResizeParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  ParallelBlocks(args.parallel, out.elements(), 1024, [&](int64_t begin, int64_t end) {
    Sampler sampler{params, in, RowMajorStrides(in.shape)};
    for (int i = 0; i < params.rank; ++i)
      sampler.axes[static_cast<size_t>(i)] = ResizeAxis(params, args, i);
    for (int64_t k = begin; k < end; ++k) {
      bool outside = false;
      int64_t rest = k;
      for (int i = params.rank - 1; i >= 0; --i) {
        const auto a = static_cast<size_t>(i);
        sampler.taps[a] = MakeTaps(params, sampler.axes[a], rest % out.shape[i]);
        outside = outside || sampler.taps[a].outside;
        rest /= out.shape[i];
      }
      StoreDouble(out, k, outside ? params.extrapolation : sampler.Sample(0, 0));
    }
  });
  return OkStatus();
}

Status RunNearest(const ResizeParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const Shape strides = RowMajorStrides(in.shape);
  const auto bytes = static_cast<size_t>(BytesPerElement(in.dtype));
  std::array<ResizeAxis, kMaxRank> axes{};
  for (int i = 0; i < params.rank; ++i) axes[static_cast<size_t>(i)] = ResizeAxis(params, args, i);
  ParallelBlocks(args.parallel, out.elements(), kElementsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      bool outside = false;
      int64_t from = 0, rest = k;
      for (int i = params.rank - 1; i >= 0; --i) {
        const ResizeAxis& axis = axes[static_cast<size_t>(i)];
        int64_t index = rest % out.shape[i];
        rest /= out.shape[i];
        if (!axis.identity) {
          const float source = axis.Source(index);
          outside = outside || axis.Outside(source);
          index = axis.Nearest(params.nearest, source);
        }
        from += index * strides[i];
      }
      if (outside) {
        StoreDouble(out, k, params.extrapolation);
      } else {
        std::memcpy(static_cast<std::byte*>(out.data) + static_cast<size_t>(k) * bytes,
                    static_cast<const std::byte*>(in.data) + static_cast<size_t>(from) * bytes,
                    bytes);
      }
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ResizeParams params, ReadResize(spec));
  return MakeKernel(params, CheckResize,
                    params.mode == ResizeMode::kNearest ? RunNearest : RunWeighted);
}

}  // namespace

extern const KernelDef resize_ref = {
    .id = "resize_ref.1", .op = "Resize", .reference = true, .bind = Bind};

}  // namespace fusee::ops
