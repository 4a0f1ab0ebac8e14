#include "compiler/select.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked_math.h"
#include "ops/op_def.h"

namespace fusee::compiler {
namespace {

std::string DescribeOperands(const ir::Graph& graph, const ir::Node& node) {
  std::string text;
  for (ir::ValueId id : node.inputs) {
    if (!text.empty()) text += ", ";
    if (!id.valid()) {
      text += "_";
      continue;
    }
    const ir::Value& v = graph.value(id);
    text += fmt::format("{}{}", DTypeName(v.info.dtype), ir::ToString(v.info.shape));
  }
  return "(" + text + ")";
}

// The specs of one node; owns copies of constants whose bytes lie unaligned in the model file,
// which kernels that read them while binding need not expect.
struct NodeSpecs {
  std::vector<ops::TensorSpec> inputs, outputs;
  std::vector<Tensor> aligned;

  ops::StepSpec step(const ir::Node& node) const {
    return {node.op, &node.attrs, inputs, outputs, node.dims.size()};
  }
};

Result<NodeSpecs> MakeSpecs(const ir::Graph& graph, const ir::Node& node) {
  NodeSpecs specs;
  for (ir::ValueId id : node.inputs) {
    if (!id.valid()) {
      specs.inputs.emplace_back();
      continue;
    }
    FUSEE_TRY(ops::TensorSpec spec, SpecOf(graph, id));
    const Tensor& constant = graph.value(id).constant;
    if (constant.present() &&
        reinterpret_cast<uintptr_t>(constant.bytes().data()) % kTensorAlignment != 0) {
      TensorView out;
      FUSEE_TRY(Tensor copy, Tensor::Allocate(constant.dtype(), constant.shape(), &out));
      if (constant.view().size_bytes() > 0)
        std::memcpy(out.data, constant.bytes().data(), constant.bytes().size());
      spec.data = copy.bytes().data();
      specs.aligned.push_back(std::move(copy));
    }
    specs.inputs.push_back(spec);
  }
  for (ir::ValueId id : node.outputs) {
    if (!id.valid()) {
      specs.outputs.emplace_back();
      continue;
    }
    FUSEE_TRY(ops::TensorSpec spec, SpecOf(graph, id));
    specs.outputs.push_back(spec);
  }
  return specs;
}

// Packs the constants and binds once more, as the loader will.
Status Accept(const ops::KernelDef& kernel, const ir::Node& node, NodeSpecs& specs, bool pack,
              SelectedNode* selected) {
  if (pack && kernel.pack != nullptr) {
    FUSEE_TRY(selected->packed, kernel.pack(specs.step(node)));
    for (const ops::PackedConstant& p : selected->packed) {
      specs.inputs[p.input] = {DType::kU8, Shape{static_cast<int64_t>(p.bytes.size())}, true,
                               p.bytes.data()};
    }
  }
  auto bound = kernel.bind(specs.step(node));
  if (!bound.ok()) return std::move(bound).status();
  selected->workspace_bytes = (*bound)->workspace_bytes();
  selected->kernel = &kernel;
  return OkStatus();
}

bool NeedsNoStep(const ir::Graph& graph, const ir::Node& node) {
  const ops::OpDef* op = ops::FindOp(node.op);
  return op != nullptr && op->kind == ops::OpKind::kView && node.inputs[0].valid() &&
         graph.value(node.inputs[0]).alive;
}

class Selector {
 public:
  Selector(const ir::Graph& graph, const SelectOptions& options)
      : graph_(graph), options_(options) {}

  Result<SelectedNode> Select(ir::NodeId id) {
    const ir::Node& node = graph_.node(id);
    SelectedNode selected{.node = id};
    if (NeedsNoStep(graph_, node)) return selected;
    FUSEE_TRY(NodeSpecs specs, MakeSpecs(graph_, node));
    const std::string* locked = LockedChoice(node);
    for (const ops::KernelDef* kernel : ops::KernelsFor(node.op)) {
      plan::TriedTactic tried{std::string(kernel->id), "", 0};
      const std::string veto = Veto(*kernel);
      if (!veto.empty()) {
        tried.verdict = veto;
      } else if (selected.kernel != nullptr) {
        tried.verdict = "behind in preference";
      } else {
        auto bound = kernel->bind(specs.step(node));
        if (bound.ok() && locked != nullptr && kernel->id != *locked) {
          tried.verdict = "accepted; the lockfile chose another";
        } else {
          Status status = bound.ok() ? Accept(*kernel, node, specs, options_.pack, &selected)
                                     : std::move(bound).status();
          if (!status.ok()) selected.packed.clear();
          tried.verdict = status.ok() ? "chosen" : status.message();
        }
      }
      selected.tried.push_back(std::move(tried));
    }
    if (selected.kernel != nullptr) return selected;
    if (locked != nullptr) {
      return FailedPrecondition(fmt::format(
          "{}: the lockfile chose kernel '{}', which {}", ir::DescribeNode(node), *locked,
          ops::FindKernel(*locked) ? "does not take this step any more"
                                   : "this build does not have"));
    }
    return Refusal(node, selected);
  }

 private:
  const std::string* LockedChoice(const ir::Node& node) const {
    if (options_.locked == nullptr) return nullptr;
    const auto it = options_.locked->find(LockName(graph_, node));
    return it == options_.locked->end() ? nullptr : &it->second;
  }

  // Why the options rule a kernel out; empty when they do not.
  std::string Veto(const ops::KernelDef& kernel) const {
    if (kernel.isa > options_.max_isa) {
      return fmt::format("needs {}, target has {}", IsaName(kernel.isa), IsaName(options_.max_isa));
    }
    if (options_.reference_only && !kernel.reference)
      return "only reference kernels were asked for";
    return "";
  }

  Status Refusal(const ir::Node& node, const SelectedNode& selected) const {
    std::string reasons;
    for (const plan::TriedTactic& t : selected.tried)
      reasons += fmt::format("; {}: {}", t.kernel, t.verdict);
    if (selected.tried.empty()) reasons = "; the operator has no kernels";
    return Unimplemented(fmt::format("{}: no kernel takes {}{}", ir::DescribeNode(node),
                                     DescribeOperands(graph_, node), reasons));
  }

  const ir::Graph& graph_;
  const SelectOptions& options_;
};

}  // namespace

Result<ops::TensorSpec> SpecOf(const ir::Graph& graph, ir::ValueId id) {
  const ir::Value& value = graph.value(id);
  ops::TensorSpec spec;
  spec.dtype = value.info.dtype;
  spec.is_static = ir::IsStatic(value.info.shape);
  for (const ir::Dim& d : value.info.shape)
    spec.max_shape.push_back(std::max<int64_t>(0, d.Range(graph.symbols()).max));
  int64_t elements = 0;
  int64_t bits = 0;
  if (!CheckedProduct(spec.max_shape.dims(), &elements) ||
      !CheckedMul<int64_t>(elements, BitsPerElement(spec.dtype), &bits) ||
      bits / 8 > kMaxTensorBytes) {
    return ResourceExhausted(
        fmt::format("value '{}' may grow to {}, more than the limit of {} bytes for one tensor",
                    value.name, Describe(spec.dtype, spec.max_shape), kMaxTensorBytes));
  }
  if (value.constant.present()) spec.data = value.constant.bytes().data();
  return spec;
}

std::string LockName(const ir::Graph& graph, const ir::Node& node) {
  for (ir::ValueId id : node.outputs) {
    if (id.valid()) return graph.value(id).name;
  }
  return "";
}

Result<std::vector<SelectedNode>> SelectKernels(const ir::Graph& graph,
                                                const SelectOptions& options) {
  std::vector<SelectedNode> selection;
  selection.reserve(graph.order().size());
  Selector selector(graph, options);
  for (ir::NodeId id : graph.order()) {
    FUSEE_TRY(SelectedNode selected, selector.Select(id));
    selection.push_back(std::move(selected));
  }
  return selection;
}

}  // namespace fusee::compiler
