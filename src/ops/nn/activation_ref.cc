#include "ops/nn/activation.h"
#include "tensor/math.h"

namespace fusee::ops {

double ApplyActivation(const Activation& a, double x) {
  switch (a.kind) {
    case ActivationKind::kNone: return x;
    case ActivationKind::kRelu: return x < 0 ? 0 : x;
    case ActivationKind::kClip: {
      const double low = x < a.alpha ? a.alpha : x;
      return low > a.beta ? a.beta : low;
    }
    case ActivationKind::kSigmoid: return 1 / (1 + math::Exp(-x));
    case ActivationKind::kTanh: return math::Tanh(x);
    case ActivationKind::kLeakyRelu: return x < 0 ? a.alpha * x : x;
    case ActivationKind::kHardSigmoid: {
      const double y = a.alpha * x + a.beta;
      return y < 0 ? 0 : y > 1 ? 1 : y;
    }
    case ActivationKind::kHardSwish: {
      const double y = x / 6 + 0.5;
      return x * (y < 0 ? 0 : y > 1 ? 1 : y);
    }
    case ActivationKind::kGelu: return 0.5 * x * (1 + math::Erf(x * 0.70710678118654752440));
    case ActivationKind::kGeluTanh:
      return 0.5 * x * (1 + math::Tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case ActivationKind::kSilu: return x / (1 + math::Exp(-x));
  }
  return x;
}

}  // namespace fusee::ops
