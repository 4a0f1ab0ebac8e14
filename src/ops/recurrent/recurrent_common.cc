#include "ops/recurrent/recurrent.h"

#include <fmt/format.h>

#include <cmath>

#include "ops/movement/kernel_support.h"
#include "tensor/math.h"

namespace fusee::ops {

Result<RecurrentParams> ReadRecurrent(const StepSpec& spec) {
  RecurrentParams params;
  // A name that outlives the step: kernels keep it for their messages.
  params.op = spec.op == "LSTM" ? "LSTM" : (spec.op == "GRU" ? "GRU" : "RNN");
  auto cell = ParseCell(spec.op, *spec.attrs);
  if (!cell.ok()) return BadStep(spec, cell.status().message());
  params.cell = *cell;
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 3,
                                  .max_inputs = CellOperandsMax(cell->kind),
                                  .min_outputs = 0,
                                  .max_outputs = CellResultsMax(cell->kind)}));
  params.dtype = spec.inputs[0].dtype;
  if (!IsFloat(params.dtype)) return BadStep(spec, "takes floating-point types");
  for (size_t i = 1; i < spec.inputs.size(); ++i) {
    const DType want = i == CellOperand::kLengths ? DType::kI32 : params.dtype;
    if (spec.has_input(i) && spec.inputs[i].dtype != want) {
      return BadStep(spec, fmt::format("operand {} is {}, expected {}", i,
                                       DTypeName(spec.inputs[i].dtype), DTypeName(want)));
    }
  }
  for (const TensorSpec& result : spec.outputs) {
    if (result.present()) FUSEE_TRY(CheckSameDType(spec, result, spec.inputs[0], "results and x"));
  }
  const Shape& x = spec.inputs[0].max_shape;
  if (x.rank() != 3) return BadStep(spec, "x should have rank 3");
  params.batch_max = x[params.cell.batch_first ? 0 : 1];
  params.input_max = x[2];
  return params;
}

RecurrentShape SizesOf(const RecurrentParams& params, const Shape& x) {
  const bool batch_first = params.cell.batch_first;
  return {.steps = x[batch_first ? 1 : 0], .batch = x[batch_first ? 0 : 1], .input = x[2]};
}

Status CheckRecurrent(const RecurrentParams& params, const RunArgs& args) {
  const CellAttrs& cell = params.cell;
  const Shape& x = args.inputs[0].shape;
  if (x.rank() != 3 || args.inputs[0].dtype != params.dtype)
    return InvalidArgument(fmt::format("{}: x should have rank 3", params.op));
  const RecurrentShape s = SizesOf(params, x);
  if (s.batch > params.batch_max || s.input > params.input_max)
    return InvalidArgument(fmt::format("{}: x is {}, above the profile", params.op, x.ToString()));
  const int64_t d = cell.directions, h = cell.hidden, rows = cell.gates * h;
  const Shape state = cell.batch_first ? Shape{s.batch, d, h} : Shape{d, s.batch, h};
  const auto operand = [&](size_t i, std::string_view name, const Shape& want) {
    if (!args.has_input(i)) return OkStatus();
    return ExpectShape(params.op, name, want, args.inputs[i].shape);
  };
  FUSEE_TRY(operand(CellOperand::kW, "w", {d, rows, s.input}));
  FUSEE_TRY(operand(CellOperand::kR, "r", {d, rows, h}));
  FUSEE_TRY(operand(CellOperand::kB, "b", {d, 2 * rows}));
  FUSEE_TRY(operand(CellOperand::kLengths, "sequence_lens", {s.batch}));
  FUSEE_TRY(operand(CellOperand::kH, "initial_h", state));
  FUSEE_TRY(operand(CellOperand::kC, "initial_c", state));
  FUSEE_TRY(operand(CellOperand::kP, "p", {d, 3 * h}));
  for (size_t i = 0; i < args.outputs.size(); ++i) {
    if (!args.outputs[i].present()) continue;
    const Shape all =
        cell.batch_first ? Shape{s.batch, s.steps, d, h} : Shape{s.steps, d, s.batch, h};
    FUSEE_TRY(ExpectShape(params.op, "result", i == 0 ? all : state, args.outputs[i].shape));
  }
  return OkStatus();
}

Status CheckLengths(const RecurrentParams& params, const RunArgs& args) {
  if (!args.has_input(CellOperand::kLengths)) return OkStatus();
  const RecurrentShape s = SizesOf(params, args.inputs[0].shape);
  for (int64_t n = 0; n < s.batch; ++n) {
    const int64_t length = IntAt(args.inputs[CellOperand::kLengths], n);
    if (length < 0 || length > s.steps) {
      return InvalidArgument(fmt::format("{}: sequence_lens[{}] is {}, expected 0 to {}", params.op,
                                         n, length, s.steps));
    }
  }
  return OkStatus();
}

namespace {

double Sigmoid(double x) {
  const double e = math::Exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1) / (1 + e);
}

double HardSigmoid(double y) { return y < 0 ? 0 : (y > 1 ? 1 : y); }

}  // namespace

double Activate(const CellActivation& a, double clip, double x) {
  x = x > clip ? clip : (x < -clip ? -clip : x);
  switch (a.function) {
    case CellFunction::kRelu: return x < 0 ? 0 : x;
    case CellFunction::kTanh: return math::Tanh(x);
    case CellFunction::kSigmoid: return Sigmoid(x);
    case CellFunction::kAffine: return a.alpha * x + a.beta;
    case CellFunction::kLeakyRelu: return x < 0 ? a.alpha * x : x;
    case CellFunction::kThresholdedRelu: return x <= a.alpha ? 0 : x;
    case CellFunction::kScaledTanh: return a.alpha * math::Tanh(a.beta * x);
    case CellFunction::kHardSigmoid: return HardSigmoid(a.alpha * x + a.beta);
    case CellFunction::kElu: return x < 0 ? a.alpha * math::Expm1(x) : x;
    case CellFunction::kSoftsign: return x / (1 + std::abs(x));
    case CellFunction::kSoftplus: break;
  }
  // Without overflow for large x.
  return (x > 0 ? x : 0) + math::Log1p(math::Exp(x > 0 ? -x : x));
}

}  // namespace fusee::ops
