// Constant: becomes a constant of the graph; no node is left.
#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Result<Tensor> ReadValue(ImportContext& context) {
  if (context.HasAttr("value")) return context.TensorAttr("value");
  if (context.HasAttr("value_int")) {
    FUSEE_TRY(const int64_t value, context.Int("value_int", 0));
    return Tensor::Of<int64_t>(Shape{}, {value});
  }
  if (context.HasAttr("value_ints")) {
    FUSEE_TRY(const std::vector<int64_t> values, context.Ints("value_ints"));
    return Tensor::Of<int64_t>(Shape{static_cast<int64_t>(values.size())}, values);
  }
  if (context.HasAttr("value_float")) {
    FUSEE_TRY(const double value, context.Float("value_float", 0));
    return Tensor::Of<float>(Shape{}, {static_cast<float>(value)});
  }
  if (context.HasAttr("value_floats")) {
    FUSEE_TRY(const std::vector<double> values, context.Floats("value_floats"));
    const std::vector<float> floats(values.begin(), values.end());
    return Tensor::Of<float>(Shape{static_cast<int64_t>(floats.size())}, floats);
  }
  return context.Refuse(
      "holds no tensor of numbers (value, value_int, value_ints, value_float or value_floats); "
      "strings and sparse tensors are not supported");
}

Status ImportConstant(ImportContext& context) {
  FUSEE_TRY(Tensor tensor, ReadValue(context));
  context.SetOutput(0, context.Constant(std::move(tensor)));
  return OkStatus();
}

}  // namespace

OpDef DefineConstant() {
  return {.name = "Constant", .imports = {{"Constant", 1, 1 << 20, ImportConstant}}};
}

}  // namespace fusee::ops
