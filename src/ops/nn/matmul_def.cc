#include <fmt/format.h>

#include <algorithm>

#include "ops/nn/activation.h"
#include "ops/nn/residual_def.h"
#include "ops/nn/speller_def.h"
#include "ops/op_def.h"

namespace fusee::ops {

namespace {

Status ImportMatMul(ImportContext& c) { return c.EmitAs("MatMul"); }

// The operand with its last two axes exchanged (transA), after its first axis went behind the batch
// axes (transBatchA: [m, batch..., k] for [batch..., m, k]). An operand of rank 1 has nothing to
// exchange.
Result<ir::ValueId> Transposed(ImportContext& c, Speller& s, size_t operand, bool matrix,
                               bool batch) {
  const int rank = c.rank(operand);
  if (batch && rank < 3)
    return c.Error(fmt::format("operand {} has rank {}, too few for transBatch", operand, rank));
  std::vector<int64_t> perm;
  for (int i = 0; i < rank; ++i) perm.push_back(i);
  if (batch) std::rotate(perm.begin(), perm.begin() + 1, perm.end() - 1);
  if (matrix && rank >= 2) std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return std::ranges::is_sorted(perm) ? c.input(operand) : s.Transpose(c.input(operand), perm);
}

// com.microsoft: alpha times the product.
Status ImportFusedMatMul(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1)) return c.Error("operands A and B are required");
  FUSEE_TRY(const double alpha, c.Float("alpha", 1));
  FUSEE_TRY(const int64_t trans_a, c.Int("transA", 0));
  FUSEE_TRY(const int64_t trans_b, c.Int("transB", 0));
  FUSEE_TRY(const int64_t batch_a, c.Int("transBatchA", 0));
  FUSEE_TRY(const int64_t batch_b, c.Int("transBatchB", 0));
  const DType dtype = c.info(0).dtype;
  Speller s(c);
  FUSEE_TRY(const ir::ValueId a, Transposed(c, s, 0, trans_a != 0, batch_a != 0));
  FUSEE_TRY(const ir::ValueId b, Transposed(c, s, 1, trans_b != 0, batch_b != 0));
  ir::ValueId y = s.MatMul(a, b);
  if (alpha != 1) y = s.Mul(y, s.Scalar(dtype, alpha));
  FUSEE_TRY(s.status());
  c.SetOutput(0, y);
  return OkStatus();
}

bool MatMulType(DType d) {
  return IsFloat(d) || d == DType::kI32 || d == DType::kI64 || d == DType::kU32 || d == DType::kU64;
}

// numpy.matmul: a 1-D operand counts as a row (a) or a column (b), whose dimension of 1 leaves the
// result again; leading dimensions broadcast.
Status InferMatMul(InferContext& c) {
  if (c.input_count() < 2 || c.input_count() > 4 || !c.has_input(0) || !c.has_input(1)) {
    return c.Error("expected operands a, b and optionally a bias and a residual");
  }
  if (c.rank(0) < 1 || c.rank(1) < 1) return c.Error("operands of rank 0 cannot be multiplied");
  if (!MatMulType(c.dtype(0)) || c.dtype(1) != c.dtype(0)) {
    return c.Error(fmt::format(
        "a is {} and b is {}, expected one type of f32, f64, f16, bf16, i32, i64, u32, u64",
        DTypeName(c.dtype(0)), DTypeName(c.dtype(1))));
  }
  const ir::SymShape& a = c.shape(0);
  const ir::SymShape& b = c.shape(1);
  FUSEE_TRY(c.RequireEqual(a.back(), b.size() == 1 ? b[0] : b[b.size() - 2],
                           "inner dimensions of a and b"));
  const ir::SymShape batch_a(a.begin(), a.size() > 2 ? a.end() - 2 : a.begin());
  const ir::SymShape batch_b(b.begin(), b.size() > 2 ? b.end() - 2 : b.begin());
  FUSEE_TRY(ir::SymShape out, c.Broadcast(batch_a, batch_b));
  if (a.size() > 1) out.push_back(a[a.size() - 2]);
  if (b.size() > 1) out.push_back(b.back());
  if (c.has_input(2)) {
    if (b.size() == 1 || c.rank(2) != 1 || c.dtype(2) != c.dtype(0)) {
      return c.Error("the bias should be 1-D, of a's type, over the columns of b");
    }
    FUSEE_TRY(c.RequireEqual(c.shape(2)[0], b.back(), "the bias and the columns of b"));
  }
  if (auto act = ParseActivation(c.attrs()); !act.ok()) return c.Error(act.status().message());
  if (c.attrs().Has("activation") && !IsFloat(c.dtype(0)))
    return c.Error("an activation needs a floating-point type");
  FUSEE_TRY(CheckResidual(c, out));
  c.SetOutput(0, c.dtype(0), std::move(out));
  return OkStatus();
}

}  // namespace

OpDef DefineMatMul() {
  return {.name = "MatMul",
          .infer = InferMatMul,
          .imports = {
              {.onnx_op = "MatMul", .since = 1, .import = ImportMatMul},
              {.onnx_op = "FusedMatMul", .import = ImportFusedMatMul, .domain = "com.microsoft"}}};
}

}  // namespace fusee::ops
