// Attention and MultiHeadAttention of com.microsoft, spelled with MatMul and Softmax
// (attention_spelling_def.h).
//
//   Attention            projects input by weights (q, k and v side by side) first
//   MultiHeadAttention   takes q, k and v projected, in one of several packings
//
// A mask of integers says which keys count (above 0), for each batch item and maybe each query, or
// how many of each batch item do. Others get mask_filter_value, which is a low number and no
// -infinity: a row without any key is then a plain mean. Future keys of unidirectional attention
// get a number so low that they never count.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <string>

#include "ops/nn/attention_spelling_def.h"

namespace fusee::ops {

namespace {

constexpr std::string_view kDomain = "com.microsoft";

struct Options {
  int64_t heads = 0;
  double scale = 0;  // 0: 1 / sqrt(dim)
  double filter = -10000;
  bool causal = false;
};

Result<Options> ReadOptions(ImportContext& c) {
  Options o;
  FUSEE_TRY(o.heads, c.RequiredInt("num_heads"));
  FUSEE_TRY(o.scale, c.Float("scale", 0));
  FUSEE_TRY(o.filter, c.Float("mask_filter_value", -10000));
  FUSEE_TRY(const int64_t causal, c.Int("unidirectional", 0));
  o.causal = causal != 0;
  if (o.heads < 1)
    return c.Error(fmt::format("num_heads is {}, expected a positive number", o.heads));
  return o;
}

// Columns of q, k or v, which must divide into heads.
Result<int64_t> HeadSize(ImportContext& c, const ir::Dim& columns, int64_t heads,
                         std::string_view what) {
  if (!columns.is_constant())
    return c.Refuse(fmt::format("the columns of {} must be known while building", what));
  if (columns.constant() < heads || columns.constant() % heads != 0)
    return c.Error(fmt::format("{} has {} columns, which do not divide into {} heads", what,
                               columns.constant(), heads));
  return columns.constant() / heads;
}

// What is masked out: the operands of both operators.
struct Masks {
  size_t keys = 0;   // operand: which keys count
  size_t added = 0;  // operand: numbers added to the scores
  ir::Dim past;      // queries begin after that many keys
};

Result<ir::ValueId> KeyMask(ImportContext& c, Speller& s, const AttentionSpelling& a,
                            size_t operand) {
  const ir::SymShape mask = c.info(operand).shape;
  const ir::ValueId x = c.input(operand);
  if (c.info(operand).dtype != DType::kI32)
    return c.Error(fmt::format("the mask is {}, expected i32", DTypeName(c.info(operand).dtype)));
  if (mask.size() == 1) {
    if (!(mask[0] == a.batch))
      return c.Refuse(
          fmt::format("a mask of shape {} is not supported, except [batch] with the number "
                      "of keys; give it as [batch, keys]",
                      ir::ToString(mask)));
    return s.Op("Less", {s.Iota(a.seq_k), s.Reshape(s.Cast(x, DType::kI64), {a.batch, 1, 1, 1})});
  }
  const ir::ValueId counts = s.Op("Greater", {x, s.Scalar(DType::kI32, 0)});
  if (mask.size() == 2) return s.Reshape(counts, {mask[0], 1, 1, mask[1]});
  if (mask.size() == 3) return s.Reshape(counts, {mask[0], 1, mask[1], mask[2]});
  return c.Refuse(
      fmt::format("a mask of rank {} is not supported; give it as [batch, keys] or [batch, "
                  "queries, keys]",
                  mask.size()));
}

Status SpellBias(ImportContext& c, Speller& s, const Options& o, const Masks& masks,
                 AttentionSpelling* a) {
  const ir::ValueId zero = s.Scalar(a->dtype, 0);
  if (c.has_input(masks.keys)) {
    FUSEE_TRY(const ir::ValueId counts, KeyMask(c, s, *a, masks.keys));
    a->bias = s.Where(counts, zero, s.Scalar(a->dtype, o.filter));
  }
  if (o.causal) {
    const ir::ValueId positions =
        s.Slice(s.Iota(a->seq_q + masks.past), 0, masks.past, a->seq_q + masks.past);
    const ir::ValueId seen =
        s.Op("LessOrEqual", {s.Iota(a->seq_k), s.Reshape(positions, {a->seq_q, 1})});
    const double lowest = a->dtype == DType::kF16 ? -65504 : -3.3e38;
    a->bias = s.Where(seen, a->bias.valid() ? a->bias : zero, s.Scalar(a->dtype, lowest));
  }
  if (!c.has_input(masks.added)) return s.status();
  if (c.rank(masks.added) > 4 || c.info(masks.added).dtype != a->dtype)
    return c.Error(
        fmt::format("attention_bias should be {} of rank 4 or less", DTypeName(a->dtype)));
  a->bias = a->bias.valid() ? s.Add(c.input(masks.added), a->bias) : c.input(masks.added);
  return s.status();
}

Status RefuseOperands(ImportContext& c, size_t first) {
  for (size_t i = first; i < c.input_count(); ++i) {
    if (c.has_input(i))
      return c.Refuse(
          fmt::format("operand {} (a cache shared between past and present) is not "
                      "supported; export the model without a shared buffer",
                      i));
  }
  return OkStatus();
}

void Finish(const Options& o, AttentionSpelling* a) {
  a->heads = a->kv_heads = o.heads;
  a->scale = o.scale != 0 ? o.scale : 1 / std::sqrt(static_cast<double>(a->dim.constant()));
  a->joined = true;
}

// --- Attention ---

// Columns of q, k and v in the weights.
Result<std::vector<int64_t>> ProjectionSizes(ImportContext& c, int64_t heads) {
  const ir::Dim& columns = c.info(1).shape[1];
  FUSEE_TRY(std::vector<int64_t> sizes, c.Ints("qkv_hidden_sizes"));
  if (!columns.is_constant())
    return c.Refuse("the columns of weights must be known while building");
  if (sizes.empty()) sizes.assign(3, columns.constant() / 3);
  if (sizes.size() != 3) return c.Error("qkv_hidden_sizes should have three entries");
  int64_t left = columns.constant();
  for (int64_t size : sizes) {
    if (size < 1 || size > left)
      return c.Error(
          fmt::format("{} columns of weights do not divide into q, k and v", columns.constant()));
    left -= size;
    FUSEE_TRY(const int64_t dim, HeadSize(c, size, heads, "a projection"));
    static_cast<void>(dim);
  }
  if (left != 0 || sizes[0] != sizes[1])
    return c.Error(fmt::format("projections of {}, {} and {} do not fit weights of {} columns",
                               sizes[0], sizes[1], sizes[2], columns.constant()));
  return sizes;
}

Status CheckAttention(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1)) return c.Error("operands input and weights are required");
  if (c.rank(0) != 3 || c.rank(1) != 2 || (c.has_input(2) && c.rank(2) != 1))
    return c.Error("input should be [batch, seq, columns], weights a matrix, bias 1-D");
  if (!IsFloat(c.info(0).dtype))
    return c.Error(fmt::format("input is {}, expected floating point", DTypeName(c.info(0).dtype)));
  if (c.has_input(4) && (c.rank(4) != 5 || !(c.info(4).shape[0] == ir::Dim(2))))
    return c.Error("past should be [2, batch, heads, past, dim]");
  FUSEE_TRY(const int64_t rotary, c.Int("do_rotary", 0));
  FUSEE_TRY(const int64_t shared, c.Int("past_present_share_buffer", 0));
  c.Ignore("rotary_embedding_dim");  // says something with do_rotary only
  if (rotary != 0 || shared != 0)
    return c.Refuse(
        "do_rotary and past_present_share_buffer are not supported; export without them");
  return RefuseOperands(c, 6);
}

Status ImportAttention(ImportContext& c) {
  FUSEE_TRY(CheckAttention(c));
  FUSEE_TRY(const Options o, ReadOptions(c));
  FUSEE_TRY(const std::vector<int64_t> sizes, ProjectionSizes(c, o.heads));
  const ir::SymShape input = c.info(0).shape;
  AttentionSpelling a;
  a.batch = input[0], a.seq_q = a.seq_k = input[1];
  a.dim = sizes[0] / o.heads, a.dim_v = sizes[2] / o.heads;
  a.dtype = c.info(0).dtype;
  Speller s(c);
  // Three products, as exporters have them: constant weights are cut while building, and merge_qkv
  // knows when one product is better.
  ir::ValueId by_heads[3];
  int64_t begin = 0;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t end = begin + sizes[i];
    ir::ValueId x = s.MatMul(c.input(0), s.Slice(c.input(1), 1, begin, end));
    if (c.has_input(2)) x = s.Add(x, s.Slice(c.input(2), 0, begin, end));
    by_heads[i] = SplitHeads(s, x, a.batch, input[1], o.heads, sizes[i] / o.heads);
    begin = end;
  }
  a.q = by_heads[0], a.k = by_heads[1], a.v = by_heads[2];
  Masks masks{3, 5, 0};
  if (c.has_input(4)) {
    const ir::SymShape past = c.info(4).shape;
    masks.past = past[3];
    a.seq_k = past[3] + a.seq_k;
    const ir::SymShape one(past.begin() + 1, past.end());
    a.k = s.Concat({s.Reshape(s.Slice(c.input(4), 0, 0, 1), one), a.k}, 2);
    a.v = s.Concat({s.Reshape(s.Slice(c.input(4), 0, 1, 2), one), a.v}, 2);
  }
  if (c.wants_output(1)) {
    if (sizes[0] != sizes[2]) return c.Error("result present needs k and v of one size");
    const ir::SymShape one{1, a.batch, o.heads, a.seq_k, a.dim};
    c.SetOutput(1, s.Concat({s.Reshape(a.k, one), s.Reshape(a.v, one)}, 0));
  }
  Finish(o, &a);
  FUSEE_TRY(SpellBias(c, s, o, masks, &a));
  c.SetOutput(0, SpellAttention(s, a).y);
  return s.status();
}

// --- MultiHeadAttention ---

enum Operand : size_t { kQuery, kKey, kValue, kBias, kMask, kAdded, kPastKey, kPastValue };

// One of q, k and v as [batch, heads, seq, dim]: a part of a packed operand [batch, seq, heads,
// parts, dim], an operand by heads already, or [batch, seq, columns] with its part of the bias
// added.
struct Part {
  size_t operand = 0;
  int64_t part = 0;  // of a packed operand
  ir::Dim seq;
  int64_t dim = 0;
  ir::ValueId x;
};

Status ReadPart(ImportContext& c, Speller& s, const Options& o, int64_t* bias_begin, Part* p) {
  const ir::SymShape shape = c.info(p->operand).shape;
  ir::ValueId x = c.input(p->operand);
  if (shape.size() == 5) {
    if (!(shape[2] == ir::Dim(o.heads)))
      return c.Error(fmt::format("packed operand {} has shape {}, expected {} heads", p->operand,
                                 ir::ToString(shape), o.heads));
    FUSEE_TRY(p->dim, HeadSize(c, shape[4], 1, "a packed operand"));
    p->seq = shape[1];
    x = s.Reshape(s.Slice(x, 3, p->part, p->part + 1), {shape[0], p->seq, o.heads, p->dim});
    p->x = s.Transpose(x, {0, 2, 1, 3});
    return s.status();
  }
  if (shape.size() == 4) {
    if (!(shape[1] == ir::Dim(o.heads)))
      return c.Error(fmt::format("operand {} has shape {}, expected {} heads", p->operand,
                                 ir::ToString(shape), o.heads));
    FUSEE_TRY(p->dim, HeadSize(c, shape[3], 1, "an operand by heads"));
    p->seq = shape[2], p->x = x;
    return OkStatus();
  }
  if (shape.size() != 3)
    return c.Error(fmt::format("operand {} has rank {}, expected 3, or 4 or 5 when packed",
                               p->operand, shape.size()));
  FUSEE_TRY(p->dim, HeadSize(c, shape[2], o.heads, "q, k or v"));
  p->seq = shape[1];
  if (c.has_input(kBias)) {
    const int64_t end = *bias_begin + p->dim * o.heads;
    x = s.Add(x, s.Slice(c.input(kBias), 0, *bias_begin, end));
    *bias_begin = end;
  }
  p->x = SplitHeads(s, x, shape[0], p->seq, o.heads, p->dim);
  return s.status();
}

// Which operand and part q, k and v are.
Result<std::array<Part, 3>> FindParts(ImportContext& c) {
  std::array<Part, 3> parts;
  const auto packed = [&](size_t i, int64_t count) {
    return c.has_input(i) && c.rank(i) == 5 && c.info(i).shape[3] == ir::Dim(count);
  };
  if (packed(kQuery, 3) && !c.has_input(kKey) && !c.has_input(kValue)) {
    parts = {Part{kQuery, 0}, Part{kQuery, 1}, Part{kQuery, 2}};
  } else if (c.has_input(kQuery) && c.rank(kQuery) == 3 && packed(kKey, 2) &&
             !c.has_input(kValue)) {
    parts = {Part{kQuery}, Part{kKey, 0}, Part{kKey, 1}};
  } else if (c.has_input(kQuery) && c.has_input(kKey) && c.has_input(kValue) &&
             c.rank(kQuery) == 3 && c.rank(kKey) == c.rank(kValue) && c.rank(kKey) <= 4) {
    parts = {Part{kQuery}, Part{kKey}, Part{kValue}};
  } else {
    return c.Error(
        "query, key and value are in no packing that the operator has: three of [batch, seq, "
        "columns], key and value by heads, key packed with value, or all three packed");
  }
  const bool columns_only = c.rank(parts[1].operand) == 3 && c.rank(kQuery) == 3;
  if (c.has_input(kBias) && (!columns_only || c.rank(kBias) != 1))
    return c.Refuse(
        "a bias is supported with query, key and value of [batch, seq, columns] only; add it "
        "before packing");
  return parts;
}

Status ImportMultiHead(ImportContext& c) {
  FUSEE_TRY(RefuseOperands(c, kPastValue + 1));
  FUSEE_TRY(const Options o, ReadOptions(c));
  FUSEE_TRY(auto parts, FindParts(c));
  AttentionSpelling a;
  a.batch = c.info(kQuery).shape[0];
  a.dtype = c.info(kQuery).dtype;
  if (!IsFloat(a.dtype))
    return c.Error(fmt::format("query is {}, expected floating point", DTypeName(a.dtype)));
  if (c.has_input(kPastKey) != c.has_input(kPastValue) ||
      (c.has_input(kPastKey) && (c.rank(kPastKey) != 4 || c.rank(kPastValue) != 4)))
    return c.Error("past_key and past_value should both be [batch, heads, past, dim]");
  Speller s(c);
  int64_t bias_begin = 0;
  for (Part& part : parts) FUSEE_TRY(ReadPart(c, s, o, &bias_begin, &part));
  if (c.has_input(kBias) && !(c.info(kBias).shape[0] == ir::Dim(bias_begin)))
    return c.Error(fmt::format("the bias has {} entries, expected {}",
                               c.info(kBias).shape[0].ToString(), bias_begin));
  a.q = parts[0].x, a.k = parts[1].x, a.v = parts[2].x;
  a.seq_q = parts[0].seq, a.seq_k = parts[1].seq;
  a.dim = parts[0].dim, a.dim_v = parts[2].dim;
  Masks masks{kMask, kAdded, 0};
  if (c.has_input(kPastKey)) {
    masks.past = c.info(kPastKey).shape[2];
    a.seq_k = masks.past + a.seq_k;
    a.k = s.Concat({c.input(kPastKey), a.k}, 2);
    a.v = s.Concat({c.input(kPastValue), a.v}, 2);
  }
  const auto present = [&](ir::ValueId x, size_t operand) {
    return x == c.input(operand) ? s.Op("Identity", {x}) : x;
  };
  if (c.wants_output(1)) c.SetOutput(1, present(a.k, kKey));
  if (c.wants_output(2)) c.SetOutput(2, present(a.v, kValue));
  Finish(o, &a);
  FUSEE_TRY(SpellBias(c, s, o, masks, &a));
  c.SetOutput(0, SpellAttention(s, a).y);
  return s.status();
}

}  // namespace

OpDef DefineMultiHeadAttention() {
  return {
      .name = "MultiHeadAttention",
      .imports = {{.onnx_op = "MultiHeadAttention", .import = ImportMultiHead, .domain = kDomain},
                  {.onnx_op = "Attention", .import = ImportAttention, .domain = kDomain}}};
}

}  // namespace fusee::ops
