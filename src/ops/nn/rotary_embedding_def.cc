// RotaryEmbedding of ai.onnx (opset 23) and of com.microsoft: pairs of columns of each head turned
// by the angle of their position.
//
//   real = cos x1 - sin x2        imaginary = sin x1 + cos x2
//
// x1 and x2 are the two halves of the first rotary_embedding_dim columns, or with `interleaved` the
// even and the odd ones; further columns pass. Spelled with products, sums and slices, in the
// operand's own order of axes: [batch, heads, seq, dim], or [batch, seq, heads * dim].
#include <fmt/format.h>

#include <algorithm>

#include "ops/nn/speller_def.h"

namespace fusee::ops {

namespace {

// Both operators' attributes and shapes in one form.
struct Rotation {
  ir::ValueId x, cos, sin;  // cos and sin [batch, seq, half], or broadcasting to it
  ir::SymShape table;       // their shape
  ir::Dim batch, seq, heads;
  int64_t dim = 0, rotary = 0;  // columns of a head, and how many of them are turned
  bool by_heads = false;        // x is [batch, heads, seq, dim]
  bool interleaved = false;
};

Status CheckX(ImportContext& c) {
  if (c.rank(0) != 3 && c.rank(0) != 4)
    return c.Error(fmt::format("x has rank {}, expected 3 or 4", c.rank(0)));
  if (!IsFloat(c.info(0).dtype))
    return c.Error(fmt::format("x is {}, expected floating point", DTypeName(c.info(0).dtype)));
  return OkStatus();
}

// dim and rotary: heads of rank 3 come from the attribute num_heads, or from `fallback_dim` columns
// for each head where that may be 0.
Status ReadHeads(ImportContext& c, int64_t fallback_dim, Rotation* r) {
  FUSEE_TRY(const int64_t heads, c.Int("num_heads", 0));
  FUSEE_TRY(const int64_t rotary, c.Int("rotary_embedding_dim", 0));
  FUSEE_TRY(const int64_t interleaved, c.Int("interleaved", 0));
  r->interleaved = interleaved != 0;
  const ir::SymShape& x = c.info(0).shape;
  r->batch = x[0];
  r->by_heads = c.rank(0) == 4;
  const ir::Dim& columns = x.back();
  if (!columns.is_constant()) return c.Refuse("the columns of x must be known while building");
  if (r->by_heads) {
    r->heads = x[1], r->seq = x[2], r->dim = columns.constant();
  } else {
    r->seq = x[1];
    const int64_t parts = heads != 0         ? heads
                          : fallback_dim > 0 ? columns.constant() / fallback_dim
                                             : 0;
    if (parts < 1 || columns.constant() % parts != 0)
      return c.Error(
          fmt::format("{} columns do not divide into num_heads {}", columns.constant(), heads));
    r->heads = parts, r->dim = columns.constant() / parts;
  }
  r->rotary = rotary == 0 ? r->dim : rotary;
  if (r->rotary < 2 || r->rotary > r->dim || r->rotary % 2 != 0)
    return c.Error(
        fmt::format("rotary_embedding_dim is {}, expected an even number up to the head size {}",
                    r->rotary, r->dim));
  return OkStatus();
}

// Tables of `rank` axes, whose last has one entry for each pair.
Status CheckTable(ImportContext& c, size_t operand, int rank, const Rotation& r) {
  const ir::ValueInfo& table = c.info(operand);
  if (static_cast<int>(table.shape.size()) != rank || table.dtype != c.info(0).dtype)
    return c.Error(
        fmt::format("operand {} (cos or sin) should be of rank {} and of x's type", operand, rank));
  const ir::Dim half = r.rotary / 2;
  if (!(table.shape.back() == half))
    return c.Error(
        fmt::format("operand {} (cos or sin) has {} columns, expected {}: half of what is turned",
                    operand, table.shape.back().ToString(), half.ToString()));
  return OkStatus();
}

Status Spell(ImportContext& c, Speller& s, const Rotation& r) {
  const int64_t axis = 3, half = r.rotary / 2;
  // A size of 1 for the heads, where x has them.
  ir::SymShape table = r.table;
  table.insert(table.begin() + (r.by_heads ? 1 : 2), ir::Dim(1));
  const ir::ValueId cos = s.Reshape(r.cos, table), sin = s.Reshape(r.sin, table);
  const ir::SymShape lead =
      r.by_heads ? ir::SymShape{r.batch, r.heads, r.seq} : ir::SymShape{r.batch, r.seq, r.heads};
  const auto shaped = [&](std::initializer_list<int64_t> last) {
    ir::SymShape shape = lead;
    shape.insert(shape.end(), last.begin(), last.end());
    return shape;
  };
  const ir::ValueId x = r.by_heads ? r.x : s.Reshape(r.x, shaped({r.dim}));
  const int64_t step = r.interleaved ? 2 : 1, second = r.interleaved ? 1 : half;
  const ir::ValueId x1 = s.Slice(x, axis, 0, r.interleaved ? r.rotary : half, step);
  const ir::ValueId x2 = s.Slice(x, axis, second, r.rotary, step);
  const ir::ValueId cos_x1 = s.Mul(cos, x1), sin_x2 = s.Mul(sin, x2);
  const ir::ValueId sin_x1 = s.Mul(sin, x1), cos_x2 = s.Mul(cos, x2);
  ir::ValueId real = s.Sub(cos_x1, sin_x2);
  ir::ValueId imaginary = s.Add(sin_x1, cos_x2);
  if (r.interleaved) {
    real = s.Reshape(real, shaped({half, 1}));
    imaginary = s.Reshape(imaginary, shaped({half, 1}));
  }
  std::vector<ir::ValueId> parts{real, imaginary};
  if (r.interleaved) parts = {s.Reshape(s.Concat(parts, 4), shaped({r.rotary}))};
  if (r.rotary < r.dim) parts.push_back(s.Slice(x, axis, r.rotary, r.dim));
  ir::ValueId y = parts.size() == 1 ? parts[0] : s.Concat(parts, axis);
  if (!r.by_heads) y = s.Reshape(y, {r.batch, r.seq, r.heads * ir::Dim(r.dim)});
  FUSEE_TRY(s.status());
  c.SetOutput(0, y);
  return OkStatus();
}

bool IsIndex(DType d) { return d == DType::kI64 || d == DType::kI32; }

// Operands x, cos, sin, and optionally positions; without them the tables are [batch, seq, half].
Status ImportRotary(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1) || !c.has_input(2))
    return c.Error("operands x, cos_cache and sin_cache are required");
  FUSEE_TRY(CheckX(c));
  Rotation r;
  FUSEE_TRY(ReadHeads(c, 0, &r));
  const bool positions = c.has_input(3);
  for (size_t i : {1u, 2u}) FUSEE_TRY(CheckTable(c, i, positions ? 2 : 3, r));
  Speller s(c);
  r.x = c.input(0), r.cos = c.input(1), r.sin = c.input(2);
  r.table = c.info(1).shape;
  if (positions) {
    if (c.rank(3) != 2 || !IsIndex(c.info(3).dtype))
      return c.Error("position_ids should be integers of [batch, seq]");
    r.cos = s.Op("Gather", {r.cos, c.input(3)}, {{"axis", int64_t{0}}});
    r.sin = s.Op("Gather", {r.sin, c.input(3)}, {{"axis", int64_t{0}}});
    r.table = {c.info(3).shape[0], c.info(3).shape[1], r.rotary / 2};
  }
  return Spell(c, s, r);
}

// com.microsoft: operands x, positions, cos, sin. Positions are [batch, seq], or one number that
// the first token of every sequence has.
Status ImportMicrosoftRotary(ImportContext& c) {
  for (size_t i = 0; i < 4; ++i)
    if (!c.has_input(i))
      return c.Error("operands input, position_ids, cos_cache and sin_cache are required");
  FUSEE_TRY(CheckX(c));
  FUSEE_TRY(const double scale, c.Float("scale", 1));
  FUSEE_TRY(const int64_t packed, c.Int("is_packed_batching", 0));
  if (scale != 1 || packed != 0)
    return c.Refuse(
        "scale other than 1 and is_packed_batching are not supported; export without them");
  if (c.rank(2) != 2 || !c.info(2).shape[1].is_constant())
    return c.Error("cos_cache should be [positions, half], with half known while building");
  Rotation r;
  FUSEE_TRY(ReadHeads(c, 2 * std::min(c.info(2).shape[1].constant(), int64_t{1} << 32), &r));
  for (size_t i : {2u, 3u}) FUSEE_TRY(CheckTable(c, i, 2, r));
  if (!IsIndex(c.info(1).dtype)) return c.Error("position_ids should be integers");
  Speller s(c);
  ir::ValueId positions = c.input(1);
  const ir::SymShape given = c.info(1).shape;
  r.table = {1, r.seq, r.rotary / 2};
  if (given.size() == 2) {
    r.table[0] = given[0], r.table[1] = given[1];
  } else if (given.size() == 1 && given[0] == ir::Dim(1)) {
    positions = s.Reshape(s.Add(s.Iota(r.seq), s.Cast(positions, DType::kI64)), {1, r.seq});
  } else {
    return c.Error("position_ids should be [batch, seq] or [1]");
  }
  r.x = c.input(0);
  r.cos = s.Op("Gather", {c.input(2), positions}, {{"axis", int64_t{0}}});
  r.sin = s.Op("Gather", {c.input(3), positions}, {{"axis", int64_t{0}}});
  return Spell(c, s, r);
}

}  // namespace

OpDef DefineRotaryEmbedding() {
  return {.name = "RotaryEmbedding",
          .imports = {{.onnx_op = "RotaryEmbedding", .since = 23, .import = ImportRotary},
                      {.onnx_op = "RotaryEmbedding",
                       .import = ImportMicrosoftRotary,
                       .domain = "com.microsoft"}}};
}

}  // namespace fusee::ops
