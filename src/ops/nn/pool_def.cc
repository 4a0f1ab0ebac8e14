#include <fmt/format.h>

#include "ops/nn/window_def.h"

namespace fusee::ops {

namespace {

Status CheckRank(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  if (c.rank(0) < 3 || c.rank(0) > 2 + kMaxSpatial) {
    return c.Refuse(fmt::format("x has rank {}; 3 to 5 are supported", c.rank(0)));
  }
  return OkStatus();
}

Result<Attrs> ImportPoolWindow(ImportContext& c) {
  FUSEE_TRY(CheckRank(c));
  FUSEE_TRY(std::vector<int64_t> kernel, c.Ints("kernel_shape"));
  if (static_cast<int>(kernel.size()) != c.rank(0) - 2) {
    return c.Error(
        fmt::format("kernel_shape has {} entries, expected {}", kernel.size(), c.rank(0) - 2));
  }
  return ImportWindow(c, std::move(kernel), true);
}

Status ImportMaxPool(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ImportPoolWindow(c));
  FUSEE_TRY(int64_t order, c.Int("storage_order", 0));
  if (order < 0 || order > 1) return c.Error(fmt::format("storage_order {} is not 0 or 1", order));
  if (order == 1 && c.wants_output(1))
    attrs.Set("storage_order", int64_t{1});  // only indices depend on it
  return c.EmitAs("MaxPool", std::move(attrs));
}

Status ImportAveragePool(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ImportPoolWindow(c));
  FUSEE_TRY(int64_t include, c.Int("count_include_pad", 0));
  if (include != 0) attrs.Set("count_include_pad", int64_t{1});
  return c.EmitAs("AveragePool", std::move(attrs));
}

// Opset 1 had p as a float and gave kernel_shape as optional; nothing exports it any more.
Status ImportLpPool(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ImportPoolWindow(c));
  FUSEE_TRY(int64_t p, c.Int("p", 2));
  if (p < 1 || p >= kMaxWindowValue) return c.Error(fmt::format("p is {}, expected 1 or more", p));
  attrs.Set("p", p);
  return c.EmitAs("LpPool", std::move(attrs));
}

Status InferPool(InferContext& c, size_t max_outputs, bool bytes_too) {
  if (c.input_count() != 1 || !c.has_input(0)) return c.Error("expected one operand");
  if (c.outputs().empty() || c.outputs().size() > max_outputs)
    return c.Error("wrong number of results");
  if (c.rank(0) < 3 || c.rank(0) > 2 + kMaxSpatial) {
    return c.Error(fmt::format("x has rank {}, expected 3 to 5", c.rank(0)));
  }
  const DType dtype = c.dtype(0);
  if (!IsFloat(dtype) && !(bytes_too && (dtype == DType::kI8 || dtype == DType::kU8))) {
    return c.Error(fmt::format("x is {}, expected a floating-point type{}", DTypeName(dtype),
                               bytes_too ? ", i8 or u8" : ""));
  }
  auto window = ParseWindow(c.attrs(), c.rank(0) - 2);
  if (!window.ok()) return c.Error(window.status().message());
  if (window->channels_last && c.outputs().size() == 2 && c.node().outputs[1].valid())
    return c.Error("indices are defined for layout NCHW only");
  FUSEE_TRY(ir::SymShape out,
            InferWindow(c, *window, window->channels_last ? c.shape(0).back() : c.shape(0)[1]));
  if (c.outputs().size() == 2) c.SetOutput(1, DType::kI64, out);
  c.SetOutput(0, dtype, std::move(out));
  return OkStatus();
}

Status InferMaxPool(InferContext& c) { return InferPool(c, 2, true); }
Status InferAveragePool(InferContext& c) { return InferPool(c, 1, false); }
Status InferLpPool(InferContext& c) {
  FUSEE_TRY(int64_t p, c.attrs().Int("p", 2));
  if (p < 1 || p >= kMaxWindowValue) return c.Error(fmt::format("p is {}, expected 1 or more", p));
  return InferPool(c, 1, false);
}

// --- global pools: every spatial axis becomes 1 ---

Status ImportGlobal(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  return c.EmitAs(c.node().op_type);
}

Status InferGlobal(InferContext& c) {
  if (c.input_count() != 1 || !c.has_input(0)) return c.Error("expected one operand");
  if (c.rank(0) < 2) return c.Error(fmt::format("x has rank {}, expected at least 2", c.rank(0)));
  if (!IsFloat(c.dtype(0))) {
    return c.Error(fmt::format("x is {}, expected a floating-point type", DTypeName(c.dtype(0))));
  }
  auto channels_last = ParseChannelsLast(c.attrs());
  if (!channels_last.ok()) return c.Error(channels_last.status().message());
  ir::SymShape out = c.shape(0);
  const size_t first = *channels_last ? 1 : 2;
  for (size_t i = 0; i + 2 < out.size(); ++i) out[first + i] = 1;
  c.SetOutput(0, c.dtype(0), std::move(out));
  return OkStatus();
}

// GlobalLpPool is a reduction over the spatial axes: ReduceL1, ReduceL2, or for other p the root of
// the sum of powers, in f32 at least so that powers of a half do not overflow.
Status ImportGlobalLp(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand x is missing");
  const DType dtype = c.info(0).dtype;
  if (c.rank(0) < 2) return c.Error(fmt::format("x has rank {}, expected at least 2", c.rank(0)));
  if (!IsFloat(dtype)) {
    return c.Error(fmt::format("x is {}, expected a floating-point type", DTypeName(dtype)));
  }
  FUSEE_TRY(int64_t p, c.Int("p", 2));
  if (p < 1 || p >= kMaxWindowValue) return c.Error(fmt::format("p is {}, expected 1 or more", p));
  std::vector<int64_t> axes;
  for (int i = 2; i < c.rank(0); ++i) axes.push_back(i);
  Attrs over = {{"axes", std::move(axes)}, {"keepdims", int64_t{1}}};
  if (p <= 2) return c.EmitAs(p == 1 ? "ReduceL1" : "ReduceL2", {c.input(0)}, std::move(over));
  const DType wide = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  FUSEE_TRY(ir::ValueId x, c.Emit("Abs", {c.input(0)}));
  if (wide != dtype) {
    FUSEE_TRY(x, c.Emit("Cast", {x}, {{"to", static_cast<int64_t>(wide)}}));
  }
  FUSEE_TRY(x, c.Emit("Pow", {x, c.Scalar(wide, static_cast<double>(p))}));
  FUSEE_TRY(x, c.Emit("ReduceSum", {x}, std::move(over)));
  FUSEE_TRY(x, c.Emit("Pow", {x, c.Scalar(wide, 1 / static_cast<double>(p))}));
  if (wide != dtype) {
    FUSEE_TRY(x, c.Emit("Cast", {x}, {{"to", static_cast<int64_t>(dtype)}}));
  }
  c.SetOutput(0, x);
  return OkStatus();
}

}  // namespace

OpDef DefineMaxPool() {
  return {.name = "MaxPool",
          .infer = InferMaxPool,
          .imports = {{.onnx_op = "MaxPool", .since = 1, .import = ImportMaxPool}}};
}

OpDef DefineAveragePool() {
  return {.name = "AveragePool",
          .infer = InferAveragePool,
          .imports = {{.onnx_op = "AveragePool", .since = 1, .import = ImportAveragePool}}};
}

OpDef DefineLpPool() {
  return {.name = "LpPool",
          .infer = InferLpPool,
          .imports = {{.onnx_op = "LpPool", .since = 2, .import = ImportLpPool}}};
}

OpDef DefineGlobalAveragePool() {
  return {.name = "GlobalAveragePool",
          .infer = InferGlobal,
          .imports = {{.onnx_op = "GlobalAveragePool", .since = 1, .import = ImportGlobal}}};
}

OpDef DefineGlobalLpPool() {
  return {.name = "GlobalLpPool",
          .imports = {{.onnx_op = "GlobalLpPool", .since = 2, .import = ImportGlobalLp}}};
}

OpDef DefineGlobalMaxPool() {
  return {.name = "GlobalMaxPool",
          .infer = InferGlobal,
          .imports = {{.onnx_op = "GlobalMaxPool", .since = 1, .import = ImportGlobal}}};
}

}  // namespace fusee::ops
