#include "ops/nn/matmul.h"

#include <algorithm>

#include <fmt/format.h>

#include "ops/math_mode.h"

namespace fusee::ops {

Result<MatMulParams> ParseMatMul(const StepSpec& spec) {
  if (spec.inputs.size() < 2 || spec.inputs.size() > 4 || spec.outputs.size() != 1 ||
      !spec.has_input(0) || !spec.has_input(1) || !spec.outputs[0].present()) {
    return BadStep(spec, "expected operands a, b, optionally c and residual, and one result");
  }
  MatMulParams p;
  p.gemm = spec.op == "Gemm";
  p.dtype = spec.inputs[0].dtype;
  if (!IsFloat(p.dtype) && p.dtype != DType::kI32 && p.dtype != DType::kI64 &&
      p.dtype != DType::kU32 && p.dtype != DType::kU64) {
    return BadStep(spec, "a should be f32, f64, f16, bf16, i32, i64, u32 or u64");
  }
  if (p.gemm) {
    FUSEE_TRY(int64_t trans_a, spec.attrs->Int("transA", 0));
    FUSEE_TRY(int64_t trans_b, spec.attrs->Int("transB", 0));
    FUSEE_TRY(p.alpha, spec.attrs->Float("alpha", 1));
    FUSEE_TRY(p.beta, spec.attrs->Float("beta", 1));
    p.trans_a = trans_a != 0;
    p.trans_b = trans_b != 0;
  }
  auto activation = ParseActivation(*spec.attrs);
  if (!activation.ok()) return BadStep(spec, activation.status().message());
  p.activation = *activation;
  if (!IsFloat(p.dtype) && p.activation.kind != ActivationKind::kNone) {
    return BadStep(spec, "an activation needs a floating-point type");
  }
  if (spec.has_input(3) && (!IsFloat(p.dtype) || spec.inputs[3].dtype != p.dtype)) {
    return BadStep(spec, "the residual should be of a's type, floating-point");
  }
  const auto tf32 = AllowsTf32(*spec.attrs);
  if (!tf32.ok()) return BadStep(spec, tf32.status().message());
  if (*tf32 && p.dtype != DType::kF32) return BadStep(spec, "math tf32 is for f32 operands");
  p.tf32 = *tf32;
  return p;
}

namespace {

Status Mismatch(const MatMulParams& p, const Shape& a, const Shape& b, std::string_view what) {
  return InvalidArgument(fmt::format("{}: {} of operands with shapes {} and {}",
                                     p.gemm ? "Gemm" : "MatMul", what, a.ToString(), b.ToString()));
}

Status GemmGeometry(const MatMulParams& p, const Shape& a, const Shape& b, MatMulShape* s) {
  if (a.rank() != 2 || b.rank() != 2) return Mismatch(p, a, b, "wrong rank");
  s->m = p.trans_a ? a[1] : a[0];
  s->k = p.trans_a ? a[0] : a[1];
  s->n = p.trans_b ? b[0] : b[1];
  if (s->k != (p.trans_b ? b[1] : b[0])) return Mismatch(p, a, b, "inner dimensions differ");
  s->a_row = p.trans_a ? 1 : a[1];
  s->a_col = p.trans_a ? a[1] : 1;
  s->b_row = p.trans_b ? 1 : b[1];
  s->b_col = p.trans_b ? b[1] : 1;
  return OkStatus();
}

// Broadcasts the leading dimensions and notes each operand's batch strides.
Status BatchGeometry(const MatMulParams& p, const Shape& a, const Shape& b, MatMulShape* s,
                     Shape* out) {
  const int a_rank = std::max(a.rank() - 2, 0);
  const int b_rank = std::max(b.rank() - 2, 0);
  s->batch_rank = std::max(a_rank, b_rank);
  int64_t a_step = s->m * s->k;
  int64_t b_step = s->k * s->n;
  for (int i = s->batch_rank - 1; i >= 0; --i) {
    const int ai = i - (s->batch_rank - a_rank);
    const int bi = i - (s->batch_rank - b_rank);
    const int64_t da = ai >= 0 ? a[ai] : 1;
    const int64_t db = bi >= 0 ? b[bi] : 1;
    if (da != db && da != 1 && db != 1) return Mismatch(p, a, b, "batch dimensions differ");
    const size_t d = static_cast<size_t>(i);
    s->batch_dims[d] = da == 1 ? db : da;
    s->a_batch[d] = da == 1 ? 0 : a_step;
    s->b_batch[d] = db == 1 ? 0 : b_step;
    a_step *= da;
    b_step *= db;
  }
  for (int i = 0; i < s->batch_rank; ++i) {
    s->batches *= s->batch_dims[static_cast<size_t>(i)];
    out->push_back(s->batch_dims[static_cast<size_t>(i)]);
  }
  return OkStatus();
}

}  // namespace

Status MatMulGeometry(const MatMulParams& p, const Shape& a, const Shape& b,
                      const ConstTensorView& c, MatMulShape* s, Shape* out) {
  *s = MatMulShape();
  *out = Shape();
  if (p.gemm) {
    FUSEE_TRY(GemmGeometry(p, a, b, s));
    *out = Shape{s->m, s->n};
  } else {
    if (a.rank() < 1 || b.rank() < 1) return Mismatch(p, a, b, "wrong rank");
    s->m = a.rank() == 1 ? 1 : a[a.rank() - 2];
    s->k = a[a.rank() - 1];
    s->n = b.rank() == 1 ? 1 : b[b.rank() - 1];
    if (s->k != (b.rank() == 1 ? b[0] : b[b.rank() - 2]))
      return Mismatch(p, a, b, "inner dimensions differ");
    s->a_row = s->k;
    s->a_col = 1;
    s->b_row = s->n;
    s->b_col = 1;
    FUSEE_TRY(BatchGeometry(p, a, b, s, out));
    if (a.rank() > 1) out->push_back(s->m);
    if (b.rank() > 1) out->push_back(s->n);
  }
  if (!c.present()) return OkStatus();
  const int rank = c.shape.rank();
  const int64_t rows = rank == 2 ? c.shape[0] : 1;
  const int64_t columns = rank >= 1 ? c.shape[rank - 1] : 1;
  const bool fits =
      p.gemm ? rank <= 2 && (rows == 1 || rows == s->m) && (columns == 1 || columns == s->n)
             : rank == 1 && b.rank() > 1 && columns == s->n;
  if (!fits || c.dtype != p.dtype) {
    return InvalidArgument(fmt::format("{}: c of shape {} does not fit a result of {} by {}",
                                       p.gemm ? "Gemm" : "MatMul", c.shape.ToString(), s->m, s->n));
  }
  s->c_col = columns == 1 ? 0 : 1;
  s->c_row = rows == 1 ? 0 : columns;
  return OkStatus();
}

Status CheckResidual(const MatMulParams& p, const RunArgs& args, const Shape& result) {
  if (!args.has_input(3)) return OkStatus();
  const std::string_view op = p.gemm ? "Gemm" : "MatMul";
  if (args.inputs[3].dtype != p.dtype)
    return InvalidArgument(fmt::format("{}: the residual has another type than bound", op));
  if (!(args.inputs[3].shape == result))
    return ShapeMismatch(op, "the residual", result, args.inputs[3].shape);
  return OkStatus();
}

Status CheckMatMul(const MatMulParams& p, const RunArgs& args) {
  const std::string_view op = p.gemm ? "Gemm" : "MatMul";
  if (args.inputs.size() < 2 || args.outputs.size() != 1 || args.inputs[0].dtype != p.dtype ||
      args.inputs[1].dtype != p.dtype || args.outputs[0].dtype != p.dtype) {
    return InvalidArgument(fmt::format("{}: operands differ from those bound", op));
  }
  MatMulShape s;
  Shape want;
  FUSEE_TRY(MatMulGeometry(p, args.inputs[0].shape, args.inputs[1].shape,
                           args.has_input(2) ? args.inputs[2] : ConstTensorView(), &s, &want));
  if (!(args.outputs[0].shape == want))
    return ShapeMismatch(op, "the result", want, args.outputs[0].shape);
  return CheckResidual(p, args, want);
}

}  // namespace fusee::ops
