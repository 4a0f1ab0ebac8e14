// RoiAlign, plainly. Where samples lie is computed in the regions' own type (a half's is float), as
// elsewhere: how many samples a bin has is a rounded-up quotient, which another type could round to
// another number. Values are summed in double.
//
// Regions are data: they may lie outside, be turned round, or be huge. Along an axis only the
// samples inside are visited, so that the work is bounded by the operand's size; those outside
// count as zeros. A region that is no region (not finite) or of an image that does not exist is
// refused before anything is written.
#include <algorithm>
#include <cmath>

#include "ops/movement/kernel_support.h"
#include "ops/vision/roi_step.h"

namespace fusee::ops {
namespace {

Status Check(const RoiAttrs& roi, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& regions = args.inputs[1].shape;
  if (data.rank() != 4) return InvalidArgument("RoiAlign: needs an operand [N, C, H, W]");
  if (regions.rank() != 2 || regions[1] != 4) {
    return InvalidArgument("RoiAlign: the regions should be [R, 4], got " + regions.ToString());
  }
  FUSEE_TRY(ExpectShape("RoiAlign", "images", Shape{regions[0]}, args.inputs[2].shape));
  const Shape want = {regions[0], data[1], roi.height, roi.width};
  FUSEE_TRY(ExpectShape("RoiAlign", "result", want, args.outputs[0].shape));
  if (want.elements() > 0 && data.elements() == 0) {
    return InvalidArgument("RoiAlign: an empty operand " + data.ToString() + " has no regions");
  }
  return OkStatus();
}

// Beyond this a count of samples could not be held exactly; no image has as many elements.
constexpr double kMaxExtent = 0x1p31;

// A region along one axis.
template <typename Real>
struct Extent {
  Real start = 0, bin = 0;
  int64_t samples = 0;  // of a bin
  int64_t size = 0;     // elements of the operand

  Real Position(int64_t of_bin, int64_t sample) const {
    return start + static_cast<Real>(of_bin) * bin +
           (static_cast<Real>(sample) + static_cast<Real>(0.5)) * bin / static_cast<Real>(samples);
  }
  // Samples [first, last) of the bin that lie within one element of the operand. Positions are
  // monotone in the sample, so each end is found by bisection.
  void Inside(int64_t of_bin, int64_t* first, int64_t* last) const {
    const auto low = [&](int64_t s) { return !(Position(of_bin, s) < -1); };
    const auto high = [&](int64_t s) { return !(Position(of_bin, s) > static_cast<Real>(size)); };
    // Where the bin runs backwards the samples beyond the high end come first.
    *first = Bisect([&](int64_t s) { return bin < 0 ? high(s) : low(s); });
    *last = Bisect([&](int64_t s) { return bin < 0 ? !low(s) : !high(s); });
    *last = std::max(*first, *last);
  }

 private:
  // The first sample of which the predicate holds, once it holds of all after it.
  template <typename Predicate>
  int64_t Bisect(Predicate holds) const {
    int64_t begin = 0, end = samples;
    while (begin < end) {
      const int64_t middle = begin + (end - begin) / 2;
      if (holds(middle)) {
        end = middle;
      } else {
        begin = middle + 1;
      }
    }
    return begin;
  }
};

template <typename Real>
Extent<Real> MakeExtent(const RoiAttrs& roi, Real from, Real to, int64_t bins, int64_t size) {
  const Real shift = roi.half_pixel ? static_cast<Real>(0.5) : 0;
  const Real scale = static_cast<Real>(roi.scale);
  Extent<Real> extent;
  extent.start = from * scale - shift;
  Real length = to * scale - shift - extent.start;
  if (!roi.half_pixel) length = std::max<Real>(length, 1);
  extent.bin = length / static_cast<Real>(bins);
  // Bounded by CheckRegion.
  extent.samples = roi.sampling_ratio > 0
                       ? roi.sampling_ratio
                       : std::max<int64_t>(static_cast<int64_t>(std::ceil(extent.bin)), 0);
  extent.size = size;
  return extent;
}

Status CheckRegion(const RoiAttrs& roi, const RunArgs& args, int64_t r) {
  const int64_t image = IntAt(args.inputs[2], r);
  if (image < 0 || image >= args.inputs[0].shape[0]) {
    return OutOfRange("RoiAlign: region " + std::to_string(r) + " is of image " +
                      std::to_string(image) + ", expected 0 to " +
                      std::to_string(args.inputs[0].shape[0] - 1));
  }
  for (int64_t i = 0; i < 4; ++i) {
    if (std::abs(DoubleAt(args.inputs[1], 4 * r + i) * roi.scale) <= kMaxExtent) continue;
    return OutOfRange("RoiAlign: region " + std::to_string(r) +
                      " has a coordinate that is not finite or beyond 2^31");
  }
  return OkStatus();
}

// The two neighbours of a position inside, and the weight of the second.
template <typename Real>
struct Pair {
  int64_t low = 0, high = 0;
  double weight = 0;

  Pair(Real position, int64_t size) {
    const Real x = std::max<Real>(position, 0);
    low = static_cast<int64_t>(x);
    if (low >= size - 1) {
      low = high = size - 1;
    } else {
      high = low + 1;
      weight = static_cast<double>(x - static_cast<Real>(low));
    }
  }
};

// Folds the samples of one bin of one plane.
template <typename Real>
double Bin(const RoiAttrs& roi, const ConstTensorView& in, int64_t plane, const Extent<Real>& rows,
           const Extent<Real>& columns, int64_t bin_row, int64_t bin_column) {
  int64_t y_first = 0, y_last = 0, x_first = 0, x_last = 0;
  rows.Inside(bin_row, &y_first, &y_last);
  columns.Inside(bin_column, &x_first, &x_last);
  double sum = 0, largest = 0;
  // Samples outside are zeros of the maximum as well.
  bool any = (y_last - y_first < rows.samples || x_last - x_first < columns.samples);
  for (int64_t sy = y_first; sy < y_last; ++sy) {
    const Pair<Real> y(rows.Position(bin_row, sy), rows.size);
    for (int64_t sx = x_first; sx < x_last; ++sx) {
      const Pair<Real> x(columns.Position(bin_column, sx), columns.size);
      const auto at = [&](int64_t row, int64_t column) {
        return DoubleAt(in, plane + row * columns.size + column);
      };
      const double corners[4] = {(1 - y.weight) * (1 - x.weight) * at(y.low, x.low),
                                 (1 - y.weight) * x.weight * at(y.low, x.high),
                                 y.weight * (1 - x.weight) * at(y.high, x.low),
                                 y.weight * x.weight * at(y.high, x.high)};
      sum += corners[0] + corners[1] + corners[2] + corners[3];
      // ONNX takes the largest of the weighted corners, not of their sums.
      for (const double corner : corners) {
        largest = any ? std::max(largest, corner) : corner;
        any = true;
      }
    }
  }
  if (roi.max) return rows.samples > 0 && columns.samples > 0 ? largest : 0;
  const double count = static_cast<double>(rows.samples) * static_cast<double>(columns.samples);
  return sum / std::max(count, 1.0);
}

template <typename Real>
void RunIn(const RoiAttrs& roi, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const ConstTensorView& regions = args.inputs[1];
  const TensorView& out = args.outputs[0];
  const int64_t channels = in.shape[1], height = in.shape[2], width = in.shape[3];
  ParallelBlocks(args.parallel, regions.shape[0] * channels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t r = k / channels;
      const auto corner = [&](int64_t i) {
        return static_cast<Real>(DoubleAt(regions, 4 * r + i));
      };
      const auto columns = MakeExtent<Real>(roi, corner(0), corner(2), roi.width, width);
      const auto rows = MakeExtent<Real>(roi, corner(1), corner(3), roi.height, height);
      const int64_t plane = (IntAt(args.inputs[2], r) * channels + k % channels) * height * width;
      for (int64_t y = 0; y < roi.height; ++y) {
        for (int64_t x = 0; x < roi.width; ++x) {
          StoreDouble(out, (k * roi.height + y) * roi.width + x,
                      Bin(roi, in, plane, rows, columns, y, x));
        }
      }
    }
  });
}

Status Run(const RoiAttrs& roi, const RunArgs& args) {
  for (int64_t r = 0; r < args.inputs[1].shape[0]; ++r) FUSEE_TRY(CheckRegion(roi, args, r));
  if (args.inputs[1].dtype == DType::kF64) {
    RunIn<double>(roi, args);
  } else {
    RunIn<float>(roi, args);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 3, .max_inputs = 3}));
  FUSEE_TRY(const RoiAttrs roi, ReadRoiStep(spec));
  if (spec.inputs[2].dtype != DType::kI64) return BadStep(spec, "the images should be i64");
  return MakeKernel(roi, Check, Run);
}

}  // namespace

extern const KernelDef roi_align_ref = {
    .id = "roi_align_ref.1", .op = "RoiAlign", .reference = true, .bind = Bind};

}  // namespace fusee::ops
