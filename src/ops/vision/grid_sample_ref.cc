// GridSample, plainly: each result is the weighted sum over the taps of every axis, the outermost
// axis first, in double. Nearest has one tap an axis, linear two, cubic four. Cubic weights: R.
// Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -0.75.
//
// The grid is untrusted data: a position may be anywhere, infinite or no number. Whatever it is,
// every tap ends inside the operand or counts as zero.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

constexpr int kMaxAxes = 3;
constexpr int kMaxTaps = 4;

enum class Mode : uint8_t { kNearest, kLinear, kCubic };
enum class Padding : uint8_t { kZeros, kBorder, kReflection };

struct Params {
  int axes = 0;
  Mode mode = Mode::kLinear;
  Padding padding = Padding::kZeros;
  bool align_corners = false;
};

Result<Params> Read(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  Params params;
  params.axes = spec.inputs[0].max_shape.rank() - 2;
  if (params.axes < 1 || params.axes > kMaxAxes) return BadStep(spec, "samples 1 to 3 axes");
  if (!IsFloat(spec.inputs[1].dtype)) return BadStep(spec, "the grid should be floating-point");
  FUSEE_TRY(const std::string mode, spec.attrs->Str("mode", "linear"));
  FUSEE_TRY(const std::string padding, spec.attrs->Str("padding_mode", "zeros"));
  FUSEE_TRY(const int64_t align, spec.attrs->Int("align_corners", 0));
  if (mode == "nearest") {
    params.mode = Mode::kNearest;
  } else if (mode == "cubic") {
    params.mode = Mode::kCubic;
  } else if (mode != "linear") {
    return BadStep(spec, "has no mode '" + mode + "'");
  }
  if (padding == "border") {
    params.padding = Padding::kBorder;
  } else if (padding == "reflection") {
    params.padding = Padding::kReflection;
  } else if (padding != "zeros") {
    return BadStep(spec, "has no padding_mode '" + padding + "'");
  }
  if (params.mode != Mode::kNearest && !IsFloat(spec.inputs[0].dtype)) {
    return BadStep(spec, "interpolates floating-point types only");
  }
  params.align_corners = align != 0;
  return params;
}

Status Check(const Params& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& grid = args.inputs[1].shape;
  const int rank = params.axes + 2;
  if (data.rank() != rank || grid.rank() != rank || grid[rank - 1] != params.axes ||
      grid[0] != data[0]) {
    return InvalidArgument("GridSample: grid " + grid.ToString() + " does not fit operand " +
                           data.ToString());
  }
  Shape want = {data[0], data[1]};
  for (int i = 1; i < rank - 1; ++i) want.push_back(grid[i]);
  FUSEE_TRY(ExpectShape("GridSample", "result", want, args.outputs[0].shape));
  if (want.elements() > 0 && data.elements() == 0) {
    return InvalidArgument("GridSample: an empty operand " + data.ToString() +
                           " has nothing to sample");
  }
  return OkStatus();
}

// x mirrored at low and high until it lies between them.
double Reflect(double x, double low, double high) {
  const double range = high - low;
  if (x >= low && x <= high) return x;
  if (!(std::abs(x) <= 0x1p52) || range <= 0) return low;
  const double over = x < low ? low - x : x - high;
  const double turns = std::floor(over / range);
  const double rest = over - turns * range;
  const bool from_low = (x < low) == (turns - 2 * std::floor(turns / 2) == 0);
  return from_low ? low + rest : high - rest;
}

// The taps of one position on one axis: elements of the operand, -1 for one that counts as zero.
struct Taps {
  int count = 1;
  std::array<int64_t, kMaxTaps> index{};
  std::array<double, kMaxTaps> weight{1};
};

void CubicWeights(double t, std::array<double, kMaxTaps>& w) {
  constexpr double a = -0.75;
  const auto far = [](double x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
  const auto near = [](double x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
  w = {far(1 + t), near(t), near(1 - t), far(2 - t)};
}

class Axis {
 public:
  Axis(const Params& params, int64_t size)
      : params_(params),
        size_(size),
        low_(params.align_corners ? 0.0 : -0.5),
        high_(static_cast<double>(size) + (params.align_corners ? -1.0 : -0.5)) {}

  // False: all of it counts as zero. Real is the type that positions are computed in, the grid's
  // own (a half's is float), so that ties of nearest fall as they do elsewhere.
  template <typename Real>
  bool Find(Real fraction, Taps* taps) const {
    const auto size = static_cast<Real>(size_);
    Real exact =
        params_.align_corners ? (fraction + 1) / 2 * (size - 1) : ((fraction + 1) * size - 1) / 2;
    if (params_.mode == Mode::kNearest) exact = std::nearbyint(exact);
    auto x = static_cast<double>(exact);
    const double last = static_cast<double>(size_ - 1);
    if (!(x >= low_ && x <= high_)) {  // also when it is no number
      if (params_.padding == Padding::kReflection) {
        x = Reflect(x, low_, high_);
      } else if (params_.padding == Padding::kBorder) {
        // Cubic keeps its position, and repeats the border element under each tap outside; beyond
        // kMaxTaps all taps are that element.
        const double slack = params_.mode == Mode::kCubic ? kMaxTaps : 0;
        x = x > high_ ? std::min(x, last + slack) : x < low_ ? std::max(x, -slack) : 0;
      } else if (!(x > -kMaxTaps && x < last + kMaxTaps)) {
        return false;
      }
    }
    const double floor = std::floor(x);
    const auto first = static_cast<int64_t>(floor);
    switch (params_.mode) {
      case Mode::kNearest: taps->index[0] = Inside(first); break;
      case Mode::kLinear:
        taps->count = 2;
        taps->weight = {1 - (x - floor), x - floor};
        for (int k = 0; k < 2; ++k) taps->index[static_cast<size_t>(k)] = Inside(first + k);
        break;
      case Mode::kCubic:
        taps->count = 4;
        CubicWeights(x - floor, taps->weight);
        for (int k = 0; k < 4; ++k) taps->index[static_cast<size_t>(k)] = Inside(first - 1 + k);
        break;
    }
    return true;
  }

 private:
  int64_t Inside(int64_t index) const {
    if (index >= 0 && index < size_) return index;
    if (params_.padding == Padding::kZeros) return -1;
    if (params_.padding == Padding::kReflection) {
      index = static_cast<int64_t>(Reflect(static_cast<double>(index), low_, high_));
    }
    return std::clamp<int64_t>(index, 0, size_ - 1);
  }

  const Params& params_;
  int64_t size_;
  double low_, high_;
};

// Always three axes; missing ones lead, with one element and one tap.
using AllTaps = std::array<Taps, kMaxAxes>;

double Sample(const ConstTensorView& in, int64_t plane, const Shape& strides, const AllTaps& taps,
              int axis) {
  const Taps& t = taps[static_cast<size_t>(axis)];
  double sum = 0;
  for (size_t k = 0; k < static_cast<size_t>(t.count); ++k) {
    if (t.index[k] < 0) continue;
    const int64_t at = plane + t.index[k] * strides[axis];
    sum += t.weight[k] *
           (axis == kMaxAxes - 1 ? DoubleAt(in, at) : Sample(in, at, strides, taps, axis + 1));
  }
  return sum;
}

// Nearest: -1 when the tap counts as zero.
int64_t NearestElement(int64_t plane, const Shape& strides, const AllTaps& taps) {
  for (int a = 0; a < kMaxAxes; ++a) {
    const int64_t index = taps[static_cast<size_t>(a)].index[0];
    if (index < 0) return -1;
    plane += index * strides[a];
  }
  return plane;
}

template <typename Real>
Real GridAt(const ConstTensorView& grid, int64_t i) {
  return static_cast<Real>(DoubleAt(grid, i));
}

template <typename Real>
void RunIn(const Params& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const ConstTensorView& grid = args.inputs[1];
  const TensorView& out = args.outputs[0];
  const int64_t channels = in.shape[1];
  const int64_t positions = grid.shape.elements(1, params.axes + 1);
  const auto bytes = static_cast<size_t>(BytesPerElement(in.dtype));
  Shape padded = {1, 1, 1};
  for (int a = 0; a < params.axes; ++a) padded[kMaxAxes - params.axes + a] = in.shape[2 + a];
  const Shape strides = RowMajorStrides(padded);
  ParallelBlocks(args.parallel, in.shape[0] * positions, 256, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      AllTaps taps{};
      bool any = true;
      for (int a = 0; a < params.axes; ++a) {
        const int axis = kMaxAxes - 1 - a;  // the grid names the innermost first
        const Real fraction = GridAt<Real>(grid, k * params.axes + a);
        any = Axis(params, padded[axis]).Find(fraction, &taps[static_cast<size_t>(axis)]) && any;
      }
      const int64_t image = k / positions * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t plane = (image + c) * padded.elements();
        const int64_t to = (image + c) * positions + k % positions;
        if (params.mode != Mode::kNearest) {
          StoreDouble(out, to, any ? Sample(in, plane, strides, taps, 0) : 0);
          continue;
        }
        const int64_t from = any ? NearestElement(plane, strides, taps) : -1;
        auto* target = static_cast<std::byte*>(out.data) + static_cast<size_t>(to) * bytes;
        if (from < 0) {
          std::memset(target, 0, bytes);
        } else {
          std::memcpy(target,
                      static_cast<const std::byte*>(in.data) + static_cast<size_t>(from) * bytes,
                      bytes);
        }
      }
    }
  });
}

Status Run(const Params& params, const RunArgs& args) {
  if (args.inputs[1].dtype == DType::kF64) {
    RunIn<double>(params, args);
  } else {
    RunIn<float>(params, args);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const Params params, Read(spec));
  return MakeKernel(params, Check, Run);
}

}  // namespace

extern const KernelDef grid_sample_ref = {
    .id = "grid_sample_ref.1", .op = "GridSample", .reference = true, .bind = Bind};

}  // namespace fusee::ops
