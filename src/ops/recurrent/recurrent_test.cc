// RNN, GRU and LSTM: import and inference, then the kernels against a plain restatement of the
// equations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/movement/import_test_util.h"
#include "ops/nn/test_support.h"
#include "ops/recurrent/recurrent.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

onnx::Attribute Names(std::vector<std::string_view> names) {
  onnx::Attribute a;
  a.name = "activations";
  a.type = onnx::AttrType::kStrings;
  a.strings = std::move(names);
  return a;
}

onnx::Attribute Numbers(std::string_view name, std::vector<float> numbers) {
  onnx::Attribute a;
  a.name = name;
  a.type = onnx::AttrType::kFloats;
  a.floats = std::move(numbers);
  return a;
}

// --- definitions ---

struct CellGraph : H {
  ir::ValueId x = Input("x", DType::kF32, {Symbol("t", 1, 9), Symbol("n", 1, 4), 5});
  ir::ValueId w = Input("w", DType::kF32, {1, 12, 5});
  ir::ValueId r = Input("r", DType::kF32, {1, 12, 3});
  const fusee::Attrs& Last() const { return graph.node(graph.order().back()).attrs; }
};

TEST(RecurrentDef, InfersSymbolicShapesInBothLayouts) {
  H h;
  const ir::Dim t = h.Symbol("t", 1, 9), n = h.Symbol("n", 1, 4);
  const auto w = h.Input("w", DType::kF16, {2, 16, 5}), r = h.Input("r", DType::kF16, {2, 16, 4});
  const auto bidirectional = [] { return H::Attr("direction", "bidirectional"); };
  auto ids = h.TryImport("LSTM", 7, {h.Input("x", DType::kF16, {t, n, 5}), w, r},
                         H::Attrs(bidirectional(), H::Attr("hidden_size", 4)), 3);
  ASSERT_TRUE(ids.ok()) << ids.status().ToString();
  EXPECT_EQ(h.Shape((*ids)[0]), "[t,2,n,4]");
  EXPECT_EQ(h.Shape((*ids)[1]), "[2,n,4]");
  EXPECT_EQ(h.Shape((*ids)[2]), "[2,n,4]");
  ids = h.TryImport("LSTM", 14, {h.Input("xb", DType::kF16, {n, t, 5}), w, r},
                    H::Attrs(bidirectional(), H::Attr("layout", 1)), 2);
  ASSERT_TRUE(ids.ok()) << ids.status().ToString();
  EXPECT_EQ(h.Shape((*ids)[0]), "[n,t,2,4]");
  EXPECT_EQ(h.Shape((*ids)[1]), "[n,2,4]");
  EXPECT_EQ(h.graph.value((*ids)[1]).info.dtype, DType::kF16);
}

TEST(RecurrentDef, EveryOpsetRangeImports) {
  for (int opset : {7, 13, 14, 21, 22, 26}) {
    CellGraph h;
    EXPECT_TRUE(h.TryImport("LSTM", opset, {h.x, h.w, h.r}).ok()) << opset;
    EXPECT_TRUE(h.TryImport("RNN", opset,
                            {h.x, h.Input("w1", DType::kF32, {1, 3, 5}),
                             h.Input("r1", DType::kF32, {1, 3, 3})})
                    .ok())
        << opset;
  }
  EXPECT_EQ(FindImportRule("", "LSTM", 6), nullptr);
}

TEST(RecurrentDef, SpreadsAlphaOverTheActivationsThatTakeOne) {
  CellGraph h;
  const auto w = h.Input("w9", DType::kF32, {1, 9, 5}), r = h.Input("r9", DType::kF32, {1, 9, 3});
  h.Import("GRU", 14, {h.x, w, r},
           H::Attrs(Names({"hardsigmoid", "LeakyRelu"}), Numbers("activation_alpha", {0.5F})));
  EXPECT_EQ(*h.Last().Str("activations", ""), "HardSigmoid,LeakyRelu");
  EXPECT_EQ(*h.Last().Floats("alphas"), (std::vector<double>{0.5, static_cast<double>(0.01f)}));
  EXPECT_EQ(*h.Last().Floats("betas"), (std::vector<double>{0.5, 0}));
  // Two entries for one activation that takes one: which of them is meant?
  EXPECT_EQ(h.TryImport("GRU", 14, {h.x, w, r},
                        H::Attrs(Names({"Sigmoid", "Elu"}), Numbers("activation_alpha", {0, 1})))
                .status()
                .code(),
            StatusCode::kUnimplemented);
  EXPECT_FALSE(h.TryImport("GRU", 14, {h.x, w, r}, H::Attrs(Names({"Sigmoid", "Affine"}))).ok());
  EXPECT_FALSE(h.TryImport("GRU", 14, {h.x, w, r}, H::Attrs(Names({"Sigmoid", "Cosh"}))).ok());
  EXPECT_FALSE(h.TryImport("GRU", 14, {h.x, w, r}, H::Attrs(Names({"Sigmoid"}))).ok());
}

TEST(RecurrentDef, RefusesWhatDoesNotFit) {
  CellGraph h;
  const auto code = [&](std::string_view op, std::vector<ir::ValueId> inputs,
                        std::vector<onnx::Attribute> attributes = {}) {
    return h.TryImport(op, 14, std::move(inputs), std::move(attributes)).status().code();
  };
  EXPECT_EQ(code("GRU", {h.x, h.w, h.r}), StatusCode::kInvalidArgument) << "9 rows, not 12";
  EXPECT_EQ(code("LSTM", {h.x, h.w}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("LSTM", {h.x, h.w, h.r}, H::Attrs(H::Attr("direction", "sideways"))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code("LSTM", {h.x, h.w, h.r}, H::Attrs(H::Attr("layout", 2))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code("LSTM", {h.x, h.w, h.r}, H::Attrs(H::Attr("hidden_size", 4))),
            StatusCode::kInvalidArgument);
  const auto lengths = h.Input("long", DType::kI64, {h.Symbol("n", 1, 4)});
  EXPECT_EQ(code("LSTM", {h.x, h.w, h.r, ir::ValueId(), lengths}), StatusCode::kInvalidArgument);
}

// --- kernels ---

struct Case {
  std::string op = "LSTM";
  std::string direction = "forward";
  int64_t steps = 3, batch = 2, input = 4, hidden = 3;
  bool batch_first = false, bias = true, state = true, peepholes = false;
  std::vector<int32_t> lengths;  // empty: absent
  Attrs extra;
  DType dtype = DType::kF64;
};

KernelCall CallOf(const Case& c) {
  const CellAttrs cell = CellOf(c.op);
  const bool two = c.direction == "bidirectional";
  const int64_t d = two ? 2 : 1, h = c.hidden, rows = cell.gates * h;
  KernelCall call;
  call.op = cell.kind == CellKind::kLstm ? "LSTM" : (cell.kind == CellKind::kGru ? "GRU" : "RNN");
  std::string names = cell.kind == CellKind::kLstm  ? "Sigmoid,Tanh,Tanh"
                      : cell.kind == CellKind::kGru ? "Sigmoid,Tanh"
                                                    : "Tanh";
  if (two) names += "," + names;
  const auto functions = static_cast<size_t>(cell.functions * d);
  call.attrs = c.extra;
  call.attrs.Set("direction", c.direction);
  call.attrs.Set("hidden_size", h);
  call.attrs.Set("layout", int64_t{c.batch_first});
  if (!call.attrs.Has("activations")) call.attrs.Set("activations", names);
  if (!call.attrs.Has("alphas")) call.attrs.Set("alphas", std::vector<double>(functions));
  if (!call.attrs.Has("betas")) call.attrs.Set("betas", std::vector<double>(functions));
  const Shape x =
      c.batch_first ? Shape{c.batch, c.steps, c.input} : Shape{c.steps, c.batch, c.input};
  const Shape state = c.batch_first ? Shape{c.batch, d, h} : Shape{d, c.batch, h};
  const Shape all = c.batch_first ? Shape{c.batch, c.steps, d, h} : Shape{c.steps, d, c.batch, h};
  const auto make = [&](bool there, const Shape& shape, uint64_t stream) {
    return there ? RandomTensor(c.dtype, shape, stream) : Tensor();
  };
  call.inputs = {make(true, x, 0), make(true, {d, rows, c.input}, 1), make(true, {d, rows, h}, 2),
                 make(c.bias, {d, 2 * rows}, 3)};
  call.inputs.push_back(c.lengths.empty() ? Tensor()
                                          : Tensor::Of<int32_t>({c.batch}, std::span(c.lengths)));
  call.inputs.push_back(make(c.state, state, 4));
  call.outputs = {{c.dtype, all}, {c.dtype, state}};
  if (cell.kind == CellKind::kLstm) {
    call.inputs.push_back(make(c.state, state, 5));
    call.inputs.push_back(make(c.peepholes, {d, 3 * h}, 6));
    call.outputs.emplace_back(c.dtype, state);
  }
  return call;
}

double At(const Tensor& t, int64_t i, double absent = 0) {
  return t.present() ? DoubleAt(t.view(), i) : absent;
}

// The equations for one step of one direction, written once more and without any of the kernel's
// structure: sums over the gate's whole row, default activations or those of `a`.
struct Model {
  const KernelCall& call;
  CellAttrs a;
  int64_t d, input;
  double Row(int64_t gate, int64_t k, const std::vector<double>& x, const std::vector<double>& h,
             bool with_x, bool with_h) const {
    const int64_t rows = a.gates * a.hidden, j = gate * a.hidden + k;
    double sum = 0;
    for (int64_t i = 0; with_x && i < input; ++i)
      sum += At(call.inputs[1], (d * rows + j) * input + i) * x[static_cast<size_t>(i)];
    for (int64_t i = 0; with_h && i < a.hidden; ++i)
      sum += At(call.inputs[2], (d * rows + j) * a.hidden + i) * h[static_cast<size_t>(i)];
    if (with_x) sum += At(call.inputs[3], d * 2 * rows + j);
    if (with_h) sum += At(call.inputs[3], d * 2 * rows + rows + j);
    return sum;
  }
  double P(int64_t gate, int64_t k, double c) const {
    return call.inputs.size() < 8 ? 0 : c * At(call.inputs[7], (3 * d + gate) * a.hidden + k);
  }
  double F(size_t i, double v) const {
    return Activate(a.activations[static_cast<size_t>(d)][i], a.clip, v);
  }
  void Step(const std::vector<double>& x, std::vector<double>* h, std::vector<double>* c) const {
    const std::vector<double> before = *h;
    std::vector<double> reset = before;
    for (int64_t k = 0; k < a.hidden && a.kind == CellKind::kGru; ++k)
      reset[static_cast<size_t>(k)] *= F(0, Row(1, k, x, before, true, true));
    for (int64_t k = 0; k < a.hidden; ++k) {
      const auto at = static_cast<size_t>(k);
      if (a.kind == CellKind::kRnn) (*h)[at] = F(0, Row(0, k, x, before, true, true));
      if (a.kind == CellKind::kGru) {
        const double z = F(0, Row(0, k, x, before, true, true));
        const double r = F(0, Row(1, k, x, before, true, true));
        const double n = F(1, Row(2, k, x, before, true, false) +
                                  (a.linear_before_reset ? r * Row(2, k, x, before, false, true)
                                                         : Row(2, k, x, reset, false, true)));
        (*h)[at] = (1 - z) * n + z * before[at];
      }
      if (a.kind == CellKind::kLstm) {
        const double old = (*c)[at];
        const double in = F(0, Row(0, k, x, before, true, true) + P(0, k, old));
        const double forget =
            a.input_forget ? 1 - in : F(0, Row(2, k, x, before, true, true) + P(2, k, old));
        (*c)[at] = forget * old + in * F(1, Row(3, k, x, before, true, true));
        const double out = F(0, Row(1, k, x, before, true, true) + P(1, k, (*c)[at]));
        (*h)[at] = out * Activate(a.activations[static_cast<size_t>(d)][2], INFINITY, (*c)[at]);
      }
    }
  }
};

// Runs the kernel and compares every result with Model's.
void ExpectMatchesModel(const Case& c, double tolerance = 1e-12) {
  const KernelCall call = CallOf(c);
  const auto got = RunKernel(KernelsFor(call.op).back()->id, call);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  const CellAttrs a = *ParseCell(call.op, call.attrs);
  const auto hidden = static_cast<size_t>(c.hidden);
  const auto near = [&](size_t result, int64_t at, const std::vector<double>& want) {
    for (size_t k = 0; k < hidden; ++k) {
      EXPECT_NEAR(At((*got)[result], at * c.hidden + static_cast<int64_t>(k)), want[k], tolerance)
          << call.op << " " << c.direction << " result " << result << " row " << at << " seed "
          << kTestSeed;
    }
  };
  for (int64_t d = 0; d < a.directions; ++d) {
    for (int64_t n = 0; n < c.batch; ++n) {
      const Model model{call, a, d, c.input};
      const int64_t state = c.batch_first ? n * a.directions + d : d * c.batch + n;
      std::vector<double> h(hidden), cell(hidden), x(static_cast<size_t>(c.input));
      for (size_t k = 0; k < hidden; ++k) {
        const int64_t at = state * c.hidden + static_cast<int64_t>(k);
        h[k] = At(call.inputs[5], at);
        if (a.kind == CellKind::kLstm) cell[k] = At(call.inputs[6], at);
      }
      const auto row = [&](int64_t t) {
        return c.batch_first ? (n * c.steps + t) * a.directions + d
                             : (t * a.directions + d) * c.batch + n;
      };
      const int64_t length = c.lengths.empty() ? c.steps : c.lengths[static_cast<size_t>(n)];
      for (int64_t s = 0; s < length; ++s) {
        const int64_t t = a.Backwards(d) ? length - 1 - s : s;
        for (size_t i = 0; i < x.size(); ++i) {
          const int64_t from = c.batch_first ? n * c.steps + t : t * c.batch + n;
          x[i] = At(call.inputs[0], from * c.input + static_cast<int64_t>(i));
        }
        model.Step(x, &h, &cell);
        near(0, row(t), h);
      }
      for (int64_t t = length; t < c.steps; ++t) near(0, row(t), std::vector<double>(hidden));
      near(1, state, h);
      if (a.kind == CellKind::kLstm) near(2, state, cell);
    }
  }
}

TEST(Recurrent, MatchesTheEquations) {
  for (const char* op : {"RNN", "GRU", "LSTM"}) {
    for (const char* direction : {"forward", "reverse", "bidirectional"}) {
      for (bool batch_first : {false, true}) {
        Case c{.op = op, .direction = direction, .batch_first = batch_first};
        ExpectMatchesModel(c);
        c.lengths = {1, 3};
        ExpectMatchesModel(c);
        c.lengths = {0, 2};
        c.bias = c.state = false;
        ExpectMatchesModel(c);
      }
    }
  }
}

TEST(Recurrent, TakesSizesOfZeroOneAndOdd) {
  for (const char* op : {"RNN", "GRU", "LSTM"}) {
    ExpectMatchesModel({.op = op, .steps = 0});
    ExpectMatchesModel({.op = op, .batch = 0});
    ExpectMatchesModel({.op = op, .input = 0});
    ExpectMatchesModel({.op = op, .steps = 1, .batch = 1, .input = 1, .hidden = 1});
    ExpectMatchesModel({.op = op, .steps = 5, .batch = 3, .input = 17, .hidden = 9});
  }
}

TEST(Recurrent, HonoursTheOptionsOfEachCell) {
  ExpectMatchesModel({.peepholes = true});
  ExpectMatchesModel({.direction = "bidirectional", .peepholes = true});
  ExpectMatchesModel({.peepholes = true, .extra = {{"input_forget", int64_t{1}}}});
  ExpectMatchesModel({.peepholes = true, .extra = {{"clip", 0.25}}});
  for (int64_t linear : {0, 1}) {
    ExpectMatchesModel(
        {.op = "GRU", .direction = "bidirectional", .extra = {{"linear_before_reset", linear}}});
  }
  ExpectMatchesModel({.op = "GRU",
                      .extra = {{"activations", std::string("HardSigmoid,Elu")},
                                {"alphas", std::vector<double>{0.3, 2}},
                                {"betas", std::vector<double>{0.1, 0}}}});
}

TEST(Recurrent, RoundsOnlyWhatItStores) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const char* op : {"RNN", "GRU", "LSTM"})
      ExpectMatchesModel({.op = op, .peepholes = true, .dtype = dtype},
                         dtype == DType::kF32 ? 1e-6 : (dtype == DType::kF16 ? 1e-3 : 8e-3));
  }
}

// A closed form, which shares nothing with the kernel: one LSTM cell with all weights 0 but biases.
TEST(Recurrent, LstmOfConstantsIsAClosedForm) {
  KernelCall call = CallOf({.steps = 1, .batch = 1, .input = 1, .hidden = 1, .state = false});
  call.inputs[1] = Tensor::Of<double>({1, 4, 1}, {0, 0, 0, 0});
  call.inputs[2] = call.inputs[1];
  call.inputs[3] = Tensor::Of<double>({1, 8}, {1, 2, 3, 0.5, 0, 0, 0, 0});
  const auto got = RunReference(call);
  const double c = 1 / (1 + std::exp(-1.0)) * std::tanh(0.5);
  EXPECT_NEAR(At(got[2], 0), c, 1e-12);
  EXPECT_NEAR(At(got[0], 0), 1 / (1 + std::exp(-2.0)) * std::tanh(c), 1e-12);
}

TEST(Recurrent, EveryActivation) {
  const auto of = [](CellFunction f, double x, double alpha = 0, double beta = 0,
                     double clip = 100) {
    return Activate({f, alpha, beta}, clip, x);
  };
  EXPECT_EQ(of(CellFunction::kRelu, -2), 0);
  EXPECT_EQ(of(CellFunction::kRelu, 200), 100) << "clipped";
  EXPECT_EQ(of(CellFunction::kAffine, 3, 2, 1), 7);
  EXPECT_EQ(of(CellFunction::kLeakyRelu, -2, 0.5), -1);
  EXPECT_EQ(of(CellFunction::kThresholdedRelu, 2, 2), 0);
  EXPECT_EQ(of(CellFunction::kThresholdedRelu, 3, 2), 3);
  EXPECT_NEAR(of(CellFunction::kScaledTanh, 0.5, 2, 3), 2 * std::tanh(1.5), 1e-14);
  EXPECT_EQ(of(CellFunction::kHardSigmoid, 9, 0.2, 0.5), 1);
  EXPECT_EQ(of(CellFunction::kHardSigmoid, -9, 0.2, 0.5), 0);
  EXPECT_NEAR(of(CellFunction::kElu, -1, 2), 2 * std::expm1(-1.0), 1e-14);
  EXPECT_EQ(of(CellFunction::kSoftsign, -1), -0.5);
  EXPECT_NEAR(of(CellFunction::kSoftplus, 1), std::log1p(std::exp(1.0)), 1e-14);
  EXPECT_EQ(of(CellFunction::kSoftplus, 1000, 0, 0, 1e9), 1000);
  EXPECT_EQ(of(CellFunction::kTanh, 1000, 0, 0, 1e9), 1);
  EXPECT_EQ(of(CellFunction::kSigmoid, -1000, 0, 0, 1e9), 0);
  EXPECT_TRUE(std::isnan(of(CellFunction::kTanh, std::nan(""))));
}

TEST(Recurrent, WritesOnlyTheResultsThatAreWanted) {
  KernelCall call = CallOf({});
  const auto all = RunReference(call);
  call.outputs[0].first = DType::kInvalid;
  call.outputs[1].first = DType::kInvalid;
  EXPECT_TRUE(SameBits(RunReference(call)[2], all[2]));
  call.outputs.resize(2);
  call.outputs[1].first = DType::kF64;
  EXPECT_TRUE(SameBits(RunReference(call)[1], all[1]));
}

TEST(Recurrent, DependsOnNeitherThreadsNorBatch) {
  for (const char* op : {"RNN", "GRU", "LSTM"}) {
    ExpectThreadInvariant(
        CallOf({.op = op, .direction = "bidirectional", .batch = 5, .dtype = DType::kF32}));
    const KernelCall call =
        CallOf({.op = op, .batch = 3, .batch_first = true, .state = false, .dtype = DType::kF32});
    ExpectBatchInvariant(call, 1);
  }
}

TEST(Recurrent, LengthsOutOfRangeAreAnError) {
  for (int32_t length : {-1, 4, INT32_MIN, INT32_MAX}) {
    const KernelCall call = CallOf({.lengths = {1, length}});
    EXPECT_EQ(RunKernel("lstm_ref.1", call).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(Recurrent, HostileStepsAreRefused) {
  const auto refused = [](const KernelCall& call) {
    return !TakesStep(*KernelsFor(call.op).back(), call).ok();
  };
  for (size_t i = 0; i < 8; ++i) {
    KernelCall call = CallOf({.peepholes = true, .lengths = {1, 2}});
    ASSERT_FALSE(refused(call));
    const Tensor right = call.inputs[i];
    call.inputs[i] = Tensor::Of<uint8_t>(Shape{}, {0});
    EXPECT_TRUE(refused(call)) << "type of operand " << i;
    Shape shape = right.shape();
    shape[shape.rank() - 1] += 1;
    call.inputs[i] = RandomTensor(right.dtype(), shape, 0);
    EXPECT_TRUE(refused(call)) << "shape of operand " << i;
  }
  for (size_t i = 0; i < 3; ++i) {
    KernelCall call = CallOf({});
    call.outputs[i].second[0] += 1;
    EXPECT_TRUE(refused(call)) << "result " << i;
  }
  for (auto& [name, value] : std::vector<std::pair<std::string, AttrValue>>{
           {"hidden_size", int64_t{0}},
           {"hidden_size", INT64_MAX},
           {"direction", std::string("up")},
           {"activations", std::string("Sigmoid,Tanh")},
           {"activations", std::string("Sigmoid,Tanh,Tanh,Tanh")},
           {"alphas", std::vector<double>{1}},
           {"clip", -1.0},
           {"layout", int64_t{7}}}) {
    KernelCall call = CallOf({});
    call.attrs.Set(name, value);
    EXPECT_TRUE(refused(call)) << name;
  }
}

}  // namespace
}  // namespace fusee::ops
