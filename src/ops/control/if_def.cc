// If whose condition is known while building: the branch that is taken stands in the node's place,
// the other is not looked at. Exporters write such conditions about shapes and sample rates.
#include "ops/control/known.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status ImportIf(ImportContext& context) {
  FUSEE_TRY(const bool taken, KnownCondition(context, context.input(0), "condition"));
  const onnx::Graph* then_branch = context.GraphAttr("then_branch");
  const onnx::Graph* else_branch = context.GraphAttr("else_branch");
  if (then_branch == nullptr || else_branch == nullptr)
    return context.Error("expected the attributes then_branch and else_branch to be graphs");
  FUSEE_TRY(const std::vector<ir::ValueId> results,
            context.Inline(taken ? *then_branch : *else_branch, {}));
  if (results.size() < context.output_count()) {
    return context.Error(fmt::format("the branch that is taken gives {} results, expected {}",
                                     results.size(), context.output_count()));
  }
  for (size_t i = 0; i < context.output_count(); ++i) context.SetOutput(i, results[i]);
  return OkStatus();
}

}  // namespace

OpDef DefineIf() { return {.name = "If", .imports = {{"If", 1, 1 << 20, ImportIf}}}; }

}  // namespace fusee::ops
