// What happens to a float sum before it is a result, on the device: the same steps in the same
// order as nn/epilogue.h, in float whatever the storage.
//
// Exact erf and tanh come from CUDA's math library (2 and 1 units in the last place). NaN stays
// NaN.
#pragma once

#include "cuda/numeric.cuh"
#include "ops/nn/activation.h"
#include "ops/nn/matmul_cuda.h"

namespace fusee::ops {

struct ActivationCuda {
  ActivationKind kind = ActivationKind::kNone;
  float alpha = 0;
  float beta = 0;
};

inline ActivationCuda ToCuda(const Activation& a) {
  return {a.kind, static_cast<float>(a.alpha), static_cast<float>(a.beta)};
}

__device__ __forceinline__ float SigmoidCuda(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

// `count` values of an array that stays in registers. The branch is the same for the whole grid; it
// stands outside the loop, and the caller's loop over groups should not be unrolled.
template <int kCount>
__device__ __forceinline__ void Activate(const ActivationCuda& a, float (&x)[kCount]) {
#define FUSEE_EACH(expression)                         \
  _Pragma("unroll") for (int i = 0; i < kCount; ++i) { \
    const float v = x[i];                              \
    x[i] = (expression);                               \
  }                                                    \
  break
  switch (a.kind) {
    case ActivationKind::kNone: break;
    case ActivationKind::kRelu: FUSEE_EACH(v < 0.0f ? 0.0f : v);
    case ActivationKind::kClip: {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const float low = x[i] < a.alpha ? a.alpha : x[i];
        x[i] = low > a.beta ? a.beta : low;
      }
      break;
    }
    case ActivationKind::kSigmoid: FUSEE_EACH(SigmoidCuda(v));
    case ActivationKind::kTanh: FUSEE_EACH(tanhf(v));
    case ActivationKind::kLeakyRelu: FUSEE_EACH(v < 0.0f ? a.alpha * v : v);
    case ActivationKind::kHardSigmoid:
    case ActivationKind::kHardSwish: {
      const bool swish = a.kind == ActivationKind::kHardSwish;
      const float scale = swish ? 1.0f / 6.0f : a.alpha;
      const float shift = swish ? 0.5f : a.beta;
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const float y = scale * x[i] + shift;
        const float gate = y < 0.0f ? 0.0f : (y > 1.0f ? 1.0f : y);
        x[i] = swish ? x[i] * gate : gate;
      }
      break;
    }
    case ActivationKind::kGelu: FUSEE_EACH(0.5f * v * (1.0f + erff(v * 0.707106781f)));
    case ActivationKind::kGeluTanh:
      FUSEE_EACH(0.5f * v * (1.0f + tanhf(0.797884561f * (v + 0.044715f * v * v * v))));
    case ActivationKind::kSilu: FUSEE_EACH(v * SigmoidCuda(v));
  }
#undef FUSEE_EACH
}

// y = activation(alpha * sum + beta * c[row * c_row + column * c_col] + residual[row * ld +
// column]) for one matrix of a result whose rows are ld apart. c and residual may be null.
template <typename T>
struct EpilogueCuda {
  float alpha = 1;
  float beta = 1;
  const T* c = nullptr;
  int64_t c_row = 0;
  int64_t c_col = 0;
  const T* residual = nullptr;
  ActivationCuda activation;
};

// Finishes kCount (8) neighbouring sums of one row and stores `count` of them; whole packs when
// `vector` says that c (where c_col is 1), residual and y may be read 16 bytes at a time there.
template <typename T>
__device__ __forceinline__ void FinishRow(const EpilogueCuda<T>& e, const T* residual, T* y,
                                          int64_t ld, int64_t row, int64_t column, int count,
                                          bool vector, float (&sum)[8]) {
  using cuda::FromFloat;
  using cuda::ToFloat;
  constexpr int kPacks = static_cast<int>(8 * sizeof(T) / 16);
  constexpr int kPer = cuda::Pack<T>::kCount;
  const int64_t at = row * ld + column;
  const bool whole = vector && count == 8;
#pragma unroll
  for (int i = 0; i < 8; ++i) sum[i] *= e.alpha;
  if (e.c != nullptr) {
    const T* c = e.c + row * e.c_row + column * e.c_col;
    if (whole && e.c_col == 1) {
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        const cuda::Pack<T> pack = reinterpret_cast<const cuda::Pack<T>*>(c)[p];
#pragma unroll
        for (int i = 0; i < kPer; ++i) sum[p * kPer + i] += e.beta * ToFloat(pack.value[i]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i)
        if (i < count) sum[i] += e.beta * ToFloat(c[i * e.c_col]);
    }
  }
  if (residual != nullptr) {
    if (whole) {
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        const cuda::Pack<T> pack = reinterpret_cast<const cuda::Pack<T>*>(residual + at)[p];
#pragma unroll
        for (int i = 0; i < kPer; ++i) sum[p * kPer + i] += ToFloat(pack.value[i]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i)
        if (i < count) sum[i] += ToFloat(residual[at + i]);
    }
  }
  Activate(e.activation, sum);
  if (whole) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      cuda::Pack<T> pack;
#pragma unroll
      for (int i = 0; i < kPer; ++i) pack.value[i] = FromFloat<T>(sum[p * kPer + i]);
      reinterpret_cast<cuda::Pack<T>*>(y + at)[p] = pack;
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i)
      if (i < count) y[at + i] = FromFloat<T>(sum[i]);
  }
}

// The epilogue of a run, and whether rows of the result, c and residual may be accessed 16 bytes at
// a time (columns a multiple of 8, everything aligned).
template <typename T>
EpilogueCuda<T> MakeEpilogueCuda(const MatMulParams& params, const MatMulShape& s,
                                 const RunArgs& args, bool* vector) {
  EpilogueCuda<T> e;
  e.alpha = static_cast<float>(params.alpha);
  e.beta = static_cast<float>(params.beta);
  e.activation = ToCuda(params.activation);
  *vector = s.n % 8 == 0 && cuda::IsPackAligned(args.outputs[0].data);
  if (args.has_input(2)) {
    e.c = static_cast<const T*>(args.inputs[2].data);
    e.c_row = s.c_row;
    e.c_col = s.c_col;
    *vector = *vector && cuda::IsPackAligned(e.c);
  }
  if (args.has_input(3)) {
    e.residual = static_cast<const T*>(args.inputs[3].data);
    *vector = *vector && cuda::IsPackAligned(e.residual);
  }
  return e;
}

// First elements of a and b for matrix `batch` of the result.
__device__ __forceinline__ void BatchOffsets(const BatchStridesCuda& s, uint32_t batch,
                                             int64_t* a_offset, int64_t* b_offset) {
  *a_offset = 0;
  *b_offset = 0;
  for (int i = s.rank - 1; i >= 0; --i) {
    const uint32_t size = static_cast<uint32_t>(s.dims[i]);
    const uint32_t index = batch % size;
    batch /= size;
    *a_offset += index * s.a[i];
    *b_offset += index * s.b[i];
  }
}

}  // namespace fusee::ops
