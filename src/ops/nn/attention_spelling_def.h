// Attention written with MatMul and Softmax, for the import rules of every operator that is one
// (Attention of ai.onnx and of com.microsoft, MultiHeadAttention, FlexAttention). The spelling is
// the one that fuse_attention recognises, so that the usual forms become FusedAttention.
//
//   p = softmax(softcap(scale * q k^T) + bias)        y = p v
#pragma once

#include "ops/nn/speller_def.h"

namespace fusee::ops {

struct AttentionSpelling {
  // q [batch, heads, seq_q, dim], k [batch, kv_heads, seq_k, dim], v [batch, kv_heads, seq_k,
  // dim_v], of one type. Query head h reads head h / (heads / kv_heads) of k and v.
  ir::ValueId q, k, v;
  ir::Dim batch, heads, kv_heads, seq_q, seq_k, dim, dim_v;
  DType dtype = DType::kInvalid;
  double scale = 1;
  double softcap = 0;                    // 0: none; else scores become cap * tanh(score / cap)
  DType softmax_type = DType::kInvalid;  // kInvalid: dtype
  ir::ValueId bias;                      // of dtype, broadcasts to the scores; invalid: none
  bool zero_masked_rows = false;         // a row of which every bias is -infinity gives 0
  bool joined = false;                   // y as [batch, seq_q, heads * dim_v], not by heads
  enum class Probe : uint8_t { kNone = 4, kProduct = 0, kCapped = 1, kBiased = 2, kWeights = 3 };
  Probe probe = Probe::kNone;  // what of the scores is wanted as a result of its own
};

struct SpelledAttention {
  ir::ValueId y;
  ir::ValueId probe;  // [batch, heads, seq_q, seq_k]; invalid when none is wanted
};

// Ids are invalid when speller has failed.
SpelledAttention SpellAttention(Speller& speller, const AttentionSpelling& attention);

// [batch, seq, heads * dim] as [batch, heads, seq, dim].
ir::ValueId SplitHeads(Speller& speller, ir::ValueId x, const ir::Dim& batch, const ir::Dim& seq,
                       const ir::Dim& heads, const ir::Dim& dim);

// Every head of k or v, of attention's kv_heads, repeated for the query heads that share it.
ir::ValueId RepeatHeads(Speller& speller, ir::ValueId x, const AttentionSpelling& attention,
                        const ir::Dim& dim);

// Attributes scale (default: one over the root of the head size) and softmax_precision into a.
// Errors: kUnimplemented without a scale for a head size that only a run tells; kInvalidArgument.
Status ReadSoftmax(ImportContext& context, DType usual_precision, AttentionSpelling* a);

// Checks what query and key-value head counts have to be: equal, or known with one a multiple of
// the other. Errors: kInvalidArgument; kUnimplemented when they are not known while building.
Status CheckHeadCounts(const ImportContext& context, const ir::Dim& heads, const ir::Dim& kv_heads);

}  // namespace fusee::ops
