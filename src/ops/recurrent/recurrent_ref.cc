// Reference RNN, GRU and LSTM: every sequence of every direction on its own, step after step, state
// and sums in double; rounded where a result is stored only.
//
//   RNN   h' = f(W x + R h + b)
//   GRU   z, r = f(W x + R h + b);  n = g(W x + R (r h) + b), or g(W x + wb + r (R h + rb));
//         h' = (1 - z) n + z h
//   LSTM  i, q = f(W x + R h + P c + b) (q: forget);  c' = q c + i g(W x + R h + b);
//         o = f(W x + R h + P c' + b);  h' = o h(c')
//
// Rows of w, r and b by gate: z r n, and i o q c; of p: i o q. b holds W's biases, then R's. A
// sequence shorter than the tensor leaves zeros in the steps beyond its end.
#include <algorithm>
#include <limits>

#include "ops/nn/element.h"
#include "ops/recurrent/recurrent.h"

namespace fusee::ops {
namespace {

constexpr int64_t kLanes = 8;  // partial sums of a product, for the compiler to vectorise

// One sequence in one direction: where its operands lie, and its scratch in the workspace.
struct Sequence {
  const RecurrentParams* params;
  const RunArgs* args;
  int64_t direction, n;
  double *x, *h, *c, *gate, *temp;  // I, H, H, gates H, H elements
};

size_t ScratchDoubles(const CellAttrs& cell, int64_t input) {
  return static_cast<size_t>(input + (cell.gates + 3) * cell.hidden);
}

// Sum of w[at + i] v[i], in an order that depends on count alone.
template <typename T>
double Dot(const void* w, int64_t at, const double* v, int64_t count) {
  double lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lane[l] += LoadDouble<T>(w, at + i + l) * v[i + l];
  }
  for (; i < count; ++i) lane[i % kLanes] += LoadDouble<T>(w, at + i) * v[i];
  double sum = 0;
  for (double part : lane) sum += part;
  return sum;
}

// Bias of row j of this direction: of w, or of r.
template <typename T>
double Bias(const Sequence& s, int64_t j, bool recurrent) {
  if (!s.args->has_input(CellOperand::kB)) return 0;
  const int64_t rows = s.params->cell.gates * s.params->cell.hidden;
  return LoadDouble<T>(s.args->inputs[CellOperand::kB].data,
                       (2 * s.direction + (recurrent ? 1 : 0)) * rows + j);
}

template <typename T>
double Input(const Sequence& s, int64_t j, int64_t input) {
  const int64_t rows = s.params->cell.gates * s.params->cell.hidden;
  return Dot<T>(s.args->inputs[CellOperand::kW].data, (s.direction * rows + j) * input, s.x,
                input) +
         Bias<T>(s, j, false);
}

template <typename T>
double Recurrent(const Sequence& s, int64_t j, const double* state) {
  const int64_t hidden = s.params->cell.hidden;
  const int64_t row = s.direction * s.params->cell.gates * hidden + j;
  return Dot<T>(s.args->inputs[CellOperand::kR].data, row * hidden, state, hidden) +
         Bias<T>(s, j, true);
}

template <typename T>
double Peephole(const Sequence& s, int64_t gate, int64_t k, double c) {
  if (!s.args->has_input(CellOperand::kP)) return 0;
  const int64_t hidden = s.params->cell.hidden;
  return c *
         LoadDouble<T>(s.args->inputs[CellOperand::kP].data, (3 * s.direction + gate) * hidden + k);
}

template <typename T>
void StepRnn(const Sequence& s, int64_t input) {
  const CellAttrs& cell = s.params->cell;
  const auto& f = cell.activations[static_cast<size_t>(s.direction)];
  for (int64_t k = 0; k < cell.hidden; ++k)
    s.gate[k] = Activate(f[0], cell.clip, Input<T>(s, k, input) + Recurrent<T>(s, k, s.h));
  std::copy_n(s.gate, cell.hidden, s.h);
}

template <typename T>
void StepGru(const Sequence& s, int64_t input) {
  const CellAttrs& cell = s.params->cell;
  const auto& f = cell.activations[static_cast<size_t>(s.direction)];
  const int64_t hidden = cell.hidden;
  for (int64_t j = 0; j < 2 * hidden; ++j)
    s.gate[j] = Activate(f[0], cell.clip, Input<T>(s, j, input) + Recurrent<T>(s, j, s.h));
  const double* z = s.gate;
  const double* r = s.gate + hidden;
  double* next = s.gate + 2 * hidden;
  for (int64_t k = 0; k < hidden; ++k) s.temp[k] = r[k] * s.h[k];
  for (int64_t k = 0; k < hidden; ++k) {
    const int64_t j = 2 * hidden + k;
    const double before =
        cell.linear_before_reset ? r[k] * Recurrent<T>(s, j, s.h) : Recurrent<T>(s, j, s.temp);
    next[k] = Activate(f[1], cell.clip, Input<T>(s, j, input) + before);
  }
  for (int64_t k = 0; k < hidden; ++k) s.h[k] = (1 - z[k]) * next[k] + z[k] * s.h[k];
}

template <typename T>
void StepLstm(const Sequence& s, int64_t input) {
  const CellAttrs& cell = s.params->cell;
  const auto& f = cell.activations[static_cast<size_t>(s.direction)];
  const int64_t hidden = cell.hidden;
  for (int64_t j = 0; j < 4 * hidden; ++j)
    s.gate[j] = Input<T>(s, j, input) + Recurrent<T>(s, j, s.h);
  for (int64_t k = 0; k < hidden; ++k) {
    const double c = s.c[k];
    const double in = Activate(f[0], cell.clip, s.gate[k] + Peephole<T>(s, 0, k, c));
    const double forget =
        cell.input_forget
            ? 1 - in
            : Activate(f[0], cell.clip, s.gate[2 * hidden + k] + Peephole<T>(s, 2, k, c));
    s.c[k] = forget * c + in * Activate(f[1], cell.clip, s.gate[3 * hidden + k]);
    const double out = Activate(f[0], cell.clip, s.gate[hidden + k] + Peephole<T>(s, 1, k, s.c[k]));
    s.h[k] = out * Activate(f[2], std::numeric_limits<double>::infinity(), s.c[k]);
  }
}

// First element of this sequence's state in initial_h, initial_c and the last results.
int64_t StateOffset(const Sequence& s, int64_t batch) {
  const CellAttrs& cell = s.params->cell;
  const int64_t row =
      cell.batch_first ? s.n * cell.directions + s.direction : s.direction * batch + s.n;
  return row * cell.hidden;
}

template <typename T>
void LoadState(const Sequence& s, size_t operand, int64_t at, double* to) {
  for (int64_t k = 0; k < s.params->cell.hidden; ++k)
    to[k] = s.args->has_input(operand) ? LoadDouble<T>(s.args->inputs[operand].data, at + k) : 0;
}

// from: null for zeros.
template <typename T>
void StoreState(const Sequence& s, size_t result, int64_t at, const double* from) {
  if (result >= s.args->outputs.size() || !s.args->outputs[result].present()) return;
  for (int64_t k = 0; k < s.params->cell.hidden; ++k) {
    StoreElement(s.args->outputs[result].data, at + k, from == nullptr ? T{} : RoundTo<T>(from[k]));
  }
}

template <typename T>
void RunSequence(const Sequence& s) {
  const CellAttrs& cell = s.params->cell;
  const RecurrentShape shape = SizesOf(*s.params, s.args->inputs[0].shape);
  const int64_t length = s.args->has_input(CellOperand::kLengths)
                             ? IntAt(s.args->inputs[CellOperand::kLengths], s.n)
                             : shape.steps;
  const int64_t state = StateOffset(s, shape.batch);
  // Row t of x, and row t of the steps.
  const auto row = [&](int64_t t) {
    return cell.batch_first ? s.n * shape.steps + t : t * shape.batch + s.n;
  };
  const auto result = [&](int64_t t) {
    const int64_t r = cell.batch_first ? (s.n * shape.steps + t) * cell.directions + s.direction
                                       : (t * cell.directions + s.direction) * shape.batch + s.n;
    return r * cell.hidden;
  };
  LoadState<T>(s, CellOperand::kH, state, s.h);
  LoadState<T>(s, CellOperand::kC, state, s.c);
  for (int64_t step = 0; step < length; ++step) {
    const int64_t t = cell.Backwards(s.direction) ? length - 1 - step : step;
    for (int64_t i = 0; i < shape.input; ++i)
      s.x[i] = LoadDouble<T>(s.args->inputs[0].data, row(t) * shape.input + i);
    if (cell.kind == CellKind::kLstm) {
      StepLstm<T>(s, shape.input);
    } else if (cell.kind == CellKind::kGru) {
      StepGru<T>(s, shape.input);
    } else {
      StepRnn<T>(s, shape.input);
    }
    StoreState<T>(s, 0, result(t), s.h);
  }
  for (int64_t t = length; t < shape.steps; ++t) StoreState<T>(s, 0, result(t), nullptr);
  StoreState<T>(s, 1, state, s.h);
  StoreState<T>(s, 2, state, s.c);
}

class RecurrentRef final : public BoundKernel {
 public:
  RecurrentRef(RecurrentParams params, size_t workspace_bytes)
      : params_(params), workspace_bytes_(workspace_bytes) {}
  size_t workspace_bytes() const override { return workspace_bytes_; }
  Status CheckShapes(const RunArgs& args) const override { return CheckRecurrent(params_, args); }
  Status Run(const RunArgs& args) const override {
    FUSEE_TRY(CheckLengths(params_, args));
    const RecurrentShape shape = SizesOf(params_, args.inputs[0].shape);
    const CellAttrs& cell = params_.cell;
    return DispatchFloat(params_.dtype, [&]<typename T>() {
      args.parallel->Run(shape.batch * cell.directions, [&](int64_t task) {
        double* x = reinterpret_cast<double*>(args.workspace.data()) +
                    static_cast<size_t>(task) * ScratchDoubles(cell, shape.input);
        double* h = x + shape.input;
        RunSequence<T>({&params_, &args, task / shape.batch, task % shape.batch, x, h,
                        h + cell.hidden, h + 3 * cell.hidden, h + 2 * cell.hidden});
      });
      return OkStatus();
    });
  }

 private:
  RecurrentParams params_;
  size_t workspace_bytes_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(RecurrentParams params, ReadRecurrent(spec));
  size_t bytes = ScratchDoubles(params.cell, params.input_max) * sizeof(double);
  if (__builtin_mul_overflow(bytes, static_cast<size_t>(params.cell.directions), &bytes) ||
      __builtin_mul_overflow(bytes, static_cast<size_t>(params.batch_max), &bytes)) {
    return BadStep(spec, "needs more scratch memory than can be addressed");
  }
  return std::unique_ptr<BoundKernel>(new RecurrentRef(params, bytes));
}

}  // namespace

extern const KernelDef rnn_ref = {.id = "rnn_ref.1", .op = "RNN", .reference = true, .bind = Bind};
extern const KernelDef gru_ref = {.id = "gru_ref.1", .op = "GRU", .reference = true, .bind = Bind};
extern const KernelDef lstm_ref = {
    .id = "lstm_ref.1", .op = "LSTM", .reference = true, .bind = Bind};

}  // namespace fusee::ops
