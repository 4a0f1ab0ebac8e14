#include "compiler/sampled.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "compiler/corners.h"
#include "compiler/difference.h"
#include "compiler/emit.h"
#include "compiler/verify.h"
#include "ops/op_def.h"
#include "passes/interpret.h"
#include "runtime/golden.h"
#include "runtime/runtime.h"

namespace fusee::compiler {
namespace {

constexpr size_t kRows = 16;  // of a matrix product
constexpr size_t kColumns = 64;
constexpr size_t kMatrices = 2;  // of a batch of matrix products
constexpr size_t kChannels = 8;  // of a convolution

// Up to count different indices below limit, ascending, the first and the last among them: edges of
// tiles lie there.
std::vector<int64_t> SomeOf(int64_t limit, size_t count, uint64_t seed) {
  std::set<int64_t> chosen;
  if (limit > 0) chosen = {0, limit - 1};
  for (uint64_t i = 0; chosen.size() < std::min<size_t>(count, static_cast<size_t>(limit)); ++i) {
    chosen.insert(static_cast<int64_t>(RandomBits(seed, 7, i) % static_cast<uint64_t>(limit)));
  }
  while (chosen.size() > count) chosen.erase(std::prev(std::prev(chosen.end())));
  return {chosen.begin(), chosen.end()};
}

// Chooses along one axis of the result and the axes of operands that carry it.
void Choose(StepSample& sample, std::vector<std::pair<size_t, int>> carriers, int result_axis,
            int64_t size, size_t count, uint64_t seed) {
  if (size <= static_cast<int64_t>(count)) return;
  const std::vector<int64_t> indices = SomeOf(size, count, seed);
  for (const auto& [operand, axis] : carriers) sample.operands.push_back({operand, axis, indices});
  sample.result.push_back({0, result_axis, indices});
}

// Operand 3 of a product has the result's shape; an absent operand has rank 0 here.
bool HasResidual(const std::vector<Shape>& in) { return in.size() > 3 && in[3].rank() > 0; }

StepSample SampleMatMul(const std::vector<Shape>& in, const Shape& out, uint64_t seed) {
  StepSample sample;
  const Shape& a = in[0];
  const Shape& b = in[1];
  if (a.rank() < 2 || b.rank() < 2 || out.rank() != std::max(a.rank(), b.rank())) return sample;
  const int ra = a.rank(), rb = b.rank(), ro = out.rank();
  const bool residual = HasResidual(in);
  const double macs = static_cast<double>(out.elements()) * static_cast<double>(a[ra - 1]);
  if (macs <= kWholeStepMacs) return sample;
  for (int i = 0; i < ro - 2; ++i) {
    std::vector<std::pair<size_t, int>> carriers;
    if (const int ia = i - (ro - ra); ia >= 0 && a[ia] == out[i]) carriers.emplace_back(0, ia);
    if (const int ib = i - (ro - rb); ib >= 0 && b[ib] == out[i]) carriers.emplace_back(1, ib);
    if (residual) carriers.emplace_back(3, i);
    if (!carriers.empty())
      Choose(sample, carriers, i, out[i], kMatrices, seed + static_cast<uint64_t>(i));
  }
  std::vector<std::pair<size_t, int>> rows = {{0, ra - 2}};
  std::vector<std::pair<size_t, int>> columns = {{1, rb - 1}};
  if (in.size() > 2 && in[2].rank() == 1) columns.emplace_back(2, 0);
  if (residual) {
    rows.emplace_back(3, ro - 2);
    columns.emplace_back(3, ro - 1);
  }
  Choose(sample, rows, ro - 2, a[ra - 2], kRows, seed + 100);
  Choose(sample, columns, ro - 1, b[rb - 1], kColumns, seed + 101);
  return sample;
}

StepSample SampleGemm(const ir::Node& node, const std::vector<Shape>& in, const Shape& out,
                      uint64_t seed) {
  StepSample sample;
  const auto trans_a = node.attrs.Int("transA", 0);
  const auto trans_b = node.attrs.Int("transB", 0);
  if (!trans_a.ok() || !trans_b.ok() || in[0].rank() != 2 || in[1].rank() != 2) return sample;
  const int64_t k = in[0][*trans_a ? 0 : 1];
  if (static_cast<double>(out.elements()) * static_cast<double>(k) <= kWholeStepMacs) return sample;
  std::vector<std::pair<size_t, int>> rows = {{0, *trans_a ? 1 : 0}};
  std::vector<std::pair<size_t, int>> columns = {{1, *trans_b ? 0 : 1}};
  if (in.size() > 2 && in[2].rank() > 0) {
    const Shape& c = in[2];
    if (c.rank() == 2 && c[0] == out[0] && out[0] > 1) rows.emplace_back(2, 0);
    if (c[c.rank() - 1] == out[1] && out[1] > 1) columns.emplace_back(2, c.rank() - 1);
  }
  if (HasResidual(in)) {
    rows.emplace_back(3, 0);
    columns.emplace_back(3, 1);
  }
  Choose(sample, rows, 0, out[0], kRows, seed);
  Choose(sample, columns, 1, out[1], kColumns, seed + 1);
  return sample;
}

StepSample SampleConv(const ir::Node& node, const std::vector<Shape>& in, const Shape& out,
                      uint64_t seed) {
  StepSample sample;
  const auto group = node.attrs.Int("group", 1);
  const Shape& w = in[1];
  if (!group.ok() || w.rank() < 3 || out.rank() != w.rank()) return sample;
  const double macs =
      static_cast<double>(out.elements()) * static_cast<double>(w.elements(1, w.rank()));
  if (macs <= kWholeStepMacs) return sample;
  const auto layout = node.attrs.Str("layout", "NCHW");
  if (!layout.ok()) return sample;
  // A residual has the result's axes. An absent operand has rank 0.
  const bool residual = in.size() > 3 && in[3].rank() == out.rank();
  std::vector<std::pair<size_t, int>> images = {{0, 0}};
  if (residual) images.emplace_back(3, 0);
  Choose(sample, images, 0, out[0], 1, seed);
  if (*group == 1) {
    const int channel_axis = *layout == "NHWC" ? out.rank() - 1 : 1;
    std::vector<std::pair<size_t, int>> channels = {{1, 0}};
    if (in.size() > 2 && in[2].rank() == 1) channels.emplace_back(2, 0);
    if (residual) channels.emplace_back(3, channel_axis);
    Choose(sample, channels, channel_axis, out[channel_axis], kChannels, seed + 1);
  }
  return sample;
}

// Batch items, and queries where they are an operand of their own.
StepSample SampleAttention(const ir::Node& node, const std::vector<Shape>& in, const Shape& out,
                           uint64_t seed) {
  StepSample sample;
  const auto packed = node.attrs.Int("packed_qkv", 0);
  const Shape& keys = in.size() > 1 && in[1].rank() == 3 ? in[1] : in[0];
  if (!packed.ok() || in[0].rank() != 3 || out.rank() != 3) return sample;
  const double macs = 2 * static_cast<double>(out.elements()) * static_cast<double>(keys[1]);
  if (macs <= kWholeStepMacs) return sample;
  std::vector<std::pair<size_t, int>> batch = {{0, 0}};
  std::vector<std::pair<size_t, int>> rows = {{0, 1}};
  if (*packed == 0) {
    batch.emplace_back(1, 0);
    batch.emplace_back(2, 0);
  }
  if (in.size() > 3) {
    const Shape& bias = in[3];
    if (bias.rank() == 4 && bias[0] == out[0]) batch.emplace_back(3, 0);
    if (bias.rank() >= 2 && bias[bias.rank() - 2] == out[1]) rows.emplace_back(3, bias.rank() - 2);
  }
  Choose(sample, batch, 0, out[0], kMatrices, seed);
  if (*packed == 0) Choose(sample, rows, 1, out[1], kRows, seed + 1);
  return sample;
}

// One step recomputed: a graph of one node whose operands are inputs, run by the reference kernels.
Result<Tensor> Recompute(const ir::Node& node, const std::vector<Tensor>& operands, size_t result,
                         const ir::SymbolValues& symbols, const ir::SymbolRanges& ranges) {
  ir::Graph graph;
  ir::Node copy;
  copy.op = node.op;
  copy.attrs = node.attrs;
  copy.counts = node.counts;
  for (const std::string& symbol : node.counts) graph.symbols()[symbol] = ranges.at(symbol);
  for (const ir::Dim& d : node.dims) copy.dims.push_back(d.Substitute(symbols));
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].present()) {
      copy.inputs.emplace_back();
      continue;
    }
    copy.inputs.push_back(graph.AddInput(
        fmt::format("x{}", i), {operands[i].dtype(), ir::ToSymShape(operands[i].shape()), {}}));
    inputs.push_back(operands[i]);
  }
  std::vector<std::string> names(node.outputs.size());
  for (size_t i = 0; i < names.size(); ++i)
    names[i] = node.outputs[i].valid() ? fmt::format("y{}", i) : "";
  FUSEE_TRY(std::vector<ir::ValueId> ids, ops::AddInferredNode(graph, std::move(copy), names));
  graph.MarkOutput(ids[result], "y");
  FUSEE_TRY(std::vector<Tensor> outputs, passes::Interpret(graph, inputs));
  return outputs[0];
}

// Recomputes each step as the plan runs it.
class StepChecker final : public runtime::StepHook {
 public:
  StepChecker(const plan::Plan& plan, const ir::Graph& graph,
              const std::vector<SelectedNode>& selection, ir::SymbolValues symbols)
      : plan_(plan), graph_(graph), symbols_(std::move(symbols)) {
    for (const SelectedNode& s : selection) {
      if (s.kernel != nullptr) nodes_.push_back(s.node);
    }
  }

  void OnStep(const runtime::StepEvent& event) override {
    if (!status_.ok() || !outcome_.failure.empty()) return;
    status_ = Check(event);
  }

  Result<SampledOutcome> Finish() {
    FUSEE_TRY(std::move(status_));
    outcome_.passed = outcome_.failure.empty();
    return std::move(outcome_);
  }

 private:
  Status Check(const runtime::StepEvent& event) {
    const ir::Node& node = graph_.node(nodes_[event.step]);
    for (size_t i = 0; i < node.counts.size(); ++i) symbols_[node.counts[i]] = event.counts[i];
    std::vector<Tensor> operands;
    std::vector<Shape> shapes;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      operands.push_back(Operand(node.inputs[i], event.inputs[i]));
      shapes.push_back(operands.back().present() ? operands.back().shape() : Shape{});
    }
    for (size_t r = 0; r < node.outputs.size(); ++r) {
      if (!node.outputs[r].valid()) continue;
      const StepSample sample =
          r == 0 ? ChooseSample(node, shapes, event.outputs[0].shape, event.step) : StepSample{};
      FUSEE_TRY(CompareResult(event, node, operands, r, sample));
    }
    return OkStatus();
  }

  // The graph's constant, not what packing made of it.
  Tensor Operand(ir::ValueId id, const ConstTensorView& view) const {
    if (!id.valid()) return Tensor();
    const Tensor& constant = graph_.value(id).constant;
    return constant.present() ? constant : Tensor(view.dtype, view.shape, view.data, nullptr);
  }

  Status CompareResult(const runtime::StepEvent& event, const ir::Node& node,
                       std::vector<Tensor> operands, size_t r, const StepSample& sample) {
    for (const AxisChoice& c : sample.operands) {
      FUSEE_TRY(operands[c.operand], TakeAlong(operands[c.operand].view(), c.axis, c.indices));
    }
    const TensorView& whole = event.outputs[r];
    Tensor got(whole.dtype, whole.shape, whole.data, nullptr);
    for (const AxisChoice& c : sample.result) {
      FUSEE_TRY(got, TakeAlong(got.view(), c.axis, c.indices));
    }
    auto want = Recompute(node, operands, r, symbols_, graph_.symbols());
    if (!want.ok())
      return std::move(want).status().Annotate("recomputing " + ir::DescribeNode(node));
    if (want->dtype() != got.dtype() || !(want->shape() == got.shape())) {
      return Internal(fmt::format("{}: the reference gives {}, the plan {}", ir::DescribeNode(node),
                                  Describe(want->dtype(), want->shape()),
                                  Describe(got.dtype(), got.shape())));
    }
    const Difference d =
        CompareWithReference(got.view(), want->view(), ReducedPrecision(node.attrs));
    outcome_.corner.elements += got.elements();
    outcome_.corner.max_abs_error = std::max(outcome_.corner.max_abs_error, d.max_abs);
    outcome_.corner.max_rel_error = std::max(outcome_.corner.max_rel_error, d.max_rel);
    outcome_.corner.max_abs_value = std::max(outcome_.corner.max_abs_value, d.max_abs_want);
    if (d.mismatches > 0) {
      const plan::Step& step = plan_.steps[event.step];
      outcome_.failure = fmt::format(
          "step {} '{}' (kernel {}, from ONNX nodes {}): {} of {} compared elements differ from "
          "the reference on the same "
          "operands, the first: expected {:.9g}, got {:.9g}",
          step.op, graph_.value(node.outputs[r]).name, step.kernel, fmt::join(step.sources, ", "),
          d.mismatches, got.elements(), d.want, d.got);
    }
    return OkStatus();
  }

  const plan::Plan& plan_;
  const ir::Graph& graph_;
  ir::SymbolValues symbols_;
  std::vector<ir::NodeId> nodes_;  // by step
  Status status_;
  SampledOutcome outcome_;
};

}  // namespace

StepSample ChooseSample(const ir::Node& node, const std::vector<Shape>& operands,
                        const Shape& result, uint64_t seed) {
  if (node.op == "FusedAttention" && !operands.empty())
    return SampleAttention(node, operands, result, seed);
  if (operands.size() < 2) return {};
  if (node.op == "MatMul") return SampleMatMul(operands, result, seed);
  if (node.op == "Gemm") return SampleGemm(node, operands, result, seed);
  if (node.op == "Conv") return SampleConv(node, operands, result, seed);
  return {};
}

Result<Tensor> TakeAlong(const ConstTensorView& tensor, int axis,
                         const std::vector<int64_t>& indices) {
  Shape shape = tensor.shape;
  shape[axis] = static_cast<int64_t>(indices.size());
  TensorView out;
  FUSEE_TRY(Tensor taken, Tensor::Allocate(tensor.dtype, shape, &out));
  const int64_t outer = tensor.shape.elements(0, axis);
  const int64_t run =
      tensor.shape.elements(axis + 1, tensor.shape.rank()) * BytesPerElement(tensor.dtype);
  const auto* src = static_cast<const char*>(tensor.data);
  auto* dst = static_cast<char*>(out.data);
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t index : indices) {
      std::memcpy(dst, src + (o * tensor.shape[axis] + index) * run, static_cast<size_t>(run));
      dst += run;
    }
  }
  return taken;
}

Result<SampledOutcome> VerifySteps(const ImportedModel& model, const ir::Graph& graph,
                                   const std::vector<SelectedNode>& selection,
                                   std::shared_ptr<const plan::Plan> candidate,
                                   const std::vector<int64_t>& symbol_values, Fill fill,
                                   Parallel* parallel, const RunTarget& where, uint64_t seed) {
  // Operands must survive their step to be read again, so nothing is taken over in place.
  const DeviceKind device = where.device == nullptr ? DeviceKind::kCpu : where.device->info().kind;
  FUSEE_TRY(plan::Plan emitted,
            EmitPlan(model, graph, selection, {.in_place = false, .device = device}));
  FUSEE_TRY(Subject spread,
            OpenSubject(std::make_shared<const plan::Plan>(std::move(emitted)), parallel, where));
  ir::SymbolValues symbols;
  for (size_t i = 0; i < model.symbols.size(); ++i)
    symbols[model.symbols[i].name] = symbol_values[i];
  StepChecker checker(*spread.plan, graph, selection, symbols);
  spread.context->SetStepHook(&checker);
  FUSEE_TRY(std::vector<Sha256Digest> spread_digests,
            runtime::RunGolden(*spread.context, symbol_values, fill, seed));
  FUSEE_TRY(SampledOutcome outcome, checker.Finish());
  outcome.corner.symbol_values = symbol_values;
  outcome.corner.fill = fill;
  outcome.corner.output = "every step";
  outcome.corner.sampled = true;

  FUSEE_TRY(Subject real, OpenSubject(std::move(candidate), parallel, where));
  FUSEE_TRY(std::vector<Sha256Digest> digests,
            runtime::RunGolden(*real.context, symbol_values, fill, seed));
  if (outcome.passed && digests != spread_digests) {
    outcome.passed = false;
    outcome.failure = "the plan gives other bits than the same kernels without shared memory";
  }
  return outcome;
}

}  // namespace fusee::compiler
