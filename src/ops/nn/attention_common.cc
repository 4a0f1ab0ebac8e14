#include "ops/nn/attention.h"

#include <fmt/format.h>

namespace fusee::ops {

Result<AttentionParams> ParseAttention(const StepSpec& spec) {
  AttentionParams p;
  FUSEE_TRY(int64_t packed, spec.attrs->Int("packed_qkv", 0));
  FUSEE_TRY(p.heads, spec.attrs->Int("num_heads", 0));
  FUSEE_TRY(p.scale, spec.attrs->Float("scale", 1));
  FUSEE_TRY(int64_t zero, spec.attrs->Int("zero_nan_rows", 0));
  p.packed = packed != 0;
  p.zero_nan_rows = zero != 0;
  if (packed != 0 && packed != 1) return BadStep(spec, "packed_qkv should be 0 or 1");
  if (zero != 0 && zero != 1) return BadStep(spec, "zero_nan_rows should be 0 or 1");
  if (p.heads < 1 || p.heads >= (int64_t{1} << 31))
    return BadStep(spec, "num_heads should be positive");
  if (spec.inputs.empty() || spec.inputs.size() > 4 || !spec.has_input(0) ||
      spec.has_input(1) == p.packed || spec.has_input(2) == p.packed || spec.outputs.size() != 1 ||
      !spec.outputs[0].present()) {
    return BadStep(spec, "expected q, k, v (or q, k and v packed), optionally a bias, one result");
  }
  p.dtype = spec.inputs[0].dtype;
  bool types = IsFloat(p.dtype) && spec.outputs[0].dtype == p.dtype;
  for (size_t i = 1; i < 3; ++i)
    types = types && (!spec.has_input(i) || spec.inputs[i].dtype == p.dtype);
  if (spec.has_input(3)) {
    p.bias_dtype = spec.inputs[3].dtype;
    types = types && IsFloat(p.bias_dtype);
  }
  if (!types) return BadStep(spec, "q, k, v and the result should be of one floating-point type");
  return p;
}

Status AttentionGeometry(const AttentionParams& p, const Shape& q, const Shape& k, const Shape& v,
                         AttentionShape* s) {
  const Shape& ks = p.packed ? q : k;
  const Shape& vs = p.packed ? q : v;
  if (q.rank() != 3 || ks.rank() != 3 || vs.rank() != 3) {
    return InvalidArgument(
        fmt::format("FusedAttention: operand 0 has shape {}, expected rank 3", q.ToString()));
  }
  const int64_t parts = p.packed ? 3 : 1;
  s->batch = q[0];
  s->heads = p.heads;
  s->seq_q = q[1];
  s->seq_k = ks[1];
  s->dim = q[2] / parts / p.heads;
  s->dim_v = vs[2] / parts / p.heads;
  if (s->dim < 1 || s->dim_v < 1 || s->dim * p.heads * parts != q[2] ||
      s->dim_v * p.heads * parts != vs[2]) {
    return InvalidArgument(
        fmt::format("FusedAttention: widths {} and {} do not divide into {} heads{}", q[2], vs[2],
                    p.heads, p.packed ? " of q, k and v" : ""));
  }
  s->q_row = q[2];
  s->k_row = ks[2];
  s->v_row = vs[2];
  s->k_first = p.packed ? q[2] / 3 : 0;
  s->v_first = p.packed ? q[2] / 3 * 2 : 0;
  return OkStatus();
}

namespace {

Status PlaceBias(const AttentionParams& p, const ConstTensorView& bias, AttentionShape* s) {
  const std::array<int64_t, 4> full = {s->batch, s->heads, s->seq_q, s->seq_k};
  const int offset = 4 - bias.shape.rank();
  bool fits = bias.dtype == p.bias_dtype && offset >= 0;
  int64_t step = 1;
  for (int i = 3; fits && i >= offset; --i) {
    const int64_t size = bias.shape[i - offset];
    fits = size == 1 || size == full[static_cast<size_t>(i)];
    s->bias[static_cast<size_t>(i)] = size == 1 ? 0 : step;
    step *= size;
  }
  if (fits) return OkStatus();
  return InvalidArgument(
      fmt::format("FusedAttention: a bias of shape {} does not broadcast to [{},{},{},{}]",
                  bias.shape.ToString(), s->batch, s->heads, s->seq_q, s->seq_k));
}

}  // namespace

Status CheckAttention(const AttentionParams& p, const RunArgs& args, AttentionShape* s) {
  const bool has_bias = p.bias_dtype != DType::kInvalid;
  bool as_bound = !args.inputs.empty() && args.outputs.size() == 1 &&
                  args.inputs[0].dtype == p.dtype && args.outputs[0].dtype == p.dtype &&
                  args.has_input(3) == has_bias;
  for (size_t i = 1; as_bound && i < 3; ++i)
    as_bound = p.packed ? !args.has_input(i) : args.has_input(i) && args.inputs[i].dtype == p.dtype;
  if (!as_bound) return InvalidArgument("FusedAttention: operands differ from those bound");

  const Shape& q = args.inputs[0].shape;
  FUSEE_TRY(AttentionGeometry(p, q, p.packed ? q : args.inputs[1].shape,
                              p.packed ? q : args.inputs[2].shape, s));
  if (!p.packed) {
    const Shape k{s->batch, s->seq_k, s->heads * s->dim};
    const Shape v{s->batch, s->seq_k, s->heads * s->dim_v};
    if (!(args.inputs[1].shape == k))
      return ShapeMismatch("FusedAttention", "k", k, args.inputs[1].shape);
    if (!(args.inputs[2].shape == v))
      return ShapeMismatch("FusedAttention", "v", v, args.inputs[2].shape);
  }
  if (has_bias) FUSEE_TRY(PlaceBias(p, args.inputs[3], s));
  const Shape want{s->batch, s->seq_q, s->heads * s->dim_v};
  if (args.outputs[0].shape == want) return OkStatus();
  return ShapeMismatch("FusedAttention", "the result", want, args.outputs[0].shape);
}

}  // namespace fusee::ops
