#include "ops/nn/attention_spelling_def.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>

namespace fusee::ops {

namespace {

using Probe = AttentionSpelling::Probe;

// A bias whose rows may be all -infinity: `masked` tells which rows are, and `bias` is 0 there.
// Such a row then has finite weights, and its result is replaced as a whole: a NaN that comes out
// of other rows is the model's own and stays.
struct GuardedBias {
  ir::ValueId bias, masked;
};
GuardedBias Guard(Speller& s, const AttentionSpelling& a) {
  GuardedBias guarded;
  ir::SymShape shape = s.ShapeOf(a.bias);
  shape.insert(shape.begin(), 4 - shape.size(), ir::Dim(1));
  const ir::ValueId bias = s.Reshape(a.bias, shape);
  const ir::ValueId largest =
      s.Op("ReduceMax", {bias}, {{"axes", std::vector<int64_t>{3}}, {"keepdims", int64_t{1}}});
  guarded.masked =
      s.Op("Equal", {largest, s.Scalar(a.dtype, -std::numeric_limits<double>::infinity())});
  guarded.bias = s.Where(guarded.masked, s.Scalar(a.dtype, 0), bias);
  return guarded;
}

}  // namespace

ir::ValueId RepeatHeads(Speller& s, ir::ValueId x, const AttentionSpelling& a, const ir::Dim& dim) {
  if (a.heads == a.kv_heads) return x;
  const ir::Dim group = FloorDiv(a.heads, a.kv_heads);
  const ir::ValueId apart = s.Reshape(x, {a.batch, a.kv_heads, 1, a.seq_k, dim});
  const ir::ValueId repeated = s.Expand(apart, {a.batch, a.kv_heads, group, a.seq_k, dim});
  return s.Reshape(repeated, {a.batch, a.heads, a.seq_k, dim});
}

ir::ValueId SplitHeads(Speller& speller, ir::ValueId x, const ir::Dim& batch, const ir::Dim& seq,
                       const ir::Dim& heads, const ir::Dim& dim) {
  return speller.Transpose(speller.Reshape(x, {batch, seq, heads, dim}), {0, 2, 1, 3});
}

Status ReadSoftmax(ImportContext& c, DType usual_precision, AttentionSpelling* a) {
  if (c.HasAttr("scale")) {
    FUSEE_TRY(a->scale, c.Float("scale", 1));
  } else {
    if (!a->dim.is_constant())
      return c.Refuse("the head size must be known while building, or the attribute scale given");
    if (a->dim.constant() > 0) a->scale = 1 / std::sqrt(static_cast<double>(a->dim.constant()));
  }
  FUSEE_TRY(const int64_t precision,
            c.Int("softmax_precision", static_cast<int64_t>(usual_precision)));
  const auto type = precision > 0 && precision < 256
                        ? DTypeFromOnnx(static_cast<int32_t>(precision))
                        : std::nullopt;
  if (!type || !IsFloat(*type)) {
    return c.Error(
        fmt::format("softmax_precision is {}, which is no floating-point type", precision));
  }
  a->softmax_type = *type;
  return OkStatus();
}

Status CheckHeadCounts(const ImportContext& context, const ir::Dim& heads,
                       const ir::Dim& kv_heads) {
  if (heads == kv_heads) return OkStatus();
  if (!heads.is_constant() || !kv_heads.is_constant()) {
    return context.Refuse(
        fmt::format("{} query heads over {} key heads: their ratio must be known while building; "
                    "give the inputs constant head counts",
                    heads.ToString(), kv_heads.ToString()));
  }
  if (kv_heads.constant() < 1 || heads.constant() % kv_heads.constant() != 0) {
    return context.Error(fmt::format("{} query heads do not divide over {} key and value heads",
                                     heads.constant(), kv_heads.constant()));
  }
  return OkStatus();
}

SpelledAttention SpellAttention(Speller& s, const AttentionSpelling& a) {
  SpelledAttention out;
  if (!s.ok()) return out;
  const auto keep = [&](Probe which, ir::ValueId value) {
    if (a.probe == which) out.probe = value;
  };
  const ir::ValueId q = a.scale == 1 ? a.q : s.Mul(a.q, s.Scalar(a.dtype, a.scale));
  const ir::ValueId k = s.Transpose(RepeatHeads(s, a.k, a, a.dim), {0, 1, 3, 2});
  ir::ValueId scores = s.MatMul(q, k);
  keep(Probe::kProduct, scores);
  if (a.softcap != 0) {
    const ir::ValueId cap = s.Scalar(a.dtype, a.softcap);
    scores = s.Mul(s.Op("Tanh", {s.Op("Div", {scores, cap})}), cap);
  }
  keep(Probe::kCapped, scores);
  GuardedBias guarded{a.bias, {}};
  if (a.bias.valid()) {
    if (a.zero_masked_rows) guarded = Guard(s, a);
    if (a.probe == Probe::kBiased) out.probe = s.Add(scores, a.bias);
    scores = s.Add(scores, guarded.bias);
  }
  if (a.probe == Probe::kBiased && !a.bias.valid()) out.probe = scores;
  const DType softmax_type = a.softmax_type == DType::kInvalid ? a.dtype : a.softmax_type;
  const ir::ValueId weights =
      s.Cast(s.Op("Softmax", {s.Cast(scores, softmax_type)}, {{"axis", int64_t{3}}}), a.dtype);
  const ir::ValueId zero = s.Scalar(a.dtype, 0);
  if (a.probe == Probe::kWeights)
    out.probe = guarded.masked.valid() ? s.Where(guarded.masked, zero, weights) : weights;
  ir::ValueId y = s.MatMul(weights, RepeatHeads(s, a.v, a, a.dim_v));
  // By sequence, which is what fuse_attention looks for; the way back is for the model's own
  // transpose to cancel.
  if (a.joined || guarded.masked.valid()) y = s.Transpose(y, {0, 2, 1, 3});
  if (guarded.masked.valid()) y = s.Where(s.Transpose(guarded.masked, {0, 2, 1, 3}), zero, y);
  if (a.joined) {
    y = s.Reshape(y, {a.batch, a.seq_q, a.heads * a.dim_v});
  } else if (guarded.masked.valid()) {
    y = s.Transpose(y, {0, 2, 1, 3});
  }
  out.y = y;
  return out;
}

}  // namespace fusee::ops
