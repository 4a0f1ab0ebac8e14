// The activation that a pass fused into Conv, Gemm or MatMul, applied to each result element as its
// last step, after the bias and the residual.
//
// Attributes: `activation` (one of the names below; absent or "": none), `activation_alpha`,
// `activation_beta`.
//
//   Relu         max(x, 0)                     Clip        min(max(x, alpha), beta); default
//   unbounded Sigmoid      1 / (1 + e^-x)                Tanh        tanh(x) LeakyRelu    x < 0 ?
//   alpha x : x; 0.01     HardSigmoid min(max(alpha x + beta, 0), 1); 0.2, 0.5 HardSwish    x
//   min(max(x / 6 + 0.5, 0), 1) Silu        x / (1 + e^-x) Gelu         x (1 + erf(x / sqrt 2)) / 2
//   GeluTanh    x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2
//
// NaN in, NaN out for all of them.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "base/status.h"
#include "tensor/attrs.h"

namespace fusee::ops {

enum class ActivationKind : uint8_t {
  kNone,
  kRelu,
  kClip,
  kSigmoid,
  kTanh,
  kLeakyRelu,
  kHardSigmoid,
  kHardSwish,
  kGelu,
  kGeluTanh,
  kSilu
};

struct Activation {
  ActivationKind kind = ActivationKind::kNone;
  double alpha = 0;
  double beta = 0;
};

// Header only, and without fmt: definitions check it too, and CUDA kernels see this file. Errors:
// kInvalidArgument for an unknown name.
inline Result<Activation> ParseActivation(const Attrs& attrs) {
  struct Entry {
    std::string_view name;
    Activation defaults;
  };
  constexpr double kInf = std::numeric_limits<double>::infinity();
  static constexpr Entry kTable[] = {
      {"", {ActivationKind::kNone, 0, 0}},
      {"Relu", {ActivationKind::kRelu, 0, 0}},
      {"Clip", {ActivationKind::kClip, -kInf, kInf}},
      {"Sigmoid", {ActivationKind::kSigmoid, 0, 0}},
      {"Tanh", {ActivationKind::kTanh, 0, 0}},
      {"LeakyRelu", {ActivationKind::kLeakyRelu, static_cast<double>(0.01f), 0}},
      {"HardSigmoid", {ActivationKind::kHardSigmoid, static_cast<double>(0.2f), 0.5}},
      {"HardSwish", {ActivationKind::kHardSwish, 0, 0}},
      {"Gelu", {ActivationKind::kGelu, 0, 0}},
      {"GeluTanh", {ActivationKind::kGeluTanh, 0, 0}},
      {"Silu", {ActivationKind::kSilu, 0, 0}},
  };
  FUSEE_TRY(std::string name, attrs.Str("activation", ""));
  for (const Entry& entry : kTable) {
    if (entry.name != name) continue;
    Activation a = entry.defaults;
    FUSEE_TRY(a.alpha, attrs.Float("activation_alpha", a.alpha));
    FUSEE_TRY(a.beta, attrs.Float("activation_beta", a.beta));
    return a;
  }
  return InvalidArgument("activation '" + name + "' is unknown");
}

// One element in double, for reference kernels. The float form is in epilogue.h.
double ApplyActivation(const Activation& activation, double x);

}  // namespace fusee::ops
