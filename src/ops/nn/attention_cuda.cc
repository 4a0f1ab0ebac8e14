#include "ops/nn/attention_cuda.h"

#include <fmt/format.h>

#include "base/checked_math.h"
#include "tensor/dtype.h"

namespace fusee::ops {
namespace {

constexpr int64_t kSizeMax = (int64_t{1} << 31) - 4096;  // a tile above it still fits 32 bits

const void* Offset(const void* base, int64_t elements, DType dtype) {
  return static_cast<const std::byte*>(base) + elements * BytesPerElement(dtype);
}

bool IsAligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

Result<AttentionArgsCuda> MakeAttentionArgsCuda(const AttentionParams& params, const RunArgs& args,
                                                int rows, int64_t* blocks) {
  AttentionShape s;
  FUSEE_TRY(CheckAttention(params, args, &s));
  const int64_t tiles = (s.seq_q + rows - 1) / rows;
  const int64_t dims[] = {tiles, s.heads, s.batch};
  if (s.seq_q > kSizeMax || s.seq_k > kSizeMax || s.dim > kSizeMax || s.dim_v > kSizeMax ||
      !CheckedProduct(dims, blocks) || *blocks > kSizeMax) {
    return OutOfRange(
        fmt::format("FusedAttention: {} queries of {} heads in {} items, expected up "
                    "to {} blocks of {}",
                    s.seq_q, s.heads, s.batch, kSizeMax, rows));
  }
  AttentionArgsCuda a;
  a.q = args.inputs[0].data;
  a.k = params.packed ? Offset(a.q, s.k_first, params.dtype) : args.inputs[1].data;
  a.v = params.packed ? Offset(a.q, s.v_first, params.dtype) : args.inputs[2].data;
  if (args.has_input(3)) a.bias = args.inputs[3].data;
  a.y = args.outputs[0].data;
  a.heads = static_cast<int>(s.heads);
  a.seq_q = static_cast<int>(s.seq_q);
  a.seq_k = static_cast<int>(s.seq_k);
  a.dim = static_cast<int>(s.dim);
  a.dim_v = static_cast<int>(s.dim_v);
  a.query_tiles = static_cast<int>(tiles);
  // A head starts at a multiple of its width in a row, so that widths decide for all of them.
  a.aligned = s.dim % 8 == 0 && s.dim_v % 8 == 0 && IsAligned(a.q) && IsAligned(a.k) &&
              IsAligned(a.v) && BitsPerElement(params.dtype) == 16;
  a.zero_nan_rows = params.zero_nan_rows;
  a.scale = static_cast<float>(params.scale);
  a.q_row = s.q_row;
  a.k_row = s.k_row;
  a.v_row = s.v_row;
  a.y_row = s.heads * s.dim_v;
  for (size_t i = 0; i < 4; ++i) a.bias_strides[i] = s.bias[i];
  return a;
}

}  // namespace fusee::ops
