// Random small networks of convolutions, through the whole pipeline for a target that asks for
// channels-last and for one that does not: the outputs must be those of the network as it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "ir/text.h"
#include "ops/op_def.h"
#include "passes/interpret.h"
#include "passes/pass_manager.h"
#include "tensor/compare.h"
#include "tensor/random.h"

namespace fusee::passes {
namespace {

using Ints = std::vector<int64_t>;

// Builds one network; everything it decides follows from the seed.
class Network {
 public:
  explicit Network(uint64_t seed) : seed_(seed), spatial_(Draw(4) == 0 ? 1 : 2) {
    graph_.symbols()["n"] = {1, 3};
    Input();
    const uint64_t layers = 3 + Draw(10);
    for (uint64_t i = 0; i < layers; ++i) Layer();
    Head();
  }

  ir::Graph& graph() { return graph_; }

 private:
  uint64_t Draw(uint64_t limit) { return RandomBits(seed_, 1, draws_++) % limit; }
  bool Chance(uint64_t one_in) { return Draw(one_in) == 0; }
  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    return from[Draw(from.size())];
  }

  ir::ValueId Add(std::string op, std::vector<ir::ValueId> inputs, Attrs attrs = {},
                  ir::SymShape dims = {}, size_t results = 1) {
    ir::Node node;
    node.sources = {op + "_" + std::to_string(draws_)};
    node.op = std::move(op);
    node.inputs = std::move(inputs);
    node.attrs = std::move(attrs);
    node.dims = std::move(dims);
    std::vector<std::string> names(results, node.sources[0]);
    auto added = ops::AddInferredNode(graph_, std::move(node), names);
    FUSEE_CHECK(added.ok(), added.status().ToString().c_str());
    return added->back();
  }
  ir::ValueId Constant(const Shape& shape) {
    TensorView out;
    Tensor tensor = Tensor::Allocate(DType::kF32, shape, &out).value();
    FillRandom(out, Fill::kUniform, seed_, 1000 + draws_++);
    return graph_.AddConstant("c", tensor);
  }
  ir::ValueId Positive(int64_t n) {
    TensorView out;
    Tensor tensor = Tensor::Allocate(DType::kF32, Shape{n}, &out).value();
    for (int64_t i = 0; i < n; ++i) StoreDouble(out, i, 0.5 + 0.125 * static_cast<double>(Draw(8)));
    return graph_.AddConstant("c", tensor);
  }

  const ir::SymShape& ShapeOf(ir::ValueId id) const { return graph_.value(id).info.shape; }
  int64_t Channels(ir::ValueId id) const { return ShapeOf(id)[1].constant(); }
  int64_t Size(ir::ValueId id) const { return ShapeOf(id).back().constant(); }
  Ints Every(int64_t value) const { return Ints(static_cast<size_t>(spatial_), value); }
  Ints Both(int64_t value) const { return Ints(static_cast<size_t>(2 * spatial_), value); }

  void Input() {
    ir::SymShape shape = {ir::Dim::Symbol("n")};
    const auto channels = static_cast<int64_t>(1 + Draw(4));
    const bool last = Chance(3);  // as TensorFlow's exporter writes them
    if (!last) shape.emplace_back(channels);
    for (int i = 0; i < spatial_; ++i) shape.emplace_back(8);
    if (last) shape.emplace_back(channels);
    ir::ValueId x = graph_.AddInput("x", {DType::kF32, shape, {}});
    if (last)
      x = Add("Transpose", {x}, {{"perm", spatial_ == 1 ? Ints{0, 2, 1} : Ints{0, 3, 1, 2}}});
    values_ = {x};
  }

  ir::ValueId Conv(ir::ValueId x, int64_t out, int64_t kernel, int64_t stride, int64_t group) {
    Shape w{out, Channels(x) / group};
    for (int i = 0; i < spatial_; ++i) w.push_back(kernel);
    std::vector<ir::ValueId> inputs = {x, Constant(w)};
    if (Chance(2)) inputs.push_back(Constant(Shape{out}));
    return Add("Conv", inputs,
               {{"kernel_shape", Every(kernel)},
                {"strides", Every(stride)},
                {"pads", Both(kernel / 2)},
                {"group", group}});
  }

  ir::ValueId Activation(ir::ValueId x) {
    const auto op = Pick<std::string>({"Relu", "Sigmoid", "HardSwish", "LeakyRelu", "Tanh", "Neg"});
    return Add(op, {x});
  }

  // An earlier value of the same shape; invalid when there is none.
  ir::ValueId Partner(ir::ValueId x) {
    std::vector<ir::ValueId> fitting;
    for (ir::ValueId v : values_) {
      if (v != x && ShapeOf(v) == ShapeOf(x)) fitting.push_back(v);
    }
    return fitting.empty() ? ir::ValueId() : Pick(fitting);
  }

  ir::ValueId SqueezeExcite(ir::ValueId x) {
    ir::ValueId s =
        Chance(2) ? Add("GlobalAveragePool", {x})
                  : Add("ReduceMean", {x},
                        {{"axes", spatial_ == 1 ? Ints{2} : Ints{2, 3}}, {"keepdims", int64_t{1}}});
    s = Add("Sigmoid", {Conv(s, Channels(x), 1, 1, 1)});
    return Add("Mul", {s, x});
  }

  ir::ValueId Shuffle(ir::ValueId x) {
    ir::SymShape wide = ShapeOf(x);
    wide[1] = Channels(x) / 2;
    wide.insert(wide.begin() + 1, ir::Dim(2));
    Ints perm = {0, 2, 1};
    for (int i = 0; i < spatial_; ++i) perm.push_back(3 + i);
    const ir::SymShape narrow = ShapeOf(x);
    x = Add("Transpose", {Add("Reshape", {x}, {}, wide)}, {{"perm", perm}});
    return Add("Reshape", {x}, {}, narrow);
  }

  ir::ValueId Pool(ir::ValueId x) {
    Attrs attrs{{"kernel_shape", Every(3)}, {"strides", Every(1)}, {"pads", Both(1)}};
    if (Chance(2)) return Add("MaxPool", {x}, attrs);
    if (Chance(2)) attrs.Set("count_include_pad", int64_t{1});
    return Add("AveragePool", {x}, attrs);
  }

  ir::ValueId PadOrSlice(ir::ValueId x) {
    if (Chance(2)) {
      ir::SymShape pads(2 * ShapeOf(x).size(), 0);
      pads[2] = 1;
      pads[pads.size() - 1] = 1;
      return Add("Pad", {x}, {{"mode", "constant"}}, pads);
    }
    return Add("Slice", {x}, {{"axes", Ints{1, 2}}, {"steps", Ints{1, 2}}},
               {0, 0, std::max<int64_t>(Channels(x) / 2, 1), Size(x)});
  }

  ir::ValueId Norm(ir::ValueId x) {
    const int64_t n = Channels(x);
    return Add("BatchNormalization",
               {x, Constant(Shape{n}), Constant(Shape{n}), Constant(Shape{n}), Positive(n)},
               {{"epsilon", 1e-3}});
  }

  void Layer() {
    ir::ValueId x = Chance(3) ? Pick(values_) : values_.back();
    const int64_t channels = Channels(x);
    switch (Draw(10)) {
      case 0:
      case 1:
      case 2: x = Conv(x, static_cast<int64_t>(2 + 2 * Draw(3)), Chance(2) ? 1 : 3, 1, 1); break;
      case 3: x = Conv(x, channels, 3, 1, channels); break;
      case 4: x = Conv(x, channels * 2, 1, 1, Chance(2) ? channels : 1); break;
      case 5: x = Pool(x); break;
      case 6: x = SqueezeExcite(x); break;
      case 7:
        if (channels % 2 == 0) x = Shuffle(x);
        break;
      case 8: x = Size(x) > 4 ? PadOrSlice(x) : Conv(x, 4, 3, 2, 1); break;
      default:
        x = Add("Concat", {x, values_.back() == x ? x : Conv(x, 2, 1, 1, 1)},
                {{"axis", int64_t{1}}});
    }
    if (Chance(3)) x = Norm(x);
    if (const ir::ValueId partner = Partner(x); partner.valid() && Chance(2))
      x = Add(Chance(4) ? "Mul" : "Add",
              Chance(2) ? std::vector{x, partner} : std::vector{partner, x});
    if (Chance(2)) x = Activation(x);
    values_.push_back(x);
  }

  void Head() {
    const ir::ValueId x = values_.back();
    const ir::Dim n = ir::Dim::Symbol("n");
    if (Chance(4)) graph_.MarkOutput(Activation(Pick(values_)), "early");
    ir::ValueId y;
    switch (Draw(4)) {
      case 0: {
        const ir::ValueId flat =
            Add("Reshape", {Add("GlobalAveragePool", {x})}, {}, {n, Channels(x)});
        y = Add("Gemm", {flat, Constant(Shape{Channels(x), 3})});
        break;
      }
      case 1: {
        ir::Dim size = 1;
        for (size_t i = 1; i < ShapeOf(x).size(); ++i) size = size * ShapeOf(x)[i];
        y = Add("MatMul",
                {Add("Reshape", {x}, {}, {n, size}), Constant(Shape{size.constant(), 3})});
        break;
      }
      case 2:
        y = Add("Softmax",
                {Add("ReduceMean", {x},
                     {{"axes", spatial_ == 1 ? Ints{2} : Ints{2, 3}}, {"keepdims", int64_t{0}}})},
                {{"axis", int64_t{1}}});
        break;
      default: y = Add("Exp", {Add("Tanh", {x})});
    }
    graph_.MarkOutput(y, "y");
  }

  uint64_t seed_;
  uint64_t draws_ = 0;
  int spatial_;
  ir::Graph graph_;
  std::vector<ir::ValueId> values_;  // of rank spatial_ + 2, channels first
};

std::vector<Tensor> Outputs(const ir::Graph& graph, int64_t n, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (ir::ValueId id : graph.inputs()) {
    TensorView view;
    const Shape shape = ir::Evaluate(graph.value(id).info.shape, {{"n", n}}).value();
    inputs.push_back(Tensor::Allocate(DType::kF32, shape, &view).value());
    FillRandom(view, Fill::kUniform, seed, id.index());
  }
  auto outputs = Interpret(graph, inputs);
  EXPECT_TRUE(outputs.ok()) << outputs.status().ToString();
  return outputs.ok() ? *outputs : std::vector<Tensor>();
}

// Outputs relative to their largest element: a network may cancel.
void ExpectClose(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    double largest = 0;
    for (int64_t e = 0; e < want[i].elements(); ++e)
      largest = std::max(largest, std::abs(DoubleAt(want[i].view(), e)));
    const Comparison result =
        Compare(got[i].view(), want[i].view(), Tolerance{1e-4, 1e-4 * largest + 1e-6});
    EXPECT_TRUE(result.passed) << "output " << i << ": " << result.reason;
  }
}

TEST(Layout, RandomNetworksGiveTheSameInBoth) {
  int64_t channels_last_convolutions = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Network network(seed);
    const int64_t n = static_cast<int64_t>(seed % 3) + 1;
    const std::vector<Tensor> want = Outputs(network.graph(), n, seed);
    for (bool channels_last : {false, true}) {
      SCOPED_TRACE(channels_last ? "channels-last" : "channels-first");
      const auto graph = ir::Clone(network.graph());
      PipelineOptions options;
      options.target.channels_last = channels_last;
      const Status status = RunPipeline(*graph, options, nullptr);
      ASSERT_TRUE(status.ok()) << status.ToString() << "\n" << ir::Print(network.graph());
      ExpectClose(Outputs(*graph, n, seed), want);
      for (ir::NodeId id : graph->order())
        channels_last_convolutions +=
            graph->node(id).op == "Conv" && graph->node(id).attrs.Has("layout");
      if (testing::Test::HasFailure()) FAIL() << ir::Print(network.graph());
    }
  }
  EXPECT_GT(channels_last_convolutions, 300);
}

}  // namespace
}  // namespace fusee::passes
