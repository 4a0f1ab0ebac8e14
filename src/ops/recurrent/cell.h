// The static side of RNN, GRU and LSTM: their attributes in the IR, which inference and kernels
// read alike.
//
//   hidden_size          H, required
//   direction            forward (default), reverse, bidirectional
//   layout               0: the sequence axis is first; 1: the batch axis is
//   activations          one name per gate function and direction, joined by commas: f of RNN, f,g
//                        of GRU, f,g,h of LSTM; the second direction's follow the first's
//   alphas, betas        one number per activation, whether it takes one or not
//   clip                 default none: bound on every gate's sum, either way. LSTM's cell state,
//   the
//                        operand of h, is not bounded: kernels in the field do not either
//   input_forget         LSTM: the forget gate is 1 - the input gate
//   linear_before_reset  GRU: the reset gate is applied after the recurrent product
//
// Header only, because definitions (compiler) and kernels (runtime) are two libraries that both
// need it.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/attrs.h"

namespace fusee::ops {

// Bounds hidden_size, so that gate counts stay far from overflow.
inline constexpr int64_t kMaxHiddenSize = int64_t{1} << 24;
inline constexpr int kMaxCellFunctions = 3;  // per direction

enum class CellKind : uint8_t { kRnn, kGru, kLstm };

enum class CellFunction : uint8_t {
  kRelu,
  kTanh,
  kSigmoid,
  kAffine,           // alpha x + beta
  kLeakyRelu,        // x, or alpha x below 0
  kThresholdedRelu,  // x, or 0 up to alpha
  kScaledTanh,       // alpha tanh(beta x)
  kHardSigmoid,      // alpha x + beta within [0, 1]
  kElu,              // x, or alpha (e^x - 1) below 0
  kSoftsign,         // x / (1 + |x|)
  kSoftplus,         // log(1 + e^x)
};

// What a function takes, and ONNX's value where it names none; no value where it must be given.
struct CellFunctionInfo {
  std::string_view name;
  CellFunction function;
  bool takes_alpha = false, takes_beta = false;
  std::optional<double> alpha, beta;
};

inline constexpr std::array<CellFunctionInfo, 11> kCellFunctions = {{
    {"Relu", CellFunction::kRelu, false, false, {}, {}},
    {"Tanh", CellFunction::kTanh, false, false, {}, {}},
    {"Sigmoid", CellFunction::kSigmoid, false, false, {}, {}},
    {"Affine", CellFunction::kAffine, true, true, {}, {}},
    {"LeakyRelu", CellFunction::kLeakyRelu, true, false, static_cast<double>(0.01f), {}},
    {"ThresholdedRelu", CellFunction::kThresholdedRelu, true, false, 1.0, {}},
    {"ScaledTanh", CellFunction::kScaledTanh, true, true, {}, {}},
    {"HardSigmoid", CellFunction::kHardSigmoid, true, true, static_cast<double>(0.2f), 0.5},
    {"Elu", CellFunction::kElu, true, false, 1.0, {}},
    {"Softsign", CellFunction::kSoftsign, false, false, {}, {}},
    {"Softplus", CellFunction::kSoftplus, false, false, {}, {}},
}};

// Null when unknown. Upper and lower case are one.
inline const CellFunctionInfo* FindCellFunction(std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (const CellFunctionInfo& info : kCellFunctions) {
    bool same = info.name.size() == name.size();
    for (size_t i = 0; same && i < name.size(); ++i) same = lower(info.name[i]) == lower(name[i]);
    if (same) return &info;
  }
  return nullptr;
}

struct CellActivation {
  CellFunction function = CellFunction::kTanh;
  double alpha = 0, beta = 0;
};

struct CellAttrs {
  CellKind kind = CellKind::kRnn;
  int gates = 1;         // 1, 3, 4: blocks of H rows in w and r
  int functions = 1;     // 1, 2, 3: activations per direction
  int directions = 1;    // 1 or 2
  bool reverse = false;  // direction 0 runs backwards; direction 1 always does
  bool batch_first = false;
  int64_t hidden = 0;
  double clip = std::numeric_limits<double>::infinity();
  bool input_forget = false;
  bool linear_before_reset = false;
  std::array<std::array<CellActivation, kMaxCellFunctions>, 2> activations;

  bool Backwards(int64_t direction) const { return reverse || direction == 1; }
};

// Operands in ONNX's order; LSTM alone has the last two.
struct CellOperand {
  static constexpr size_t kX = 0, kW = 1, kR = 2, kB = 3, kLengths = 4, kH = 5, kC = 6, kP = 7;
};
inline size_t CellOperandsMax(CellKind kind) { return kind == CellKind::kLstm ? 8 : 6; }
inline size_t CellResultsMax(CellKind kind) { return kind == CellKind::kLstm ? 3 : 2; }

namespace cell_internal {
inline Status ReadActivations(const Attrs& attrs, CellAttrs* cell) {
  FUSEE_TRY(const std::string names, attrs.Str("activations", ""));
  FUSEE_TRY(const std::vector<double> alphas, attrs.Floats("alphas"));
  FUSEE_TRY(const std::vector<double> betas, attrs.Floats("betas"));
  const auto count = static_cast<size_t>(cell->functions * cell->directions);
  if (alphas.size() != count || betas.size() != count) {
    return InvalidArgument(
        fmt::format("alphas and betas should have {} entries, one per activation", count));
  }
  std::string_view rest = names;
  for (size_t i = 0; i < count; ++i) {
    const size_t comma = rest.find(',');
    if ((comma == std::string_view::npos) != (i + 1 == count)) {
      return InvalidArgument(fmt::format("activations is '{}', expected {} names", names, count));
    }
    const std::string_view name = rest.substr(0, comma);
    const CellFunctionInfo* info = FindCellFunction(name);
    if (info == nullptr) return InvalidArgument(fmt::format("activation '{}' is unknown", name));
    const auto functions = static_cast<size_t>(cell->functions);
    cell->activations[i / functions][i % functions] = {info->function, alphas[i], betas[i]};
    if (comma != std::string_view::npos) rest.remove_prefix(comma + 1);
  }
  return OkStatus();
}
}  // namespace cell_internal

inline CellAttrs CellOf(std::string_view op) {
  CellAttrs cell;
  if (op == "GRU") {
    cell.kind = CellKind::kGru;
    cell.gates = 3;
    cell.functions = 2;
  } else if (op == "LSTM") {
    cell.kind = CellKind::kLstm;
    cell.gates = 4;
    cell.functions = 3;
  }
  return cell;
}

// Sets directions and reverse. Errors: kInvalidArgument.
inline Status ReadDirection(const std::string& direction, CellAttrs* cell) {
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
    return InvalidArgument(fmt::format(
        "direction '{}' is unknown, expected forward, reverse or bidirectional", direction));
  }
  cell->directions = direction == "bidirectional" ? 2 : 1;
  cell->reverse = direction == "reverse";
  return OkStatus();
}

// op: RNN, GRU or LSTM. Errors: kInvalidArgument.
inline Result<CellAttrs> ParseCell(std::string_view op, const Attrs& attrs) {
  CellAttrs cell = CellOf(op);
  FUSEE_TRY(const std::string direction, attrs.Str("direction", "forward"));
  FUSEE_TRY(ReadDirection(direction, &cell));
  FUSEE_TRY(cell.hidden, attrs.Int("hidden_size", 0));
  if (cell.hidden < 1 || cell.hidden > kMaxHiddenSize) {
    return InvalidArgument(
        fmt::format("hidden_size is {}, expected 1 to {}", cell.hidden, kMaxHiddenSize));
  }
  FUSEE_TRY(const int64_t layout, attrs.Int("layout", 0));
  if (layout < 0 || layout > 1)
    return InvalidArgument(fmt::format("layout is {}, expected 0 or 1", layout));
  cell.batch_first = layout == 1;
  FUSEE_TRY(cell.clip, attrs.Float("clip", cell.clip));
  if (!(cell.clip >= 0)) return InvalidArgument("clip is negative or no number");
  FUSEE_TRY(const int64_t input_forget, attrs.Int("input_forget", 0));
  cell.input_forget = input_forget != 0;
  FUSEE_TRY(const int64_t linear, attrs.Int("linear_before_reset", 0));
  cell.linear_before_reset = linear != 0;
  FUSEE_TRY(cell_internal::ReadActivations(attrs, &cell));
  return cell;
}

}  // namespace fusee::ops
