// NonMaxSuppression, class by class: boxes above the least score are sorted (equal scores by
// position, NaN last), and each is compared with those taken before it. Overlap is computed in
// double from the f32 coordinates.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {
  bool center = false;
};

struct Box {
  double y1, x1, y2, x2;
  double area() const { return (y2 - y1) * (x2 - x1); }
};

Box BoxAt(const Params& params, const float* at) {
  if (params.center) {
    const double x = at[0], y = at[1], half_w = at[2] / 2.0, half_h = at[3] / 2.0;
    return {y - half_h, x - half_w, y + half_h, x + half_w};
  }
  const double y1 = at[0], x1 = at[1], y2 = at[2], x2 = at[3];
  return {std::min(y1, y2), std::min(x1, x2), std::max(y1, y2), std::max(x1, x2)};
}

// Intersection over union above the share. Boxes without area overlap nothing.
bool Overlaps(const Box& a, const Box& b, double share) {
  const double height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  const double width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (!(height > 0) || !(width > 0)) return false;
  const double area_a = a.area(), area_b = b.area(), both = height * width;
  if (!(area_a > 0) || !(area_b > 0)) return false;
  return both / (area_a + area_b - both) > share;
}

Status Check(const Params&, const RunArgs& args) {
  const Shape& boxes = args.inputs[0].shape;
  FUSEE_TRY(ExpectShape("NonMaxSuppression", "boxes", {boxes[0], boxes[1], 4}, boxes));
  const Shape& scores = args.inputs[1].shape;
  FUSEE_TRY(ExpectShape("NonMaxSuppression", "scores", {boxes[0], scores[1], boxes[1]}, scores));
  for (size_t i = 2; i < args.inputs.size(); ++i) {
    if (args.has_input(i) && args.inputs[i].elements() != 1)
      return InvalidArgument("NonMaxSuppression: limits and thresholds have one element");
  }
  return ExpectShape("NonMaxSuppression", "result", {args.counts[0], 3}, args.outputs[0].shape);
}

Status Run(const Params& params, const RunArgs& args) {
  const auto real = [&](size_t i, double absent) {
    return args.has_input(i) ? static_cast<double>(*args.inputs[i].as<float>()) : absent;
  };
  const int64_t limit = args.has_input(2) ? *args.inputs[2].as<int64_t>() : 0;
  const double share = real(3, 0);
  const bool has_least = args.has_input(4);
  const double least = real(4, 0);
  const Shape& shape = args.inputs[1].shape;
  const int64_t classes = shape[1], count = shape[2];
  auto* order = reinterpret_cast<int64_t*>(args.workspace.data());
  int64_t* out = args.outputs[0].as<int64_t>();
  const int64_t room = args.counts[0];
  int64_t found = 0;
  for (int64_t k = 0; k < shape[0] * classes; ++k) {
    const float* boxes = args.inputs[0].as<float>() + k / classes * count * 4;
    const float* scores = args.inputs[1].as<float>() + k * count;
    int64_t candidates = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (!has_least || static_cast<double>(scores[i]) > least) order[candidates++] = i;
    }
    std::sort(order, order + candidates, [&](int64_t a, int64_t b) {
      const float x = scores[a], y = scores[b];
      if (std::isnan(x) || std::isnan(y))
        return std::isnan(x) == std::isnan(y) ? a < b : std::isnan(y);
      return x != y ? x > y : a < b;
    });
    // Those taken move to the front of the order.
    int64_t taken = 0;
    for (int64_t i = 0; i < candidates && taken < limit; ++i) {
      const Box box = BoxAt(params, boxes + order[i] * 4);
      const bool hidden = std::any_of(order, order + taken, [&](int64_t before) {
        return Overlaps(BoxAt(params, boxes + before * 4), box, share);
      });
      if (hidden) continue;
      order[taken++] = order[i];
      if (found < room) {
        out[found * 3] = k / classes;
        out[found * 3 + 1] = k % classes;
        out[found * 3 + 2] = order[taken - 1];
      }
      ++found;
    }
  }
  if (found > room) return MoreThanBound(found, room);
  args.counts[0] = found;
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 5}));
  if (spec.count_count != 1) return BadStep(spec, "should find one size");
  constexpr DType kTypes[] = {DType::kF32, DType::kF32, DType::kI64, DType::kF32, DType::kF32};
  for (size_t i = 0; i < spec.input_count(); ++i) {
    if (spec.has_input(i) && spec.inputs[i].dtype != kTypes[i])
      return BadStep(spec, "boxes, scores and thresholds should be f32, the limit i64");
  }
  if (spec.inputs[0].max_shape.rank() != 3 || spec.inputs[1].max_shape.rank() != 3)
    return BadStep(spec, "boxes and scores should have rank 3");
  if (spec.outputs[0].dtype != DType::kI64) return BadStep(spec, "the result should be i64");
  FUSEE_TRY(const int64_t center, spec.attrs->Int("center_point_box", 0));
  const auto boxes = static_cast<size_t>(spec.inputs[1].max_shape[2]);
  return MakeKernel(Params{center != 0}, Check, Run, boxes * sizeof(int64_t));
}

}  // namespace

extern const KernelDef non_max_suppression_ref = {
    .id = "non_max_suppression_ref.1", .op = "NonMaxSuppression", .reference = true, .bind = Bind};

}  // namespace fusee::ops
