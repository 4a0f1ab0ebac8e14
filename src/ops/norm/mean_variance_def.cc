// MeanVarianceNormalization: (x - mean) / (standard deviation + 1e-9) over `axes`, spelled with
// means. The variance is the mean of squared differences, which cannot become negative, and 16-bit
// operands are computed in f32, in which 1e-9 is more than nothing.
#include <fmt/format.h>

#include <algorithm>

#include "ops/nn/speller_def.h"

namespace fusee::ops {

namespace {

Status ImportMeanVariance(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  const DType dtype = c.info(0).dtype;
  if (!IsFloat(dtype))
    return c.Error(fmt::format("x is {}, expected floating point", DTypeName(dtype)));
  FUSEE_TRY(std::vector<int64_t> axes, c.Ints("axes", {0, 2, 3}));
  for (int64_t& axis : axes) {
    FUSEE_TRY(const int normal, c.Axis(axis, c.rank(0)));
    axis = normal;
  }
  std::ranges::sort(axes);
  if (std::ranges::adjacent_find(axes) != axes.end()) return c.Error("an axis is named twice");
  Speller s(c);
  const DType type = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const auto mean = [&](ir::ValueId x) {
    return axes.empty() ? x : s.Op("ReduceMean", {x}, {{"axes", axes}, {"keepdims", int64_t{1}}});
  };
  const ir::ValueId x = s.Cast(c.input(0), type);
  const ir::ValueId centred = s.Sub(x, mean(x));
  const ir::ValueId deviation = s.Op("Sqrt", {mean(s.Mul(centred, centred))});
  const ir::ValueId y =
      s.Cast(s.Op("Div", {centred, s.Add(deviation, s.Scalar(type, 1e-9))}), dtype);
  FUSEE_TRY(s.status());
  c.SetOutput(0, y);
  return OkStatus();
}

}  // namespace

OpDef DefineMeanVarianceNormalization() {
  return {.name = "MeanVarianceNormalization",
          .imports = {
              {.onnx_op = "MeanVarianceNormalization", .since = 9, .import = ImportMeanVariance}}};
}

}  // namespace fusee::ops
