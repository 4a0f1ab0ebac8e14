// FlexAttention of ai.onnx.preview, spelled with MatMul and Softmax. Its two nested graphs, from
// scores to scores and from weights to weights, are written out in between:
//
//   y = prob_mod(softmax(score_mod(scale * q k^T))) v
//
// From score_mod to the last product all is of softmax_precision. Without nested graphs it is plain
// attention, which fuse_attention recognises.
#include <fmt/format.h>

#include "ops/nn/attention_spelling_def.h"

namespace fusee::ops {
namespace {

enum Operand : size_t { kQ, kK, kV };

Status CheckOperands(ImportContext& c) {
  for (const size_t i : {kQ, kK, kV}) {
    if (!c.has_input(i)) return c.Error("operands Q, K and V are required");
    if (c.rank(i) != 4)
      return c.Error(fmt::format("operand {} has rank {}, expected 4", i, c.rank(i)));
    if (!IsFloat(c.info(i).dtype) || c.info(i).dtype != c.info(kQ).dtype) {
      return c.Error(
          fmt::format("operand {} is {}, expected one floating-point type for Q, K and V", i,
                      DTypeName(c.info(i).dtype)));
    }
  }
  return OkStatus();
}

Status ReadSizes(ImportContext& c, AttentionSpelling* a) {
  const ir::SymShape q = c.info(kQ).shape, k = c.info(kK).shape, v = c.info(kV).shape;
  a->q = c.input(kQ), a->k = c.input(kK), a->v = c.input(kV);
  a->dtype = c.info(kQ).dtype;
  a->batch = q[0], a->heads = q[1], a->seq_q = q[2], a->dim = q[3];
  a->kv_heads = k[1], a->seq_k = k[2], a->dim_v = v[3];
  FUSEE_TRY(c.RequireEqual(k[0], q[0], "the batches of K and Q"));
  FUSEE_TRY(c.RequireEqual(v[0], q[0], "the batches of V and Q"));
  FUSEE_TRY(c.RequireEqual(k[3], q[3], "the head sizes of K and Q"));
  FUSEE_TRY(c.RequireEqual(v[1], k[1], "the heads of V and K"));
  FUSEE_TRY(c.RequireEqual(v[2], k[2], "the sequences of V and K"));
  return CheckHeadCounts(c, a->heads, a->kv_heads);
}

// One of the nested graphs in the place of `value`; value itself where there is none.
Result<ir::ValueId> Modify(ImportContext& c, std::string_view attribute, ir::ValueId value) {
  if (!c.HasAttr(attribute)) return value;
  const onnx::Graph* graph = c.GraphAttr(attribute);
  if (graph == nullptr) return c.Error(fmt::format("attribute '{}' should be a graph", attribute));
  const ir::ValueInfo before = c.graph().value(value).info;
  const ir::ValueId operands[] = {value};
  FUSEE_TRY(const std::vector<ir::ValueId> results, c.Inline(*graph, operands));
  if (results.size() != 1)
    return c.Error(fmt::format("{} gives {} results, expected 1", attribute, results.size()));
  const ir::ValueInfo after = c.graph().value(results[0]).info;
  if (after.dtype != before.dtype || after.shape.size() != before.shape.size()) {
    return c.Error(fmt::format("{} makes {}{} of {}{}, expected the same type and shape", attribute,
                               DTypeName(after.dtype), ir::ToString(after.shape),
                               DTypeName(before.dtype), ir::ToString(before.shape)));
  }
  for (size_t i = 0; i < after.shape.size(); ++i) {
    FUSEE_TRY(c.RequireEqual(after.shape[i], before.shape[i],
                             fmt::format("axis {} of what {} gives and takes", i, attribute)));
  }
  return results[0];
}

Status ImportFlexAttention(ImportContext& c) {
  FUSEE_TRY(CheckOperands(c));
  AttentionSpelling a;
  FUSEE_TRY(ReadSizes(c, &a));
  FUSEE_TRY(ReadSoftmax(c, a.dtype == DType::kF64 ? DType::kF64 : DType::kF32, &a));
  Speller s(c);
  const bool modified = c.HasAttr("score_mod") || c.HasAttr("prob_mod");
  if (!modified && a.softmax_type == a.dtype) {
    c.SetOutput(0, SpellAttention(s, a).y);
    return s.status();
  }
  const ir::ValueId q = a.scale == 1 ? a.q : s.Mul(a.q, s.Scalar(a.dtype, a.scale));
  const ir::ValueId k = s.Transpose(RepeatHeads(s, a.k, a, a.dim), {0, 1, 3, 2});
  const ir::ValueId product = s.Cast(s.MatMul(q, k), a.softmax_type);
  FUSEE_TRY(s.status());
  FUSEE_TRY(const ir::ValueId scores, Modify(c, "score_mod", product));
  const ir::ValueId softmax = s.Op("Softmax", {scores}, {{"axis", int64_t{3}}});
  FUSEE_TRY(s.status());
  FUSEE_TRY(const ir::ValueId weights, Modify(c, "prob_mod", softmax));
  const ir::ValueId v = s.Cast(RepeatHeads(s, a.v, a, a.dim_v), a.softmax_type);
  c.SetOutput(0, s.Cast(s.MatMul(weights, v), a.dtype));
  return s.status();
}

}  // namespace

OpDef DefineFlexAttention() {
  return {.name = "FlexAttention",
          .imports = {{.onnx_op = "FlexAttention",
                       .import = ImportFlexAttention,
                       .domain = "ai.onnx.preview"}}};
}

}  // namespace fusee::ops
