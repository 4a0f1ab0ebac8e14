// Scaled-dot-product attention as its kernels see it. For every batch item, head h and query row i:
//
//   y[i] = softmax over j of (scale * q[i] . k[j] + bias[i, j]) applied to v[j]
//
// q [batch, seq_q, heads*dim], k [batch, seq_k, heads*dim], v [batch, seq_k, heads*dim_v]: head h
// is columns [h*dim, (h+1)*dim). Packed, operand 0 is [batch, seq, 3*heads*dim] with q, k and v
// side by side, and operands 1 and 2 are absent. bias (operand 3, optional) is of any
// floating-point type and broadcasts to [batch, heads, seq_q, seq_k]. y [batch, seq_q,
// heads*dim_v].
//
// One type for q, k, v and y: f32, f64, f16 or bf16; below f64 sums and softmax are at least f32. A
// row of which every bias is -infinity is NaN, as Softmax has it; with the attribute zero_nan_rows
// a row whose weights are NaN is 0 (exporters guard Softmax so). Without keys (seq_k 0) y is 0.
#pragma once

#include <array>

#include "ops/kernel.h"

namespace fusee::ops {

struct AttentionParams {
  bool packed = false;
  bool zero_nan_rows = false;
  int64_t heads = 1;
  double scale = 1;
  DType dtype = DType::kInvalid;
  DType bias_dtype = DType::kInvalid;  // kInvalid: no bias
};

struct AttentionShape {
  int64_t batch = 0, heads = 1, seq_q = 0, seq_k = 0, dim = 0, dim_v = 0;
  // Element (b, h, s, d) of q lies at q_first + (b * seq_q + s) * q_row + h * dim + d; k, v alike.
  int64_t q_first = 0, k_first = 0, v_first = 0;
  int64_t q_row = 0, k_row = 0, v_row = 0;
  std::array<int64_t, 4> bias{};  // strides of (batch, head, query, key); 0 where it broadcasts

  int64_t Query(int64_t b, int64_t h, int64_t i) const {
    return q_first + (b * seq_q + i) * q_row + h * dim;
  }
  int64_t Key(int64_t b, int64_t h, int64_t j) const {
    return k_first + (b * seq_k + j) * k_row + h * dim;
  }
  int64_t ValueAt(int64_t b, int64_t h, int64_t j) const {
    return v_first + (b * seq_k + j) * v_row + h * dim_v;
  }
  int64_t Bias(int64_t b, int64_t h, int64_t i) const {
    return b * bias[0] + h * bias[1] + i * bias[2];
  }
  int64_t Result(int64_t b, int64_t h, int64_t i) const {
    return ((b * seq_q + i) * heads + h) * dim_v;
  }
};

// Decodes and validates a step. Errors: kInvalidArgument.
Result<AttentionParams> ParseAttention(const StepSpec& spec);

// The geometry that the shapes of operands 0 to 2 name, without checking that they fit together:
// enough to size a workspace. Errors: kInvalidArgument (rank, a width that does not divide).
Status AttentionGeometry(const AttentionParams& params, const Shape& q, const Shape& k,
                         const Shape& v, AttentionShape* shape);

// The whole of CheckShapes, and the geometry with the strides of the bias. Allocates nothing when
// ok. Errors: kInvalidArgument.
Status CheckAttention(const AttentionParams& params, const RunArgs& args, AttentionShape* shape);

}  // namespace fusee::ops
