#include "ops/nn/epilogue.h"

#include "ops/norm/lanes.h"
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

// Always inlined, as Activate is: what a compiler inlines late it has given branches, and the loop
// around it does not vectorise.
template <ActivationKind kKind, bool kResidual>
[[gnu::always_inline]] inline float Finish(float sum, const float* residual, int64_t j, float alpha,
                                           float beta) {
  if constexpr (kResidual) sum = sum + residual[j];
  return Activate<kKind>(sum, alpha, beta);
}

// Whether there is a residual is a constant too: the loops without one read no third stream. What a
// loop reads besides y is kept in locals and declared independent of y, so that it is read once.
template <ActivationKind kKind, bool kResidual>
void Rows(const Epilogue& e, int64_t row, int64_t column, int64_t rows, int64_t columns, float* y,
          int64_t stride) {
  const float alpha = static_cast<float>(e.activation.alpha);
  const float beta = static_cast<float>(e.activation.beta);
  const float scale = e.alpha;
  const float c_scale = e.beta;
  for (int64_t i = 0; i < rows; ++i, y += stride) {
    const float* r = kResidual ? e.residual + (row + i) * e.residual_row + column : nullptr;
    const float* c = e.c == nullptr ? nullptr : e.c + (row + i) * e.c_row + column * e.c_col;
    if (c == nullptr) {
      FUSEE_INDEPENDENT_LOOP
      for (int64_t j = 0; j < columns; ++j)
        y[j] = Finish<kKind, kResidual>(scale * y[j], r, j, alpha, beta);
    } else if (e.c_col == 0) {
      const float add = c_scale * *c;
      FUSEE_INDEPENDENT_LOOP
      for (int64_t j = 0; j < columns; ++j)
        y[j] = Finish<kKind, kResidual>(scale * y[j] + add, r, j, alpha, beta);
    } else {
      FUSEE_INDEPENDENT_LOOP
      for (int64_t j = 0; j < columns; ++j)
        y[j] = Finish<kKind, kResidual>(scale * y[j] + c_scale * c[j], r, j, alpha, beta);
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
