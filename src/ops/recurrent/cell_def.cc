// RNN, GRU and LSTM. Operands: x, w, r, and optionally b, sequence_lens, initial_h; LSTM also
// initial_c and p (peepholes). Results, each of which may be unwanted: all steps, the last step,
// and LSTM's last cell state. Attributes: see cell.h.
//
//            layout 0           layout 1                        both
//   x        [T, N, I]          [N, T, I]           w           [D, gates H, I]
//   steps    [T, D, N, H]       [N, T, D, H]        r           [D, gates H, H]
//   h, c     [D, N, H]          [N, D, H]           b, p        [D, 2 gates H], [D, 3 H]
#include <fmt/format.h>

#include "ops/op_def.h"
#include "ops/recurrent/cell.h"

namespace fusee::ops {
namespace {

// alpha and beta: ONNX lists them only for those activations that take one, in order; what is not
// listed has the function's own default.
Result<std::vector<double>> Spread(ImportContext& c, const std::vector<const CellFunctionInfo*>& of,
                                   std::string_view attribute, bool alpha) {
  FUSEE_TRY(const std::vector<double> listed, c.Floats(attribute));
  std::vector<double> spread;
  size_t next = 0;
  for (const CellFunctionInfo* info : of) {
    const bool takes = alpha ? info->takes_alpha : info->takes_beta;
    const std::optional<double> fallback = alpha ? info->alpha : info->beta;
    if (takes && next < listed.size()) {
      spread.push_back(listed[next++]);
    } else if (takes && !fallback) {
      return c.Refuse(
          fmt::format("activation {} has no default; list its value in {}", info->name, attribute));
    } else {
      spread.push_back(takes ? *fallback : 0);
    }
  }
  if (next > 0 && next < listed.size()) {
    return c.Refuse(
        fmt::format("{} has {} entries, but only {} activations take one, so that it is unclear "
                    "which they are; list one for each of these",
                    attribute, listed.size(), next));
  }
  return spread;
}

Status ReadActivations(ImportContext& c, const CellAttrs& cell, Attrs* attrs) {
  FUSEE_TRY(std::vector<std::string> names, c.Strings("activations"));
  const auto count = static_cast<size_t>(cell.functions * cell.directions);
  for (int d = 0; !c.HasAttr("activations") && d < cell.directions; ++d) {
    if (cell.kind != CellKind::kRnn) names.emplace_back("Sigmoid");
    names.emplace_back("Tanh");
    if (cell.kind == CellKind::kLstm) names.emplace_back("Tanh");
  }
  if (names.size() != count) {
    return c.Error(fmt::format("activations has {} entries, expected {}", names.size(), count));
  }
  std::vector<const CellFunctionInfo*> functions;
  std::string joined;
  for (const std::string& name : names) {
    functions.push_back(FindCellFunction(name));
    if (functions.back() == nullptr) {
      return c.Refuse(fmt::format("activation '{}' is unknown", name));
    }
    joined += (joined.empty() ? "" : ",") + std::string(functions.back()->name);
  }
  attrs->Set("activations", std::move(joined));
  FUSEE_TRY(std::vector<double> alphas, Spread(c, functions, "activation_alpha", true));
  attrs->Set("alphas", std::move(alphas));
  FUSEE_TRY(std::vector<double> betas, Spread(c, functions, "activation_beta", false));
  attrs->Set("betas", std::move(betas));
  return OkStatus();
}

Result<int64_t> HiddenSize(ImportContext& c) {
  if (c.HasAttr("hidden_size")) return c.Int("hidden_size", 0);
  if (c.rank(CellOperand::kR) != 3) return c.Error("r should have rank 3");
  const ir::Dim& hidden = c.info(CellOperand::kR).shape[2];
  if (!hidden.is_constant()) {
    return c.Refuse("the hidden size must be known while building; set the attribute hidden_size");
  }
  return hidden.constant();
}

Status ImportCell(ImportContext& c) {
  for (size_t i = 0; i < 3; ++i) {
    if (!c.has_input(i)) return c.Error("operands x, w and r are required");
  }
  CellAttrs cell = CellOf(c.node().op_type);
  Attrs attrs;
  FUSEE_TRY(std::string direction, c.Str("direction", "forward"));
  if (const Status known = ReadDirection(direction, &cell); !known.ok())
    return c.Error(known.message());
  attrs.Set("direction", std::move(direction));
  FUSEE_TRY(const int64_t hidden, HiddenSize(c));
  attrs.Set("hidden_size", hidden);
  FUSEE_TRY(const int64_t layout, c.Int("layout", 0));
  attrs.Set("layout", layout);
  if (c.HasAttr("clip")) {
    FUSEE_TRY(const double clip, c.Float("clip", 0));
    attrs.Set("clip", clip);
  }
  if (cell.kind == CellKind::kLstm) {
    FUSEE_TRY(const int64_t input_forget, c.Int("input_forget", 0));
    attrs.Set("input_forget", input_forget);
  }
  if (cell.kind == CellKind::kGru) {
    FUSEE_TRY(const int64_t linear, c.Int("linear_before_reset", 0));
    attrs.Set("linear_before_reset", linear);
  }
  FUSEE_TRY(ReadActivations(c, cell, &attrs));
  return c.EmitAs(c.node().op_type, std::move(attrs));
}

Status CheckOperand(InferContext& c, size_t i, std::string_view name, const ir::SymShape& want) {
  if (!c.has_input(i)) return OkStatus();
  if (i != CellOperand::kLengths && c.dtype(i) != c.dtype(0)) {
    return c.Error(fmt::format("{} is {}, expected x's type {}", name, DTypeName(c.dtype(i)),
                               DTypeName(c.dtype(0))));
  }
  if (c.shape(i).size() != want.size()) {
    return c.Error(
        fmt::format("{} is {}, expected {}", name, ir::ToString(c.shape(i)), ir::ToString(want)));
  }
  for (size_t d = 0; d < want.size(); ++d) {
    FUSEE_TRY(c.RequireEqual(
        c.shape(i)[d], want[d],
        fmt::format("dimension {} of {} and its expected shape {}", d, name, ir::ToString(want))));
  }
  return OkStatus();
}

Status InferCell(InferContext& c) {
  for (size_t i = 0; i < 3; ++i) {
    if (!c.has_input(i)) return c.Error("operands x, w and r are required");
  }
  auto parsed = ParseCell(c.node().op, c.attrs());
  if (!parsed.ok()) return c.Error(parsed.status().message());
  const CellAttrs& cell = *parsed;
  if (c.input_count() > CellOperandsMax(cell.kind) ||
      c.outputs().size() > CellResultsMax(cell.kind)) {
    return c.Error("has too many operands or results");
  }
  if (!IsFloat(c.dtype(0))) {
    return c.Error(fmt::format("x is {}, expected floating point", DTypeName(c.dtype(0))));
  }
  if (c.rank(0) != 3) return c.Error(fmt::format("x has rank {}, expected 3", c.rank(0)));
  const ir::Dim& steps = c.shape(0)[cell.batch_first ? 1 : 0];
  const ir::Dim& batch = c.shape(0)[cell.batch_first ? 0 : 1];
  const ir::Dim d = cell.directions, h = cell.hidden, rows = cell.gates * cell.hidden;
  const ir::SymShape state =
      cell.batch_first ? ir::SymShape{batch, d, h} : ir::SymShape{d, batch, h};
  FUSEE_TRY(CheckOperand(c, CellOperand::kW, "w", {d, rows, c.shape(0)[2]}));
  FUSEE_TRY(CheckOperand(c, CellOperand::kR, "r", {d, rows, h}));
  FUSEE_TRY(CheckOperand(c, CellOperand::kB, "b", {d, 2 * cell.gates * cell.hidden}));
  if (c.has_input(CellOperand::kLengths) && c.dtype(CellOperand::kLengths) != DType::kI32)
    return c.Error("sequence_lens should be i32");
  FUSEE_TRY(CheckOperand(c, CellOperand::kLengths, "sequence_lens", {batch}));
  FUSEE_TRY(CheckOperand(c, CellOperand::kH, "initial_h", state));
  FUSEE_TRY(CheckOperand(c, CellOperand::kC, "initial_c", state));
  FUSEE_TRY(CheckOperand(c, CellOperand::kP, "p", {d, 3 * cell.hidden}));
  for (size_t i = 0; i < c.outputs().size(); ++i) c.SetOutput(i, c.dtype(0), state);
  if (!c.outputs().empty()) {
    c.SetOutput(
        0, c.dtype(0),
        cell.batch_first ? ir::SymShape{batch, steps, d, h} : ir::SymShape{steps, d, batch, h});
  }
  return OkStatus();
}

// Opset 14 added layout, 22 bf16. Before 7 other attributes said which results there are.
OpDef Define(std::string_view name) {
  return {.name = name, .infer = InferCell, .imports = {{name, 7, 1 << 20, ImportCell}}};
}

}  // namespace

OpDef DefineRNN() { return Define("RNN"); }
OpDef DefineGRU() { return Define("GRU"); }
OpDef DefineLSTM() { return Define("LSTM"); }

}  // namespace fusee::ops
