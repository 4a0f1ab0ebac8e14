// Scan written out, with a body that adds an element to the state and gives the sum twice: as the
// next state and as a scan result.
#include <gtest/gtest.h>

#include "ops/movement/evaluate_test_util.h"
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;
using Numbers = std::vector<float>;

class SumBody final : public ImportScope {
 public:
  explicit SumBody(ir::Graph& graph) : graph_(graph) {}
  Result<std::vector<ir::ValueId>> Inline(const onnx::Graph&,
                                          std::span<const ir::ValueId> inputs) override {
    ++runs;
    ir::Node add;
    add.op = "Add";
    add.inputs = {inputs[0], inputs[1]};
    const std::string name = graph_.FreshName("sum");
    FUSEE_TRY(const std::vector<ir::ValueId> sum,
              AddInferredNode(graph_, std::move(add), std::vector<std::string>{name}));
    return std::vector<ir::ValueId>{sum[0], sum[0]};
  }
  std::optional<Tensor> Evaluate(ir::ValueId) override { return std::nullopt; }
  std::optional<int64_t> BoundOf(const std::string&) override { return std::nullopt; }
  int runs = 0;

 private:
  ir::Graph& graph_;
};

// One Scan node and its operands.
class ScanCase {
 public:
  explicit ScanCase(int opset) : opset_(opset), body_(h_.graph) {
    onnx::Attribute& body = node_.attributes.emplace_back();
    body.name = "body";
    body.type = onnx::AttrType::kGraph;
    body.graphs.push_back(std::make_unique<onnx::Graph>());
    body.graphs[0]->inputs.resize(2);
    body.graphs[0]->outputs.resize(2);
    node_.op_type = "Scan";
    node_.outputs = {"last", "all"};
    Attr(H::Attr("num_scan_inputs", 1));
  }
  ScanCase& Attr(onnx::Attribute attribute) {
    node_.attributes.push_back(std::move(attribute));
    return *this;
  }
  // A graph input that counts up from 1.
  ScanCase& Input(ir::SymShape shape) {
    inputs_.push_back(h_.Input(h_.graph.FreshName("x"), DType::kF32, shape));
    if (!ir::IsStatic(shape)) return *this;
    Numbers values(static_cast<size_t>(ir::ToShape(shape).elements()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1);
    known_[inputs_.back()] = Tensor::Of<float>(ir::ToShape(shape), values);
    return *this;
  }
  ScanCase& Symbol(const char* name) {
    h_.Symbol(name, 1, 8);
    return *this;
  }
  ScanCase& Lengths(std::vector<int64_t> lengths) {
    inputs_.push_back(h_.Ints(std::move(lengths)));
    return *this;
  }
  ScanCase& UnknownLengths(int64_t items) {
    inputs_.push_back(h_.Input("lengths", DType::kI64, {items}));
    return *this;
  }
  ScanCase& Absent() {
    inputs_.emplace_back();
    return *this;
  }
  ScanCase& Outputs(std::vector<std::string_view> outputs) {
    node_.outputs = std::move(outputs);
    return *this;
  }

  Status Run() {
    const ImportRule* rule = FindImportRule("", "Scan", opset_);
    if (rule == nullptr) return NotFound("no rule");
    ImportContext context(h_.graph, node_, opset_, inputs_, &body_);
    FUSEE_TRY(rule->import(context));
    if (!context.UnreadAttrs().empty()) return Internal("an attribute was not read");
    outputs_.assign(context.outputs().begin(), context.outputs().end());
    return OkStatus();
  }
  StatusCode Code() { return Run().code(); }

  std::string Shape(size_t i) const { return h_.Shape(outputs_[i]); }
  Numbers Values(size_t i) const {
    const auto got = EvaluateGraph(h_.graph, known_, {outputs_[i]});
    EXPECT_TRUE(got.ok()) << got.status().ToString();
    if (!got.ok()) return {};
    return {(*got)[0].as<float>(), (*got)[0].as<float>() + (*got)[0].elements()};
  }
  int runs() const { return body_.runs; }

 private:
  H h_;
  int opset_;
  SumBody body_;
  onnx::Node node_;
  std::vector<ir::ValueId> inputs_, outputs_;
  std::map<ir::ValueId, Tensor> known_;
};

TEST(Scan, StacksWhatTheBodyGivesEachElement) {
  for (const int opset : {9, 11, 26}) {
    ScanCase c(opset);
    ASSERT_TRUE(c.Input({2}).Input({3, 2}).Run().ok());
    EXPECT_EQ(c.Values(0), (Numbers{10, 14}));
    EXPECT_EQ(c.Values(1), (Numbers{2, 4, 5, 8, 10, 14}));
  }
}

TEST(Scan, GoesAlongAnyAxisInAnyDirection) {
  ScanCase c(11);
  c.Attr(H::Attr("scan_input_axes", std::vector<int64_t>{-1}))
      .Attr(H::Attr("scan_input_directions", std::vector<int64_t>{1}))
      .Attr(H::Attr("scan_output_axes", std::vector<int64_t>{1}))
      .Attr(H::Attr("scan_output_directions", std::vector<int64_t>{1}));
  ASSERT_TRUE(c.Input({2}).Input({2, 3}).Run().ok());
  EXPECT_EQ(c.Values(0), (Numbers{7, 17}));
  EXPECT_EQ(c.Values(1), (Numbers{7, 6, 4, 17, 13, 8}));
}

TEST(Scan, RefusesSequencesOfUnknownNoOrDifferentLength) {
  EXPECT_EQ(ScanCase(9).Input({2}).Input({1, 2}).Code(), StatusCode::kOk);
  EXPECT_EQ(ScanCase(9).Symbol("n").Input({2}).Input({ir::Dim::Symbol("n"), 2}).Code(),
            StatusCode::kUnimplemented);
  EXPECT_EQ(ScanCase(9).Input({2}).Input({0, 2}).Code(), StatusCode::kUnimplemented);
  EXPECT_EQ(ScanCase(9).Input({2}).Input({1025, 2}).Code(), StatusCode::kUnimplemented);
  EXPECT_EQ(ScanCase(9).Input({2}).Input({}).Code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ScanCase(9).Input({2}).Absent().Code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ScanCase(9).Code(), StatusCode::kInvalidArgument);
}

TEST(ScanOfOpset8, ScansEachItemOfTheBatch) {
  ScanCase c(8);
  ASSERT_TRUE(c.Absent().Input({2, 1}).Input({2, 3, 1}).Run().ok());
  EXPECT_EQ(c.Shape(0), "[2,1]");
  EXPECT_EQ(c.Shape(1), "[2,3,1]");
  EXPECT_EQ(c.Values(0), (Numbers{7, 17}));
  EXPECT_EQ(c.Values(1), (Numbers{2, 4, 7, 6, 11, 17}));
  EXPECT_EQ(c.runs(), 6);
  ScanCase last(8);
  ASSERT_TRUE(last.Absent().Input({1, 2}).Input({1, 1, 2}).Outputs({"last"}).Run().ok());
  EXPECT_EQ(last.Values(0), (Numbers{2, 4}));
}

TEST(ScanOfOpset8, MayGoBackwards) {
  ScanCase c(8);
  c.Attr(H::Attr("directions", std::vector<int64_t>{1}));
  ASSERT_TRUE(c.Absent().Input({2, 1}).Input({2, 3, 1}).Run().ok());
  EXPECT_EQ(c.Values(0), (Numbers{7, 17}));
  EXPECT_EQ(c.Values(1), (Numbers{4, 6, 7, 8, 13, 17}));
}

TEST(ScanOfOpset8, EndsWhereAnItemsSequenceDoes) {
  ScanCase c(8);
  ASSERT_TRUE(c.Lengths({3, 1}).Input({2, 1}).Input({2, 3, 1}).Run().ok());
  EXPECT_EQ(c.Shape(1), "[2,3,1]");
  EXPECT_EQ(c.Values(0), (Numbers{7, 6}));
  EXPECT_EQ(c.Values(1), (Numbers{2, 4, 7, 6, 0, 0}));
  EXPECT_EQ(c.runs(), 4);
}

TEST(ScanOfOpset8, RefusesWhatDoesNotFit) {
  const auto code = [](std::vector<int64_t> lengths, ir::SymShape state, ir::SymShape sequence) {
    return ScanCase(8)
        .Symbol("n")
        .Lengths(std::move(lengths))
        .Input(std::move(state))
        .Input(std::move(sequence))
        .Code();
  };
  EXPECT_EQ(code({3, 2}, {2, 1}, {2, 3, 1}), StatusCode::kOk);
  EXPECT_EQ(code({3, 4}, {2, 1}, {2, 3, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({3, -1}, {2, 1}, {2, 3, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({3}, {2, 1}, {2, 3, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({3, 0}, {2, 1}, {2, 3, 1}), StatusCode::kUnimplemented);
  EXPECT_EQ(code({3, 3}, {3, 1}, {2, 3, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({3, 3}, {}, {2, 3, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({3, 3}, {2, 1}, {2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({}, {0, 1}, {0, 3, 1}), StatusCode::kUnimplemented);
  EXPECT_EQ(code({0, 0}, {2, 1}, {2, 0, 1}), StatusCode::kUnimplemented);
  EXPECT_EQ(code({3, 3}, {ir::Dim::Symbol("n"), 1}, {2, 3, 1}), StatusCode::kUnimplemented);
  EXPECT_EQ(code({3, 3}, {2, 1}, {2, ir::Dim::Symbol("n"), 1}), StatusCode::kUnimplemented);
  EXPECT_EQ(ScanCase(8).Absent().Input({32, 1}).Input({32, 33, 1}).Code(),
            StatusCode::kUnimplemented)
      << "too many steps in all";
  EXPECT_EQ(ScanCase(8).UnknownLengths(2).Input({2, 1}).Input({2, 3, 1}).Code(),
            StatusCode::kUnimplemented);
  EXPECT_EQ(ScanCase(8).Absent().Absent().Input({2, 3, 1}).Code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ScanCase(8).Absent().Code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ScanCase(8).Code(), StatusCode::kInvalidArgument);
  ScanCase back(8);
  back.Attr(H::Attr("directions", std::vector<int64_t>{1}));
  EXPECT_EQ(back.Lengths({3, 1}).Input({2, 1}).Input({2, 3, 1}).Code(), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace fusee::ops
