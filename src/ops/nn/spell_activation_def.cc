#include "ops/nn/spell_activation_def.h"

#include <fmt/format.h>

namespace fusee::ops {

Result<ir::ValueId> SpellActivation(ImportContext& context, ir::ValueId x, const std::string& name,
                                    std::optional<double> alpha, std::optional<double> beta) {
  if (name.empty()) return x;
  if (name == "Relu" || name == "Sigmoid" || name == "Tanh") return context.Emit(name, {x});
  if (name == "LeakyRelu")
    return context.Emit(name, {x}, {{"alpha", alpha.value_or(static_cast<double>(0.01f))}});
  if (name == "HardSigmoid") {
    return context.Emit(
        name, {x},
        {{"alpha", alpha.value_or(static_cast<double>(0.2f))}, {"beta", beta.value_or(0.5)}});
  }
  if (name == "Clip") {
    if (!alpha || !beta) return context.Error("activation Clip needs two parameters: min and max");
    const DType dtype = context.graph().value(x).info.dtype;
    return context.Emit(name, {x, context.Scalar(dtype, *alpha), context.Scalar(dtype, *beta)});
  }
  return context.Refuse(
      fmt::format("activation '{}' is not supported; expected Relu, Sigmoid, Tanh, LeakyRelu, "
                  "HardSigmoid or Clip, or the activation as a node of its own",
                  name));
}

}  // namespace fusee::ops
