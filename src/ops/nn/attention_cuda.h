// Attention as CUDA kernels take it: nn/attention.h in 32-bit sizes, with addresses.
#pragma once

#include "ops/nn/attention.h"

namespace fusee::ops {

struct AttentionArgsCuda {
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  const void* bias = nullptr;  // may be null
  void* y = nullptr;
  int heads = 1, seq_q = 0, seq_k = 0, dim = 0, dim_v = 0;
  int query_tiles = 0;
  bool zero_nan_rows = false;
  bool aligned = false;  // q, k and v may be read 16 bytes at a time
  float scale = 1;
  // Row strides of q, k, v and y in elements; all hold every head of a position.
  int64_t q_row = 0, k_row = 0, v_row = 0, y_row = 0;
  int64_t bias_strides[4] = {};
};

// The arguments of a run whose blocks take `rows` queries each. Errors: kInvalidArgument as
// CheckAttention; kOutOfRange for more than 2^31 blocks or sizes.
Result<AttentionArgsCuda> MakeAttentionArgsCuda(const AttentionParams& params, const RunArgs& args,
                                                int rows, int64_t* blocks);

}  // namespace fusee::ops
