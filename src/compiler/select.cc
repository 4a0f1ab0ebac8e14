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

// Packs the constants and binds once more, as the loader will.
Status Accept(const ops::KernelDef& kernel, const ir::Node& node, NodeSpecs& specs, bool pack,
              SelectedNode* selected) {
  if (pack && kernel.pack != nullptr) {
    FUSEE_TRY(selected->packed, kernel.pack(specs.step(node)));
    specs.Replace(selected->packed);
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

  // The selected node has no kernel and the list of refusals when nothing takes it.
  Result<SelectedNode> Select(ir::NodeId id) {
    const ir::Node& node = graph_.node(id);
    SelectedNode selected{.node = id};
    if (NeedsNoStep(graph_, node)) return selected;
    const std::string* locked = LockedChoice(node);
    FUSEE_TRY(Walk(*options_.kernels, node, locked, &selected));
    if (selected.kernel == nullptr && options_.allow_host_steps) {
      FUSEE_TRY(Walk(ops::CpuKernels(), node, locked, &selected));
      selected.on_host = selected.kernel != nullptr;
    }
    if (selected.kernel == nullptr && locked != nullptr) {
      return FailedPrecondition(fmt::format(
          "{}: the lockfile chose kernel '{}', which {}", ir::DescribeNode(node), *locked,
          Known(*locked) ? "does not take this step any more" : "this build does not have"));
    }
    if (selected.kernel == nullptr) refused_.push_back({id, Refusal(node, selected)});
    return selected;
  }

  std::vector<RefusedNode> TakeRefused() { return std::move(refused_); }

  // Every node that nothing takes, in one message.
  Status Finish() const {
    if (refused_.empty()) return OkStatus();
    std::string refusals;
    for (const RefusedNode& refused : refused_)
      refusals += (refusals.empty() ? "" : "\n") + refused.reason;
    const bool could_run_on_host =
        options_.kernels != &ops::CpuKernels() && !options_.allow_host_steps;
    return Unimplemented(refusals +
                         (could_run_on_host
                              ? "\n--allow-cpu-steps runs such steps on the CPU, where it has them"
                              : ""));
  }

 private:
  // Tactics in preference order; the first that accepts is chosen.
  Status Walk(const ops::KernelLibrary& library, const ir::Node& node, const std::string* locked,
              SelectedNode* selected) {
    FUSEE_TRY(NodeSpecs specs, SpecsOf(graph_, node));
    for (const ops::KernelDef* kernel : library.For(node.op)) {
      plan::TriedTactic tried{std::string(kernel->id), "", 0};
      const std::string veto = Veto(*kernel, options_);
      if (!veto.empty()) {
        tried.verdict = veto;
      } else if (selected->kernel != nullptr) {
        tried.verdict = "behind in preference";
      } else {
        auto bound = kernel->bind(specs.step(node));
        if (bound.ok() && locked != nullptr && kernel->id != *locked) {
          tried.verdict = "accepted; the lockfile chose another";
        } else {
          Status status = bound.ok() ? Accept(*kernel, node, specs, options_.pack, selected)
                                     : std::move(bound).status();
          if (!status.ok()) selected->packed.clear();
          tried.verdict = status.ok() ? "chosen" : status.message();
        }
      }
      selected->tried.push_back(std::move(tried));
    }
    return OkStatus();
  }

  const std::string* LockedChoice(const ir::Node& node) const {
    if (options_.locked == nullptr) return nullptr;
    const auto it = options_.locked->find(LockName(graph_, node));
    return it == options_.locked->end() ? nullptr : &it->second;
  }

  bool Known(const std::string& kernel) const {
    return options_.kernels->Find(kernel) != nullptr ||
           (options_.allow_host_steps && ops::FindKernel(kernel) != nullptr);
  }

  std::string Refusal(const ir::Node& node, const SelectedNode& selected) const {
    std::string reasons;
    for (const plan::TriedTactic& t : selected.tried)
      reasons += fmt::format("; {}: {}", t.kernel, t.verdict);
    if (selected.tried.empty()) reasons = "; the operator has no kernels";
    return fmt::format("{}: no kernel takes {}{}", ir::DescribeNode(node),
                       DescribeOperands(graph_, node), reasons);
  }

  std::vector<RefusedNode> refused_;
  const ir::Graph& graph_;
  const SelectOptions& options_;
};

}  // namespace

void NodeSpecs::Replace(const std::vector<ops::PackedConstant>& packed) {
  for (const ops::PackedConstant& p : packed) {
    inputs[p.input] = {DType::kU8, Shape{static_cast<int64_t>(p.bytes.size())}, true,
                       p.bytes.data()};
  }
}

Result<NodeSpecs> SpecsOf(const ir::Graph& graph, const ir::Node& node,
                          const ir::SymbolValues* point) {
  NodeSpecs specs;
  const auto spec_at = [&](ir::ValueId id) -> Result<ops::TensorSpec> {
    FUSEE_TRY(ops::TensorSpec spec, SpecOf(graph, id));
    if (point != nullptr) {
      FUSEE_TRY(spec.max_shape, ir::Evaluate(graph.value(id).info.shape, *point));
      spec.is_static = true;
    }
    return spec;
  };
  for (ir::ValueId id : node.inputs) {
    if (!id.valid()) {
      specs.inputs.emplace_back();
      continue;
    }
    FUSEE_TRY(ops::TensorSpec spec, spec_at(id));
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
    FUSEE_TRY(ops::TensorSpec spec, spec_at(id));
    specs.outputs.push_back(spec);
  }
  return specs;
}

std::string Veto(const ops::KernelDef& kernel, const SelectOptions& options) {
  if (kernel.device == DeviceKind::kCpu && kernel.isa > options.max_isa)
    return fmt::format("needs {}, target has {}", IsaName(kernel.isa), IsaName(options.max_isa));
  if (kernel.device != DeviceKind::kCpu && kernel.compute_capability > options.compute_capability) {
    return fmt::format("needs compute capability {}, target has {}", kernel.compute_capability,
                       options.compute_capability);
  }
  if (options.reference_only && !kernel.reference) return "only reference kernels were asked for";
  return "";
}

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
  FUSEE_TRY(selector.Finish());
  return selection;
}

std::vector<RefusedNode> FindRefused(const ir::Graph& graph, const SelectOptions& options) {
  Selector selector(graph, options);
  std::vector<RefusedNode> failed;
  for (ir::NodeId id : graph.order()) {
    auto selected = selector.Select(id);
    if (!selected.ok()) failed.push_back({id, selected.status().message()});
  }
  std::vector<RefusedNode> refused = selector.TakeRefused();
  refused.insert(refused.end(), failed.begin(), failed.end());
  return refused;
}

}  // namespace fusee::compiler
