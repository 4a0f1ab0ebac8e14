#include <fmt/format.h>

#include "ops/nn/activation.h"
#include "ops/nn/residual_def.h"
#include "ops/nn/spell_activation_def.h"
#include "ops/op_def.h"

namespace fusee::ops {

namespace {

// Before opset 7 C broadcast only where the attribute said so; numpy's rule contains that one.
Result<Attrs> ReadGemm(ImportContext& c) {
  FUSEE_TRY(double alpha, c.Float("alpha", 1));
  FUSEE_TRY(double beta, c.Float("beta", 1));
  FUSEE_TRY(int64_t trans_a, c.Int("transA", 0));
  FUSEE_TRY(int64_t trans_b, c.Int("transB", 0));
  if (c.opset() < 7) c.Ignore("broadcast");
  Attrs attrs;
  if (alpha != 1) attrs.Set("alpha", alpha);
  if (beta != 1) attrs.Set("beta", beta);
  if (trans_a != 0) attrs.Set("transA", int64_t{1});
  if (trans_b != 0) attrs.Set("transB", int64_t{1});
  return attrs;
}

Status ImportGemm(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ReadGemm(c));
  return c.EmitAs("Gemm", std::move(attrs));
}

// com.microsoft: activation(gemm).
Status ImportFusedGemm(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ReadGemm(c));
  FUSEE_TRY(const std::string activation, c.Str("activation", ""));
  std::optional<double> numbers[2];
  const char* const names[] = {"activation_alpha", "activation_beta"};
  for (size_t i = 0; i < 2; ++i) {
    if (!c.HasAttr(names[i])) continue;
    FUSEE_TRY(numbers[i], c.Float(names[i], 0));
  }
  c.Ignore("activation_gamma");  // no activation that is known here has three parameters
  FUSEE_TRY(ir::ValueId y,
            c.Emit("Gemm", {c.inputs().begin(), c.inputs().end()}, std::move(attrs)));
  FUSEE_TRY(y, SpellActivation(c, y, activation, numbers[0], numbers[1]));
  c.SetOutput(0, y);
  return OkStatus();
}

bool GemmType(DType d) {
  return IsFloat(d) || d == DType::kI32 || d == DType::kI64 || d == DType::kU32 || d == DType::kU64;
}

Status InferGemm(InferContext& c) {
  if (c.input_count() < 2 || c.input_count() > 4 || !c.has_input(0) || !c.has_input(1)) {
    return c.Error("expected operands a, b and optionally c and a residual");
  }
  if (c.rank(0) != 2 || c.rank(1) != 2) {
    return c.Error(fmt::format("a has rank {} and b {}, expected 2", c.rank(0), c.rank(1)));
  }
  if (!GemmType(c.dtype(0)) || c.dtype(1) != c.dtype(0) ||
      (c.has_input(2) && c.dtype(2) != c.dtype(0))) {
    return c.Error(fmt::format(
        "a is {} and b is {}, expected one type of f32, f64, f16, bf16, i32, i64, u32, u64",
        DTypeName(c.dtype(0)), DTypeName(c.dtype(1))));
  }
  FUSEE_TRY(int64_t trans_a, c.attrs().Int("transA", 0));
  FUSEE_TRY(int64_t trans_b, c.attrs().Int("transB", 0));
  const ir::SymShape& a = c.shape(0);
  const ir::SymShape& b = c.shape(1);
  const ir::Dim m = trans_a != 0 ? a[1] : a[0];
  const ir::Dim n = trans_b != 0 ? b[0] : b[1];
  FUSEE_TRY(c.RequireEqual(trans_a != 0 ? a[0] : a[1], trans_b != 0 ? b[1] : b[0],
                           "inner dimensions of a and b"));
  if (c.has_input(2)) {
    const ir::SymShape& bias = c.shape(2);
    if (bias.size() > 2)
      return c.Error(fmt::format("c has rank {}, expected at most 2", bias.size()));
    const ir::SymShape out{m, n};
    for (size_t i = 0; i < bias.size(); ++i) {
      if (bias[i] == ir::Dim(1)) continue;
      FUSEE_TRY(c.RequireEqual(bias[i], out[2 - bias.size() + i], "c and the result"));
    }
  }
  if (auto act = ParseActivation(c.attrs()); !act.ok()) return c.Error(act.status().message());
  if (c.attrs().Has("activation") && !IsFloat(c.dtype(0)))
    return c.Error("an activation needs a floating-point type");
  FUSEE_TRY(CheckResidual(c, {m, n}));
  c.SetOutput(0, c.dtype(0), {m, n});
  return OkStatus();
}

}  // namespace

OpDef DefineGemm() {
  return {
      .name = "Gemm",
      .infer = InferGemm,
      .imports = {{.onnx_op = "Gemm", .since = 1, .import = ImportGemm},
                  {.onnx_op = "FusedGemm", .import = ImportFusedGemm, .domain = "com.microsoft"}}};
}

}  // namespace fusee::ops
