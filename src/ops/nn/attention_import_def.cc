// Attention of ai.onnx (opset 23 on), spelled with MatMul and Softmax: attention_spelling_def.h.
//
// What a query may see is gathered as conditions over (query, key): it is causal, the key is no
// padding (nonpad_kv_seqlen), it lies in the window (opset 25), a boolean mask says so. All of them
// together become one bias of 0 and -infinity; a mask of numbers is added to it. Query i stands at
// position i + offset, where offset counts the keys before this block of queries: those of
// past_key, or nonpad_kv_seqlen - q_sequence_length of each batch item, or none.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "ops/nn/attention_spelling_def.h"

namespace fusee::ops {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
enum Operand : size_t { kQ, kK, kV, kMask, kPastKey, kPastValue, kNonPad };

bool Is4D(const ImportContext& c) { return c.rank(kQ) == 4; }

Status CheckOperands(ImportContext& c) {
  if (!c.has_input(kQ) || !c.has_input(kK) || !c.has_input(kV))
    return c.Error("operands Q, K and V are required");
  if ((c.rank(kQ) != 3 && c.rank(kQ) != 4) || c.rank(kK) != c.rank(kQ) || c.rank(kV) != c.rank(kQ))
    return c.Error(fmt::format("Q, K and V have ranks {}, {} and {}, expected all 3 or all 4",
                               c.rank(kQ), c.rank(kK), c.rank(kV)));
  const DType dtype = c.info(kQ).dtype;
  if (!IsFloat(dtype))
    return c.Error(fmt::format("Q is {}, expected floating point", DTypeName(dtype)));
  if (c.info(kK).dtype != dtype)
    return c.Error(fmt::format("Q is {} and K is {}, expected one type", DTypeName(dtype),
                               DTypeName(c.info(kK).dtype)));
  if (c.info(kV).dtype != dtype)
    return c.Refuse(fmt::format("V is {} and Q is {}; put a Cast before V",
                                DTypeName(c.info(kV).dtype), DTypeName(dtype)));
  if (c.has_input(kPastKey) != c.has_input(kPastValue))
    return c.Error("past_key and past_value go together, got one of them");
  for (size_t i : {kPastKey, kPastValue}) {
    if (!c.has_input(i)) continue;
    if (c.rank(i) != 4 || c.info(i).dtype != dtype)
      return c.Error(fmt::format("operand {} should be [batch, heads, past, dim] of {}",
                                 static_cast<size_t>(i), DTypeName(dtype)));
  }
  if (c.has_input(kNonPad)) {
    if (c.opset() < 24) return c.Error("operand 6 (nonpad_kv_seqlen) exists since opset 24");
    if (c.has_input(kPastKey)) return c.Error("has both past_key and nonpad_kv_seqlen");
    if (c.rank(kNonPad) != 1 || c.info(kNonPad).dtype != DType::kI64)
      return c.Error("nonpad_kv_seqlen should be i64 of [batch]");
  }
  return OkStatus();
}

// Head counts and sizes. In rank 3 the columns are heads * dim.
Status ReadSizes(ImportContext& c, AttentionSpelling* a) {
  FUSEE_TRY(const int64_t q_heads, c.Int("q_num_heads", 0));
  FUSEE_TRY(const int64_t kv_heads, c.Int("kv_num_heads", 0));
  const ir::SymShape &q = c.info(kQ).shape, &k = c.info(kK).shape, &v = c.info(kV).shape;
  a->batch = q[0];
  a->dtype = c.info(kQ).dtype;
  if (Is4D(c)) {
    a->heads = q[1], a->kv_heads = k[1];
    if ((q_heads != 0 && !(a->heads == ir::Dim(q_heads))) ||
        (kv_heads != 0 && !(a->kv_heads == ir::Dim(kv_heads))))
      return c.Error(
          fmt::format("q_num_heads {} and kv_num_heads {} contradict the shapes {} and {}", q_heads,
                      kv_heads, ir::ToString(q), ir::ToString(k)));
    a->seq_q = q[2], a->seq_k = k[2], a->dim = q[3], a->dim_v = v[3];
  } else {
    if (q_heads < 1 || kv_heads < 1)
      return c.Error("rank 3 needs the attributes q_num_heads and kv_num_heads, positive");
    a->heads = q_heads, a->kv_heads = kv_heads;
    const ir::Dim columns[] = {q[2], k[2], v[2]};
    const int64_t heads[] = {q_heads, kv_heads, kv_heads};
    for (size_t i = 0; i < 3; ++i) {
      if (!columns[i].is_constant())
        return c.Refuse(fmt::format("the columns of operand {} must be known while building", i));
      if (columns[i].constant() % heads[i] != 0)
        return c.Error(fmt::format("operand {} has {} columns, which do not divide into {} heads",
                                   i, columns[i].constant(), heads[i]));
    }
    a->seq_q = q[1], a->seq_k = k[1];
    a->dim = q[2].constant() / q_heads, a->dim_v = v[2].constant() / kv_heads;
    a->joined = true;
  }
  return CheckHeadCounts(c, a->heads, a->kv_heads);
}

Status ReadNumbers(ImportContext& c, AttentionSpelling* a) {
  FUSEE_TRY(a->softcap, c.Float("softcap", 0));
  if (!(a->softcap >= 0))
    return c.Error(fmt::format("softcap is {}, expected 0 or more", a->softcap));
  FUSEE_TRY(const int64_t mode, c.Int("qk_matmul_output_mode", 0));
  if (mode < 0 || mode > 3)
    return c.Error(fmt::format("qk_matmul_output_mode is {}, expected 0 to 3", mode));
  if (c.wants_output(3)) a->probe = static_cast<AttentionSpelling::Probe>(mode);
  return ReadSoftmax(c, a->dtype, a);
}

// q, k and v by heads, with what came before; results 1 and 2.
void SpellOperands(ImportContext& c, Speller& s, AttentionSpelling* a) {
  a->q = c.input(kQ), a->k = c.input(kK), a->v = c.input(kV);
  if (!Is4D(c)) {
    a->q = SplitHeads(s, a->q, a->batch, a->seq_q, a->heads, a->dim);
    a->k = SplitHeads(s, a->k, a->batch, a->seq_k, a->kv_heads, a->dim);
    a->v = SplitHeads(s, a->v, a->batch, a->seq_k, a->kv_heads, a->dim_v);
  }
  if (c.has_input(kPastKey)) {
    a->k = s.Concat({c.input(kPastKey), a->k}, 2);
    a->v = s.Concat({c.input(kPastValue), a->v}, 2);
    a->seq_k = c.info(kPastKey).shape[2] + a->seq_k;
  }
  const auto present = [&](size_t result, ir::ValueId value, ir::ValueId operand) {
    if (!c.wants_output(result)) return;
    c.SetOutput(result, value == operand ? s.Op("Identity", {value}) : value);
  };
  present(1, a->k, c.input(kK));
  present(2, a->v, c.input(kV));
}

struct Window {
  bool causal = false;
  int64_t left = -1, right = -1;  // -1: unbounded
  bool any() const { return causal || left >= 0 || right >= 0; }
};

Result<Window> ReadWindow(ImportContext& c) {
  Window w;
  FUSEE_TRY(const int64_t causal, c.Int("is_causal", 0));
  w.causal = causal != 0;
  if (c.opset() < 25) return w;
  FUSEE_TRY(w.left, c.Int("left_window_size", -1));
  FUSEE_TRY(w.right, c.Int("right_window_size", -1));
  if (w.left < -1 || w.right < -1)
    return c.Error(fmt::format("window sizes are {} and {}, expected -1 or more", w.left, w.right));
  // Wider than any sequence is as good as unbounded, and keeps positions within 64 bits.
  w.left = std::min(w.left, int64_t{1} << 40);
  w.right = std::min(w.right, int64_t{1} << 40);
  return w;
}

// The condition of all but the mask; an invalid id when there is none.
ir::ValueId Visible(ImportContext& c, Speller& s, const AttentionSpelling& a, const Window& w) {
  ir::ValueId all;
  const auto require = [&](std::string_view op, ir::ValueId x, ir::ValueId y) {
    const ir::ValueId one = s.Op(op, {x, y});
    all = all.valid() ? s.Op("And", {all, one}) : one;
  };
  if (!w.any() && !c.has_input(kNonPad)) return all;
  const ir::ValueId key = s.Iota(a.seq_k);
  ir::ValueId lengths;
  if (c.has_input(kNonPad)) lengths = s.Reshape(c.input(kNonPad), {a.batch, 1, 1, 1});
  if (w.any()) {
    ir::ValueId query = s.Reshape(s.Iota(a.seq_q), {a.seq_q, 1});
    if (c.has_input(kPastKey)) query = s.Add(query, s.SizeOf(c.input(kPastKey), 2));
    if (lengths.valid())
      query = s.Add(query, s.Sub(lengths, s.SizeOf(c.input(kQ), Is4D(c) ? 2 : 1)));
    const auto shifted = [&](int64_t by) {
      return s.Add(query, s.Scalar(DType::kI64, static_cast<double>(by)));
    };
    if (w.causal) require("LessOrEqual", key, query);
    if (w.left >= 0) require("GreaterOrEqual", key, shifted(-w.left));
    if (w.right >= 0) require("LessOrEqual", key, shifted(w.right));
  }
  if (lengths.valid()) require("Less", key, lengths);
  return all;
}

// Since opset 24 a mask may have fewer keys than there are: the rest is masked out. Before, and
// where it cannot be told, it broadcasts.
Result<ir::ValueId> WidenMask(ImportContext& c, Speller& s, const ir::Dim& seq_k) {
  const ir::ValueId mask = c.input(kMask);
  const ir::SymShape shape = c.info(kMask).shape;
  if (shape.size() > 4)
    return c.Error(fmt::format("attn_mask has rank {}, expected 4 or less", shape.size()));
  if (shape.empty() || c.opset() < 24 || shape.back() == seq_k) return mask;
  const ir::Dim missing = seq_k - shape.back();
  const ir::DimRange range = missing.Range(c.graph().symbols());
  if (range.max < 0)
    return c.Error(fmt::format("attn_mask covers {} keys, but there are {}",
                               shape.back().ToString(), seq_k.ToString()));
  if (range.min < 0) {
    if (shape.back() == ir::Dim(1))
      return c.Refuse(
          "attn_mask covers 1 key, and whether others are to be masked out is not known; "
          "give it one column for each key");
    return mask;  // adding it requires the sizes to be equal, at run time
  }
  ir::SymShape rest = shape;
  rest.back() = missing;
  const DType dtype = c.info(kMask).dtype;
  const ir::ValueId fill = s.Scalar(dtype, dtype == DType::kBool ? 0 : -kInfinity);
  return s.Concat({mask, s.Expand(fill, rest)}, static_cast<int64_t>(shape.size()) - 1);
}

Status SpellBias(ImportContext& c, Speller& s, const Window& window, AttentionSpelling* a) {
  ir::ValueId visible = Visible(c, s, *a, window);
  ir::ValueId added;
  if (c.has_input(kMask)) {
    const DType dtype = c.info(kMask).dtype;
    if (dtype != DType::kBool && !IsFloat(dtype))
      return c.Refuse(fmt::format("attn_mask is {}; cast it to bool or to {}", DTypeName(dtype),
                                  DTypeName(a->dtype)));
    FUSEE_TRY(ir::ValueId mask, WidenMask(c, s, a->seq_k));
    if (dtype == DType::kBool) {
      visible = visible.valid() ? s.Op("And", {visible, mask}) : mask;
    } else {
      added = s.Cast(mask, a->dtype);
    }
  }
  if (visible.valid()) {
    const ir::ValueId zero = s.Scalar(a->dtype, 0);
    a->bias = s.Where(visible, zero, s.Scalar(a->dtype, -kInfinity));
    if (added.valid()) a->bias = s.Add(added, a->bias);
  } else {
    a->bias = added;
  }
  // A causal query always sees the first key; only these can leave one without any.
  a->zero_masked_rows = c.has_input(kMask) || c.has_input(kNonPad) || window.left >= 0;
  return s.status();
}

Status ImportAttention(ImportContext& c) {
  FUSEE_TRY(CheckOperands(c));
  AttentionSpelling a;
  FUSEE_TRY(ReadSizes(c, &a));
  FUSEE_TRY(ReadNumbers(c, &a));
  FUSEE_TRY(const Window window, ReadWindow(c));
  Speller s(c);
  SpellOperands(c, s, &a);
  FUSEE_TRY(SpellBias(c, s, window, &a));
  const SpelledAttention spelled = SpellAttention(s, a);
  FUSEE_TRY(s.status());
  c.SetOutput(0, spelled.y);
  if (spelled.probe.valid()) c.SetOutput(3, spelled.probe);
  return OkStatus();
}

}  // namespace

OpDef DefineAttention() {
  return {.name = "Attention",
          .imports = {{.onnx_op = "Attention", .since = 23, .import = ImportAttention}}};
}

}  // namespace fusee::ops
