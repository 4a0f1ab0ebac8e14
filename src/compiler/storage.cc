#include "compiler/storage.h"

#include <algorithm>
#include <optional>

namespace fusee::compiler {
namespace {

// What the kernel, and every tactic of a tuned point, lets go of.
uint32_t InPlaceInputs(const SelectedNode& s) {
  uint32_t inputs = s.kernel->in_place_inputs;
  for (const BucketChoice& choice : s.bucket_tactics) inputs &= choice.kernel->in_place_inputs;
  return inputs;
}

class Assigner {
 public:
  Assigner(const ir::Graph& graph, const std::vector<SelectedNode>& selection)
      : graph_(graph), selection_(selection) {
    result_.of_value.assign(graph.value_count(), StorageAssignment::kNoStorage);
  }

  Result<StorageAssignment> Run(bool in_place) {
    AddRoots();
    AddSteps();
    MarkOutputs();
    MarkReads();
    if (in_place) TakeOver();
    FUSEE_TRY(MeasureSizes());
    return std::move(result_);
  }

 private:
  uint32_t New(StorageKind kind, ir::ValueId root, uint32_t io_index = 0) {
    result_.storages.push_back({kind, root, io_index, {}});
    const auto index = static_cast<uint32_t>(result_.storages.size() - 1);
    result_.of_value[root.index()] = index;
    return index;
  }

  void AddRoots() {
    for (uint32_t i = 0; i < graph_.inputs().size(); ++i)
      New(StorageKind::kInput, graph_.inputs()[i], i);
    for (uint32_t i = 0; i < graph_.value_count(); ++i) {
      const ir::Value& v = graph_.value(ir::ValueId(i));
      if (v.alive && v.constant.present() && result_.of_value[i] == StorageAssignment::kNoStorage) {
        New(StorageKind::kConstant, ir::ValueId(i));
      }
    }
  }

  void AddSteps() {
    int64_t step = 0;
    for (const SelectedNode& s : selection_) {
      const ir::Node& node = graph_.node(s.node);
      if (s.kernel == nullptr) {
        result_.of_value[node.outputs[0].index()] = result_.of_value[node.inputs[0].index()];
        continue;
      }
      for (ir::ValueId id : node.outputs) {
        if (!id.valid()) continue;
        Lifetime& l = result_.storages[New(StorageKind::kActivation, id)].lifetime;
        l.first_step = l.last_step = step;
      }
      ++step;
    }
  }

  void MarkOutputs() {
    for (uint32_t i = 0; i < graph_.outputs().size(); ++i) {
      Storage& s = result_.storages[result_.of_value[graph_.outputs()[i].index()]];
      FUSEE_CHECK(s.kind == StorageKind::kActivation, "SeparateOutputs did not run");
      s.kind = StorageKind::kOutput;
      s.io_index = i;
    }
  }

  void MarkReads() {
    int64_t step = 0;
    for (const SelectedNode& s : selection_) {
      if (s.kernel == nullptr) continue;
      const auto read = [&](ir::ValueId id) {
        if (!id.valid()) return;
        Lifetime& l = result_.storages[result_.of_value[id.index()]].lifetime;
        l.last_step = std::max(l.last_step, step);
      };
      const ir::Node& node = graph_.node(s.node);
      for (const ir::ValueId id : node.inputs) read(id);
      for (const ir::Guard& guard : node.guards) read(guard.condition);
      ++step;
    }
  }

  // A result takes over an operand's bytes when the kernel allows it, the operand dies here, both
  // always have the same size, and no other operand reads the same bytes under another shape. A
  // step that may not run takes nothing over.
  void TakeOver() {
    int64_t step = 0;
    for (const SelectedNode& s : selection_) {
      if (s.kernel == nullptr) continue;
      const ir::Node& node = graph_.node(s.node);
      if (const auto operand = OperandToReplace(s, node, step)) {
        const uint32_t from = result_.of_value[node.outputs[0].index()];
        const uint32_t to = result_.of_value[node.inputs[*operand].index()];
        Lifetime& l = result_.storages[to].lifetime;
        l.last_step = std::max(l.last_step, result_.storages[from].lifetime.last_step);
        std::ranges::replace(result_.of_value, from, to);
        result_.storages[from].kind = StorageKind::kNone;
      }
      ++step;
    }
  }

  std::optional<size_t> OperandToReplace(const SelectedNode& s, const ir::Node& node,
                                         int64_t step) const {
    if (node.outputs.empty() || !node.outputs[0].valid() || !node.guards.empty())
      return std::nullopt;
    // Operands of a host step are copies; and every tactic must permit what one of them may do.
    const uint32_t permitted = s.on_host ? 0 : InPlaceInputs(s);
    const ir::Value& result = graph_.value(node.outputs[0]);
    if (result_.storage(node.outputs[0]).kind != StorageKind::kActivation) return std::nullopt;
    for (size_t i = 0; i < node.inputs.size() && i < 32; ++i) {
      if (!(permitted >> i & 1u) || !node.inputs[i].valid()) continue;
      const ir::Value& operand = graph_.value(node.inputs[i]);
      const Storage& storage = result_.storage(node.inputs[i]);
      if (storage.kind != StorageKind::kActivation || storage.lifetime.last_step != step) continue;
      const bool same_size =
          BitsPerElement(operand.info.dtype) == BitsPerElement(result.info.dtype) &&
          operand.info.shape == result.info.shape;
      if (same_size && OthersAllow(permitted, node, i)) return i;
    }
    return std::nullopt;
  }

  // Every operand on the same bytes must be one the kernel lets go of, read under the same shape.
  bool OthersAllow(uint32_t allowed, const ir::Node& node, size_t operand) const {
    const ir::ValueId id = node.inputs[operand];
    for (size_t j = 0; j < node.inputs.size(); ++j) {
      if (j == operand || !node.inputs[j].valid()) continue;
      if (result_.of_value[node.inputs[j].index()] != result_.of_value[id.index()]) continue;
      const bool permitted = j < 32 && (allowed >> j & 1u);
      if (!permitted || !(graph_.value(node.inputs[j]).info.shape == graph_.value(id).info.shape))
        return false;
    }
    return true;
  }

  Status MeasureSizes() {
    for (Storage& s : result_.storages) {
      if (s.kind == StorageKind::kNone) continue;
      FUSEE_TRY(ops::TensorSpec spec, SpecOf(graph_, s.root));
      const ConstTensorView view{spec.dtype, spec.max_shape, nullptr};
      s.lifetime.size_bytes = static_cast<uint64_t>(view.size_bytes());
    }
    return OkStatus();
  }

  const ir::Graph& graph_;
  const std::vector<SelectedNode>& selection_;
  StorageAssignment result_;
};

}  // namespace

Result<StorageAssignment> AssignStorage(const ir::Graph& graph,
                                        const std::vector<SelectedNode>& selection, bool in_place) {
  return Assigner(graph, selection).Run(in_place);
}

}  // namespace fusee::compiler
