#include "ops/nn/epilogue.h"

#include "tensor/math_inline.h"

namespace fusee::ops {

namespace {

// One element; kKind is a constant, so that a loop over it has no branch and vectorises.
template <ActivationKind kKind>
[[gnu::always_inline]] inline float Activate(float x, float alpha, float beta) {
  if constexpr (kKind == ActivationKind::kRelu) {
    return x < 0.0f ? 0.0f : x;
  } else if constexpr (kKind == ActivationKind::kClip) {
    const float low = x < alpha ? alpha : x;
    return low > beta ? beta : low;
  } else if constexpr (kKind == ActivationKind::kSigmoid) {
    return math::SigmoidF(x);
  } else if constexpr (kKind == ActivationKind::kTanh) {
    return math::TanhF(x);
  } else if constexpr (kKind == ActivationKind::kLeakyRelu) {
    return x < 0.0f ? alpha * x : x;
  } else if constexpr (kKind == ActivationKind::kHardSigmoid) {
    const float y = alpha * x + beta;
    const float low = y < 0.0f ? 0.0f : y;
    return low > 1.0f ? 1.0f : low;
  } else if constexpr (kKind == ActivationKind::kHardSwish) {
    const float y = x * (1.0f / 6.0f) + 0.5f;
    const float low = y < 0.0f ? 0.0f : y;
    return x * (low > 1.0f ? 1.0f : low);
  } else if constexpr (kKind == ActivationKind::kGelu) {
    return 0.5f * x * (1.0f + math::ErfF(x * 0.707106781f));
  } else if constexpr (kKind == ActivationKind::kGeluTanh) {
    return 0.5f * x * (1.0f + math::TanhF(0.797884561f * (x + 0.044715f * x * x * x)));
  } else if constexpr (kKind == ActivationKind::kSilu) {
    return x * math::SigmoidF(x);
  } else {
    return x;
  }
}

// Whether there is a residual is a constant too: the loops without one read no third stream.
template <ActivationKind kKind, bool kResidual>
void Rows(const Epilogue& e, int64_t row, int64_t column, int64_t rows, int64_t columns, float* y,
          int64_t stride) {
  const float alpha = static_cast<float>(e.activation.alpha);
  const float beta = static_cast<float>(e.activation.beta);
  for (int64_t i = 0; i < rows; ++i, y += stride) {
    const float* residual = kResidual ? e.residual + (row + i) * e.residual_row + column : nullptr;
    const auto finish = [&](float sum, int64_t j) {
      if constexpr (kResidual) sum = sum + residual[j];
      y[j] = Activate<kKind>(sum, alpha, beta);
    };
    if (e.c == nullptr) {
      for (int64_t j = 0; j < columns; ++j) finish(e.alpha * y[j], j);
      continue;
    }
    const float* c = e.c + (row + i) * e.c_row + column * e.c_col;
    if (e.c_col == 0) {
      const float add = e.beta * *c;
      for (int64_t j = 0; j < columns; ++j) finish(e.alpha * y[j] + add, j);
    } else {
      for (int64_t j = 0; j < columns; ++j) finish(e.alpha * y[j] + e.beta * c[j], j);
    }
  }
}

}  // namespace

void ApplyEpilogue(const Epilogue& e, int64_t row, int64_t column, int64_t rows, int64_t columns,
                   float* y, int64_t stride) {
  if (e.empty()) return;
#define FUSEE_CASE(kind)                                                                     \
  case ActivationKind::kind:                                                                 \
    return e.residual == nullptr                                                             \
               ? Rows<ActivationKind::kind, false>(e, row, column, rows, columns, y, stride) \
               : Rows<ActivationKind::kind, true>(e, row, column, rows, columns, y, stride)
  switch (e.activation.kind) {
    FUSEE_CASE(kNone);
    FUSEE_CASE(kRelu);
    FUSEE_CASE(kClip);
    FUSEE_CASE(kSigmoid);
    FUSEE_CASE(kTanh);
    FUSEE_CASE(kLeakyRelu);
    FUSEE_CASE(kHardSigmoid);
    FUSEE_CASE(kHardSwish);
    FUSEE_CASE(kGelu);
    FUSEE_CASE(kGeluTanh);
    FUSEE_CASE(kSilu);
  }
#undef FUSEE_CASE
}

}  // namespace fusee::ops
