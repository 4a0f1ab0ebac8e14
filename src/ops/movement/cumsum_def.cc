// CumSum and CumProd along `axis`: running sums or products; exclusive leaves out the element
// itself, reverse runs from the end.
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferCumulative(InferContext& context) {
  FUSEE_TRY(const int64_t attribute, context.attrs().Int("axis", 0));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  (void)axis;
  if (context.dtype(0) == DType::kBool) return context.Error("is not defined for bool");
  context.SetOutput(0, context.dtype(0), context.shape(0));
  return OkStatus();
}

Status ImportCumulative(ImportContext& context) {
  FUSEE_TRY(const std::vector<int64_t> attribute, context.ConstInts(1, "axis"));
  if (attribute.size() != 1) return context.Error("the axis should have one element");
  FUSEE_TRY(const int axis, context.Axis(attribute[0], context.rank(0)));
  FUSEE_TRY(const int64_t exclusive, context.Int("exclusive", 0));
  FUSEE_TRY(const int64_t reverse, context.Int("reverse", 0));
  return context.EmitAs(context.node().op_type, {context.input(0)},
                        {{"axis", int64_t{axis}}, {"exclusive", exclusive}, {"reverse", reverse}},
                        {});
}

}  // namespace

OpDef DefineCumSum() {
  return {.name = "CumSum",
          .infer = InferCumulative,
          .imports = {{"CumSum", 11, 1 << 20, ImportCumulative}}};
}

OpDef DefineCumProd() {
  return {.name = "CumProd",
          .infer = InferCumulative,
          .imports = {{"CumProd", 26, 1 << 20, ImportCumulative}}};
}

}  // namespace fusee::ops
