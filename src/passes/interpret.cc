#include "passes/interpret.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "ops/kernel.h"
#include "ops/op_def.h"

namespace fusee::passes {
namespace {

// Kernels are promised aligned operands; a weight in a mapped model file may lie anywhere.
Result<Tensor> Aligned(const Tensor& tensor) {
  if (!tensor.present() || reinterpret_cast<uintptr_t>(tensor.view().data) % kTensorAlignment == 0)
    return tensor;
  TensorView out;
  FUSEE_TRY(Tensor copy, Tensor::Allocate(tensor.dtype(), tensor.shape(), &out));
  if (!tensor.bytes().empty()) std::memcpy(out.data, tensor.bytes().data(), tensor.bytes().size());
  return copy;
}

// Binds one expression to a value seen in the inputs; expressions that are no symbol are checked
// later.
Status Bind(const ir::Dim& dim, int64_t value, const std::string& where,
            ir::SymbolValues* symbols) {
  const std::optional<std::string> symbol = dim.AsSymbol();
  if (!symbol) return OkStatus();
  const auto [it, fresh] = symbols->emplace(*symbol, value);
  if (!fresh && it->second != value) {
    return InvalidArgument(
        fmt::format("{}: '{}' is {}, but was {} before", where, *symbol, value, it->second));
  }
  return OkStatus();
}

using Finders = std::map<std::string, ir::NodeId, std::less<>>;

// Whether the constraint waits for a symbol that a node finds.
bool Waits(const Finders& finders, const ir::Constraint& c) {
  if (finders.empty()) return false;
  std::set<std::string> symbols;
  c.a.CollectSymbols(&symbols);
  c.b.CollectSymbols(&symbols);
  return std::ranges::any_of(symbols, [&](const std::string& s) { return finders.contains(s); });
}

Status CheckConstraint(const ir::Constraint& c, const ir::SymbolValues& symbols) {
  FUSEE_TRY(const int64_t a, c.a.Evaluate(symbols));
  FUSEE_TRY(const int64_t b, c.b.Evaluate(symbols));
  if (a == b) return OkStatus();
  return InvalidArgument(fmt::format("{}; got {} and {}", c.reason, a, b));
}

Status CheckInput(const ir::Value& v, const Tensor& tensor, const ir::SymbolValues& symbols) {
  FUSEE_TRY(const Shape want, ir::Evaluate(v.info.shape, symbols));
  if (want == tensor.shape()) return OkStatus();
  return InvalidArgument(fmt::format("input '{}' has shape {}, expected {}", v.name,
                                     tensor.shape().ToString(), ir::ToString(v.info.shape)));
}

// The first bytes under a smaller shape.
Result<Tensor> Cut(const Tensor& tensor, const Shape& shape) {
  TensorView out;
  FUSEE_TRY(Tensor cut, Tensor::Allocate(tensor.dtype(), shape, &out));
  if (out.bytes().size() > tensor.bytes().size())
    return Internal("a found size is above its bound");
  if (!out.bytes().empty()) std::memcpy(out.data, tensor.bytes().data(), out.bytes().size());
  return cut;
}

}  // namespace

Result<std::vector<Tensor>> EvaluateNode(const ir::Graph& graph, const ir::Node& node,
                                         std::span<const Tensor> operands,
                                         const ir::SymbolValues& known, ir::SymbolValues* found) {
  const std::string where = ir::DescribeNode(node);
  // Results are allocated for the most there may be, and cut when it is known.
  ir::SymbolValues symbols = known;
  std::vector<int64_t> counts;
  for (const std::string& symbol : node.counts)
    counts.push_back(symbols[symbol] = graph.symbols().at(symbol).max);
  std::vector<Tensor> results(node.outputs.size());
  std::vector<Shape> shapes(node.outputs.size());
  for (size_t i = 0; i < results.size(); ++i) {
    if (!node.outputs[i].valid()) continue;
    auto shape = ir::Evaluate(graph.value(node.outputs[i]).info.shape, symbols);
    if (!shape.ok()) return std::move(shape).status().Annotate(where);
    shapes[i] = *shape;
  }
  const ops::OpDef* op = ops::FindOp(node.op);
  if (op != nullptr && op->kind == ops::OpKind::kView) {
    if (shapes[0].elements() != operands[0].elements())
      return Internal(where + ": a view changes the element count");
    results[0] = operands[0].Reshaped(shapes[0]);
    return results;
  }
  const auto kernels = ops::KernelsFor(node.op);
  if (kernels.empty()) return Unimplemented(where + ": no reference kernel");

  std::vector<Tensor> inputs;
  std::vector<ops::TensorSpec> input_specs, output_specs;
  std::vector<ConstTensorView> input_views;
  std::vector<TensorView> output_views(results.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    FUSEE_TRY(inputs.emplace_back(), Aligned(operands[i]));
    const ConstTensorView& view = inputs.back().view();
    input_views.push_back(view);
    const bool constant = node.inputs[i].valid() && graph.value(node.inputs[i]).constant.present();
    input_specs.push_back({view.dtype, view.shape, true, constant ? view.data : nullptr});
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (node.outputs[i].valid()) {
      const DType dtype = graph.value(node.outputs[i]).info.dtype;
      FUSEE_TRY(results[i], Tensor::Allocate(dtype, shapes[i], &output_views[i]));
    }
    output_specs.push_back({output_views[i].dtype, output_views[i].shape, true, nullptr});
  }
  std::vector<int64_t> dims;
  for (const ir::Dim& d : node.dims) {
    FUSEE_TRY(dims.emplace_back(), d.Evaluate(symbols));
  }

  const ops::StepSpec spec{node.op,     &node.attrs, input_specs,  output_specs,
                           dims.size(), {},          counts.size()};
  auto kernel = kernels.back()->bind(spec);
  if (!kernel.ok()) return std::move(kernel).status().Annotate(where);
  TensorView workspace;
  FUSEE_TRY(const Tensor holder,
            Tensor::Allocate(DType::kU8, Shape{static_cast<int64_t>((*kernel)->workspace_bytes())},
                             &workspace));
  SerialParallel serial;
  const ops::RunArgs args{.inputs = input_views,
                          .outputs = output_views,
                          .dims = dims,
                          .workspace = workspace.bytes(),
                          .parallel = &serial,
                          .counts = counts};
  FUSEE_TRY((*kernel)->CheckShapes(args).Annotate(where));
  FUSEE_TRY((*kernel)->Run(args).Annotate(where));
  for (size_t i = 0; i < counts.size(); ++i) {
    symbols[node.counts[i]] = counts[i];
    if (found != nullptr) (*found)[node.counts[i]] = counts[i];
  }
  for (size_t i = 0; i < results.size() && !counts.empty(); ++i) {
    if (!node.outputs[i].valid()) continue;
    FUSEE_TRY(const Shape shape, ir::Evaluate(graph.value(node.outputs[i]).info.shape, symbols));
    FUSEE_TRY(results[i], Cut(results[i], shape));
  }
  return results;
}

Result<ir::SymbolValues> BindSymbols(const ir::Graph& graph, std::span<const Tensor> inputs) {
  if (inputs.size() != graph.inputs().size()) {
    return InvalidArgument(
        fmt::format("expected {} inputs, got {}", graph.inputs().size(), inputs.size()));
  }
  ir::SymbolValues symbols;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Value& v = graph.value(graph.inputs()[i]);
    const std::string where = fmt::format("input '{}'", v.name);
    const Tensor& tensor = inputs[i];
    if (tensor.dtype() != v.info.dtype ||
        static_cast<size_t>(tensor.shape().rank()) != v.info.shape.size()) {
      return InvalidArgument(fmt::format("{} is {}, expected {}{}", where,
                                         Describe(tensor.dtype(), tensor.shape()),
                                         DTypeName(v.info.dtype), ir::ToString(v.info.shape)));
    }
    for (size_t d = 0; d < v.info.shape.size(); ++d) {
      FUSEE_TRY(Bind(v.info.shape[d], tensor.shape()[static_cast<int>(d)], where, &symbols));
    }
    if (!v.info.elements || static_cast<int64_t>(v.info.elements->size()) != tensor.elements())
      continue;
    for (size_t e = 0; e < v.info.elements->size(); ++e) {
      FUSEE_TRY(Bind((*v.info.elements)[e], IntAt(tensor.view(), static_cast<int64_t>(e)), where,
                     &symbols));
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    FUSEE_TRY(CheckInput(graph.value(graph.inputs()[i]), inputs[i], symbols));
  const Finders finders = ir::CountFinders(graph);
  for (const ir::Constraint& c : graph.constraints()) {
    if (!Waits(finders, c)) FUSEE_TRY(CheckConstraint(c, symbols));
  }
  return symbols;
}

namespace {

Result<std::vector<Tensor>> Run(const ir::Graph& graph, std::span<const Tensor> inputs,
                                ir::SymbolValues symbols, const Observer& observe);

// The course that the condition chooses. ir::Verify bounds how deep regions nest.
Result<std::vector<Tensor>> RunIf(const ir::Node& node, std::span<const Tensor> operands,
                                  const ir::SymbolValues& symbols) {
  const size_t taken = IntAt(operands[0].view(), 0) != 0 ? 0 : 1;
  auto results = Run(*node.regions[taken], operands.subspan(1), symbols, nullptr);
  if (!results.ok()) return std::move(results).status().Annotate(ir::DescribeNode(node));
  return results;
}

Result<std::vector<Tensor>> Run(const ir::Graph& graph, std::span<const Tensor> inputs,
                                ir::SymbolValues symbols, const Observer& observe) {
  std::vector<Tensor> values(graph.value_count());
  for (size_t i = 0; i < inputs.size(); ++i) values[graph.inputs()[i].index()] = inputs[i];
  const auto get = [&](ir::ValueId id) -> Tensor {
    if (!id.valid()) return Tensor();
    return graph.value(id).constant.present() ? graph.value(id).constant : values[id.index()];
  };
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    std::vector<Tensor> operands;
    for (ir::ValueId operand : node.inputs) operands.push_back(get(operand));
    FUSEE_TRY(const std::vector<Tensor> results,
              node.op == "If" ? RunIf(node, operands, symbols)
                              : EvaluateNode(graph, node, operands, symbols, &symbols));
    for (size_t i = 0; i < results.size(); ++i) {
      if (!node.outputs[i].valid()) continue;
      values[node.outputs[i].index()] = results[i];
      if (observe) observe(node.outputs[i], results[i]);
    }
  }
  const Finders finders = ir::CountFinders(graph);
  for (const ir::Constraint& c : graph.constraints()) {
    if (Waits(finders, c)) FUSEE_TRY(CheckConstraint(c, symbols));
  }
  std::vector<Tensor> outputs;
  for (ir::ValueId id : graph.outputs()) outputs.push_back(get(id));
  return outputs;
}

}  // namespace

Result<std::vector<Tensor>> Interpret(const ir::Graph& graph, std::span<const Tensor> inputs,
                                      const Observer& observe) {
  FUSEE_TRY(ir::SymbolValues symbols, BindSymbols(graph, inputs));
  return Run(graph, inputs, std::move(symbols), observe);
}

}  // namespace fusee::passes
