// MaxRoiPool, plainly: a region's corners are rounded to elements, both included; a bin that holds
// no element of the operand is 0. Bins are computed in the regions' own type (a half's is float).
// Regions are data: one that is not finite, or of an image that does not exist, is refused before
// anything is written.
#include <algorithm>
#include <cmath>

#include "ops/movement/kernel_support.h"
#include "ops/vision/roi_step.h"

namespace fusee::ops {
namespace {

// Keeps a corner and a region's length exact in 64 bits.
constexpr double kMaxCoordinate = 0x1p31;

Status Check(const RoiAttrs& roi, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& regions = args.inputs[1].shape;
  if (data.rank() != 4) return InvalidArgument("MaxRoiPool: needs an operand [N, C, H, W]");
  if (regions.rank() != 2 || regions[1] != 5) {
    return InvalidArgument("MaxRoiPool: the regions should be [R, 5], got " + regions.ToString());
  }
  return ExpectShape("MaxRoiPool", "result", {regions[0], data[1], roi.height, roi.width},
                     args.outputs[0].shape);
}

Status CheckRegion(const RoiAttrs& roi, const RunArgs& args, int64_t r) {
  const double image = DoubleAt(args.inputs[1], 5 * r);
  // The fraction is cut off, as elsewhere.
  if (!(image > -1 && image < static_cast<double>(args.inputs[0].shape[0]))) {
    return OutOfRange("MaxRoiPool: region " + std::to_string(r) + " is of image " +
                      std::to_string(image) + ", expected 0 to " +
                      std::to_string(args.inputs[0].shape[0] - 1));
  }
  for (int64_t i = 1; i < 5; ++i) {
    if (std::abs(DoubleAt(args.inputs[1], 5 * r + i) * roi.scale) <= kMaxCoordinate) continue;
    return OutOfRange("MaxRoiPool: region " + std::to_string(r) +
                      " has a coordinate that is not finite or beyond 2^31");
  }
  return OkStatus();
}

// The elements [first, last) of one bin along an axis.
struct Span {
  int64_t first = 0, last = 0;
};

template <typename Real>
Span BinSpan(Real from, Real to, Real scale, int64_t bins, int64_t bin, int64_t size) {
  const auto start = static_cast<int64_t>(std::round(from * scale));
  const auto end = static_cast<int64_t>(std::round(to * scale));
  const auto length = static_cast<Real>(std::max<int64_t>(end - start + 1, 1));
  const Real step = length / static_cast<Real>(bins);
  const auto first = static_cast<int64_t>(std::floor(static_cast<Real>(bin) * step)) + start;
  const auto last = static_cast<int64_t>(std::ceil(static_cast<Real>(bin + 1) * step)) + start;
  return {std::clamp<int64_t>(first, 0, size), std::clamp<int64_t>(last, 0, size)};
}

double Largest(const ConstTensorView& in, int64_t plane, const Span& rows, const Span& columns) {
  bool any = false;
  double largest = 0;
  for (int64_t y = rows.first; y < rows.last; ++y) {
    for (int64_t x = columns.first; x < columns.last; ++x) {
      const double value = DoubleAt(in, plane + y * in.shape[3] + x);
      largest = any ? std::max(largest, value) : value;
      any = true;
    }
  }
  return largest;
}

template <typename Real>
void RunIn(const RoiAttrs& roi, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const ConstTensorView& regions = args.inputs[1];
  const int64_t channels = in.shape[1], height = in.shape[2], width = in.shape[3];
  const Real scale = static_cast<Real>(roi.scale);
  ParallelBlocks(args.parallel, regions.shape[0] * channels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t r = k / channels;
      const auto number = [&](int64_t i) {
        return static_cast<Real>(DoubleAt(regions, 5 * r + i));
      };
      const auto image = static_cast<int64_t>(DoubleAt(regions, 5 * r));
      const int64_t plane = (image * channels + k % channels) * height * width;
      for (int64_t y = 0; y < roi.height; ++y) {
        const Span rows = BinSpan(number(2), number(4), scale, roi.height, y, height);
        for (int64_t x = 0; x < roi.width; ++x) {
          const Span columns = BinSpan(number(1), number(3), scale, roi.width, x, width);
          StoreDouble(args.outputs[0], (k * roi.height + y) * roi.width + x,
                      Largest(in, plane, rows, columns));
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
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2}));
  FUSEE_TRY(const RoiAttrs roi, ReadRoiStep(spec));
  return MakeKernel(roi, Check, Run);
}

}  // namespace

extern const KernelDef max_roi_pool_ref = {
    .id = "max_roi_pool_ref.1", .op = "MaxRoiPool", .reference = true, .bind = Bind};

}  // namespace fusee::ops
