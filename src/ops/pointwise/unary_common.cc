#include "ops/pointwise/unary_functions.h"

namespace fusee::ops::pointwise {
namespace {

struct AttrNames {
  std::string_view op;
  const char* alpha;
  double alpha_default;
  const char* beta;
  double beta_default;
};

// The defaults are floats in ONNX.
constexpr AttrNames kAttrNames[] = {
    {"LeakyRelu", "alpha", 0.01f, nullptr, 0},
    {"ThresholdedRelu", "alpha", 1, nullptr, 0},
    {"Elu", "alpha", 1, nullptr, 0},
    {"Celu", "alpha", 1, nullptr, 0},
    {"Selu", "alpha", 1.67326319f, "gamma", 1.05070102f},
    {"HardSigmoid", "alpha", 0.2f, "beta", 0.5f},
    {"Swish", "alpha", 1, nullptr, 0},
    {"Shrink", "lambd", 0.5f, "bias", 0},
};

}  // namespace

Result<UnaryAttrs> ReadUnaryAttrs(std::string_view op, const Attrs& attrs) {
  UnaryAttrs result;
  for (const AttrNames& names : kAttrNames) {
    if (names.op != op) continue;
    FUSEE_TRY(result.alpha, attrs.Float(names.alpha, names.alpha_default));
    if (names.beta != nullptr) {
      FUSEE_TRY(result.beta, attrs.Float(names.beta, names.beta_default));
    }
  }
  if (op == "Gelu") {
    FUSEE_TRY(const std::string approximate, attrs.Str("approximate", "none"));
    if (approximate != "none" && approximate != "tanh") {
      return InvalidArgument("Gelu: attribute 'approximate' should be none or tanh, got '" +
                             approximate + "'");
    }
    result.tanh = approximate == "tanh";
  }
  return result;
}

}  // namespace fusee::ops::pointwise
