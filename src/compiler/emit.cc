#include "compiler/emit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/checked_math.h"
#include "compiler/storage.h"
#include "ops/op_def.h"

namespace fusee::compiler {
namespace {

// The table of dimension expressions: equal expressions share an entry.
class DimTable {
 public:
  DimTable(plan::Plan& plan, const std::vector<SymbolSource>& symbols) : plan_(plan) {
    for (uint32_t i = 0; i < symbols.size(); ++i) symbol_index_[symbols[i].name] = i;
  }

  // A size that a run finds: its index in the plan.
  uint32_t AddCount(const std::string& name, int64_t most) {
    const auto index = static_cast<uint32_t>(plan_.counts.size());
    plan_.counts.push_back({name, most});
    count_index_[name] = index;
    return index;
  }

  bool IsCount(const std::string& name) const { return count_index_.contains(name); }
  // Precondition: it was added.
  uint32_t IndexOfCount(const std::string& name) const { return count_index_.at(name); }

  Result<uint32_t> Add(const ir::Dim& dim) {
    const std::string key = dim.ToString();
    if (const auto it = known_.find(key); it != known_.end()) return it->second;
    FUSEE_TRY(uint32_t index, Build(dim));
    known_[key] = index;
    return index;
  }

  Result<std::vector<uint32_t>> AddAll(std::span<const ir::Dim> dims) {
    std::vector<uint32_t> indices;
    for (const ir::Dim& d : dims) {
      FUSEE_TRY(uint32_t index, Add(d));
      indices.push_back(index);
    }
    return indices;
  }

 private:
  uint32_t Push(plan::DimOp op, int64_t a, int64_t b = 0) {
    plan_.dims.push_back({op, a, b});
    return static_cast<uint32_t>(plan_.dims.size() - 1);
  }

  Result<uint32_t> Build(const ir::Dim& dim) {
    if (dim.is_unknown()) return Unimplemented("a size cannot be expressed by the inputs' sizes");
    if (dim.is_constant()) return Push(plan::DimOp::kConstant, dim.constant());
    // Sum of terms, each a coefficient times factors.
    std::optional<uint32_t> sum;
    for (const ir::Dim::Term& term : dim.terms()) {
      FUSEE_TRY(uint32_t product, BuildTerm(term));
      sum = sum ? Push(plan::DimOp::kAdd, *sum, product) : product;
    }
    return *sum;
  }

  Result<uint32_t> BuildTerm(const ir::Dim::Term& term) {
    std::optional<uint32_t> product;
    for (const ir::DimAtom& atom : term.factors) {
      FUSEE_TRY(uint32_t factor, BuildAtom(atom));
      product = product ? Push(plan::DimOp::kMul, *product, factor) : factor;
    }
    if (!product) return Add(ir::Dim(term.coefficient));
    if (term.coefficient == 1) return *product;
    FUSEE_TRY(uint32_t coefficient, Add(ir::Dim(term.coefficient)));
    return Push(plan::DimOp::kMul, *product, coefficient);
  }

  Result<uint32_t> BuildAtom(const ir::DimAtom& atom) {
    if (!atom.symbol.empty()) {
      const std::string key = ir::Dim::Symbol(atom.symbol).ToString();
      if (const auto known = known_.find(key); known != known_.end()) return known->second;
      if (const auto it = count_index_.find(atom.symbol); it != count_index_.end()) {
        return known_[key] = Push(plan::DimOp::kCount, it->second, plan_.counts[it->second].max);
      }
      const auto it = symbol_index_.find(atom.symbol);
      if (it == symbol_index_.end())
        return Internal(fmt::format("no input determines dimension '{}'", atom.symbol));
      return known_[key] = Push(plan::DimOp::kSymbol, it->second);
    }
    FUSEE_TRY(uint32_t a, Add(atom.a));
    FUSEE_TRY(uint32_t b, Add(atom.b));
    switch (atom.op) {
      case ir::DimOp::kFloorDiv: return Push(plan::DimOp::kFloorDiv, a, b);
      case ir::DimOp::kMod: return Push(plan::DimOp::kMod, a, b);
      case ir::DimOp::kMin: return Push(plan::DimOp::kMin, a, b);
      case ir::DimOp::kMax: return Push(plan::DimOp::kMax, a, b);
    }
    return Internal("unknown dimension operation");
  }

  plan::Plan& plan_;
  std::map<std::string, uint32_t> symbol_index_, count_index_;
  std::map<std::string, uint32_t> known_;
};

// The weights region: equal bytes are stored once.
class WeightsBlob {
 public:
  uint64_t Add(std::span<const std::byte> bytes) {
    const auto [it, fresh] = by_digest_.emplace(Sha256(bytes), AlignUp(size_, kTensorAlignment));
    if (fresh) {
      pieces_.push_back({it->second, bytes});
      size_ = it->second + bytes.size();
    }
    return it->second;
  }

  // Copies the pieces into one block, zero between them.
  void MoveInto(plan::Plan& plan) const {
    auto blob = std::make_shared<std::vector<std::byte>>(AlignUp(size_, kTensorAlignment));
    for (const auto& [offset, bytes] : pieces_) {
      if (!bytes.empty()) std::memcpy(blob->data() + offset, bytes.data(), bytes.size());
    }
    plan.weights = *blob;
    plan.weights_owner = blob;
  }

 private:
  std::map<Sha256Digest, uint64_t> by_digest_;
  std::vector<std::pair<uint64_t, std::span<const std::byte>>> pieces_;
  uint64_t size_ = 0;
};

class Emitter {
 public:
  Emitter(const ImportedModel& model, const ir::Graph& graph,
          const std::vector<SelectedNode>& selection)
      : model_(model),
        graph_(graph),
        selection_(selection),
        dims_(plan_, model.symbols),
        tensor_of_(graph.value_count(), plan::kNoTensor) {}

  Result<plan::Plan> Run(const EmitOptions& options) {
    plan_.target.device = DeviceKindName(options.device);
    FUSEE_TRY(storage_, AssignStorage(graph_, selection_, options.in_place));
    EmitSymbols();
    FUSEE_TRY(EmitCounts(options.device));
    FUSEE_TRY(CheckGuards(options.device));
    PlaceActivations();
    FUSEE_TRY(PlaceIo());
    for (const SelectedNode& s : selection_) {
      if (s.kernel != nullptr) FUSEE_TRY(EmitStep(s));
    }
    FUSEE_TRY(EmitIo());
    for (const ir::Constraint& c : graph_.constraints()) FUSEE_TRY(EmitConstraint(c));
    FUSEE_TRY(EmitBuckets());
    weights_.MoveInto(plan_);
    return std::move(plan_);
  }

 private:
  void EmitSymbols() {
    for (const SymbolSource& s : model_.symbols) {
      const ir::DimRange range = graph_.symbols().at(s.name);
      plan_.symbols.push_back(
          {s.name, range.min, model_.opt.values.at(s.name), range.max, s.input, s.axis, 0});
    }
  }

  Status EmitCounts(DeviceKind device) {
    for (const SelectedNode& s : selection_) {
      const ir::Node& node = graph_.node(s.node);
      if (!node.counts.empty() && device != DeviceKind::kCpu) {
        return Unimplemented(
            fmt::format("{}: a run finds how large its result is, which a plan for '{}' cannot "
                        "follow; build for the CPU, or cut the model before this node",
                        ir::DescribeNode(node), DeviceKindName(device)));
      }
      for (const std::string& symbol : node.counts)
        dims_.AddCount(symbol, graph_.symbols().at(symbol).max);
    }
    return OkStatus();
  }

  Status CheckGuards(DeviceKind device) const {
    if (device == DeviceKind::kCpu) return OkStatus();
    for (const SelectedNode& s : selection_) {
      const ir::Node& node = graph_.node(s.node);
      if (node.guards.empty()) continue;
      return Unimplemented(fmt::format(
          "{}: runs only where the condition '{}' {}, which a plan for '{}' cannot follow; build "
          "for the CPU, or fix the inputs that the condition depends on with --pin",
          ir::DescribeNode(node), graph_.value(node.guards.back().condition).name,
          node.guards.back().holds ? "holds" : "does not hold", DeviceKindName(device)));
    }
    return OkStatus();
  }

  void PlaceActivations() {
    std::vector<Lifetime> lifetimes;
    std::vector<size_t> which;
    for (size_t i = 0; i < storage_.storages.size(); ++i) {
      if (storage_.storages[i].kind != StorageKind::kActivation) continue;
      lifetimes.push_back(storage_.storages[i].lifetime);
      which.push_back(i);
    }
    const MemoryPlan memory = PlanMemory(lifetimes);
    offsets_.assign(storage_.storages.size(), 0);
    for (size_t k = 0; k < which.size(); ++k) offsets_[which[k]] = memory.offsets[k];
    plan_.activation_bytes = memory.region_bytes;
  }

  // Inputs in order, then outputs; each its own, as large as its maximum.
  Status PlaceIo() {
    for (StorageKind kind : {StorageKind::kInput, StorageKind::kOutput}) {
      for (size_t i = 0; i < storage_.storages.size(); ++i) {
        const Storage& s = storage_.storages[i];
        if (s.kind != kind) continue;
        offsets_[i] = plan_.io_bytes;
        plan_.io_bytes +=
            std::max<uint64_t>(kTensorAlignment, AlignUp(s.lifetime.size_bytes, kTensorAlignment));
      }
    }
    return OkStatus();
  }

  Result<uint32_t> TensorOf(ir::ValueId id) {
    if (!id.valid()) return plan::kNoTensor;
    if (tensor_of_[id.index()] != plan::kNoTensor) return tensor_of_[id.index()];
    const ir::Value& value = graph_.value(id);
    const uint32_t storage_index = storage_.of_value[id.index()];
    const Storage& storage = storage_.storages[storage_index];
    plan::TensorDef def;
    def.name = value.name;
    def.dtype = value.info.dtype;
    FUSEE_TRY(def.shape, dims_.AddAll(value.info.shape));
    def.capacity_bytes = storage.lifetime.size_bytes;
    switch (storage.kind) {
      case StorageKind::kConstant:
        def.region = plan::Region::kWeights;
        def.offset = weights_.Add(graph_.value(storage.root).constant.bytes());
        break;
      case StorageKind::kInput:
      case StorageKind::kOutput:
        def.region = plan::Region::kIo;
        def.offset = offsets_[storage_index];
        break;
      case StorageKind::kActivation:
      case StorageKind::kNone:
        def.region = plan::Region::kActivations;
        def.offset = offsets_[storage_index];
        break;
    }
    plan_.tensors.push_back(std::move(def));
    return tensor_of_[id.index()] = static_cast<uint32_t>(plan_.tensors.size() - 1);
  }

  Result<uint32_t> PackedTensor(const ops::PackedConstant& packed, std::string_view name) {
    plan::TensorDef def;
    def.name = fmt::format("{}.packed", name);
    def.dtype = DType::kU8;
    FUSEE_TRY(uint32_t size, dims_.Add(ir::Dim(static_cast<int64_t>(packed.bytes.size()))));
    def.shape = {size};
    def.region = plan::Region::kWeights;
    def.offset = weights_.Add(packed.bytes);
    def.capacity_bytes = packed.bytes.size();
    plan_.tensors.push_back(std::move(def));
    return static_cast<uint32_t>(plan_.tensors.size() - 1);
  }

  Status EmitStep(const SelectedNode& s) {
    const ir::Node& node = graph_.node(s.node);
    plan::Step step;
    step.op = node.op;
    step.kernel = std::string(s.kernel->id);
    step.attrs = node.attrs;
    step.sources = node.sources;
    step.tried = s.tried;
    step.device = static_cast<uint8_t>(s.kernel->device);
    step.config = s.config;
    for (const BucketChoice& choice : s.bucket_tactics)
      step.bucket_tactics.push_back({choice.bucket, std::string(choice.kernel->id), choice.config});
    step.workspace_bytes = s.workspace_bytes;
    plan_.workspace_bytes =
        std::max(plan_.workspace_bytes, AlignUp(s.workspace_bytes, kTensorAlignment));
    if (s.kernel->device == DeviceKind::kCpu)
      plan_.target.isa = std::max(plan_.target.isa, static_cast<uint8_t>(s.kernel->isa));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto packed = std::ranges::find_if(
          s.packed, [&](const ops::PackedConstant& p) { return p.input == i; });
      FUSEE_TRY(uint32_t tensor, packed != s.packed.end()
                                     ? PackedTensor(*packed, graph_.value(node.inputs[i]).name)
                                     : TensorOf(node.inputs[i]));
      step.inputs.push_back(tensor);
    }
    for (ir::ValueId id : node.outputs) {
      FUSEE_TRY(uint32_t tensor, TensorOf(id));
      step.outputs.push_back(tensor);
    }
    FUSEE_TRY(step.dims, dims_.AddAll(node.dims));
    for (const std::string& symbol : node.counts) step.counts.push_back(dims_.IndexOfCount(symbol));
    for (const ir::Guard& guard : node.guards) {
      FUSEE_TRY(const uint32_t tensor, TensorOf(guard.condition));
      step.guards.push_back({tensor, guard.holds});
    }
    plan_.steps.push_back(std::move(step));
    return OkStatus();
  }

  // Callers set memory aside for an output by what the bounds of counts give, so that must be its
  // largest size: it may not shrink as a run finds more.
  Status CheckGrows(size_t output) {
    const ir::SymShape& shape = graph_.value(graph_.outputs()[output]).info.shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      std::set<std::string> symbols;
      shape[axis].CollectSymbols(&symbols);
      if (std::ranges::none_of(symbols, [&](const auto& s) { return dims_.IsCount(s); })) continue;
      ir::SymbolValues most;
      for (const std::string& symbol : symbols) most[symbol] = graph_.symbols().at(symbol).max;
      FUSEE_TRY(const int64_t at_most, shape[axis].Evaluate(most));
      if (shape[axis].Range(graph_.symbols()).max <= at_most) continue;
      return Unimplemented(
          fmt::format("output '{}': axis {} is {}, which shrinks as a run finds more; make an "
                      "output of what it "
                      "is cut from instead",
                      graph_.output_names()[output], axis, shape[axis].ToString()));
    }
    return OkStatus();
  }

  Status EmitIo() {
    const auto channels_last = [](const std::vector<IoFormat>& formats, size_t i) {
      return !formats.empty() && formats[i].channels_last;
    };
    for (size_t i = 0; i < graph_.inputs().size(); ++i) {
      const ir::ValueId id = graph_.inputs()[i];
      FUSEE_TRY(uint32_t tensor, TensorOf(id));
      plan_.inputs.push_back(
          {graph_.value(id).name, tensor, {}, false, channels_last(model_.input_formats, i)});
      for (const ir::PinnedInput& pin : graph_.pinned_inputs()) {
        if (pin.value != id) continue;
        plan_.inputs.back().pinned.assign(pin.expected.bytes().begin(), pin.expected.bytes().end());
        plan_.inputs.back().is_pinned = true;
      }
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      FUSEE_TRY(CheckGrows(i));
      FUSEE_TRY(uint32_t tensor, TensorOf(graph_.outputs()[i]));
      plan_.outputs.push_back(
          {graph_.output_names()[i], tensor, {}, false, channels_last(model_.output_formats, i)});
    }
    return OkStatus();
  }

  Status EmitConstraint(const ir::Constraint& c) {
    FUSEE_TRY(uint32_t a, dims_.Add(c.a));
    FUSEE_TRY(uint32_t b, dims_.Add(c.b));
    for (const plan::EqualConstraint& known : plan_.constraints) {
      if (known.a == a && known.b == b) return OkStatus();
    }
    plan_.constraints.push_back({a, b, c.reason});
    return OkStatus();
  }

  Status EmitBuckets() {
    for (const ProfilePoint& point : model_.buckets) {
      plan::Bucket bucket;
      for (const SymbolSource& s : model_.symbols)
        bucket.symbol_values.push_back(point.values.at(s.name));
      std::vector<Lifetime> lifetimes;
      ir::SymbolValues values = point.values;
      ir::AddCountsAtMost(graph_, &values);
      for (const Storage& s : storage_.storages) {
        if (s.kind != StorageKind::kActivation) continue;
        FUSEE_TRY(Shape shape, ir::Evaluate(graph_.value(s.root).info.shape, values));
        Lifetime l = s.lifetime;
        l.size_bytes = static_cast<uint64_t>(
            ConstTensorView{graph_.value(s.root).info.dtype, shape, nullptr}.size_bytes());
        lifetimes.push_back(l);
      }
      bucket.arena_bytes = PlanMemory(lifetimes).region_bytes;
      plan_.buckets.push_back(std::move(bucket));
    }
    return OkStatus();
  }

  const ImportedModel& model_;
  const ir::Graph& graph_;
  const std::vector<SelectedNode>& selection_;
  plan::Plan plan_;
  DimTable dims_;
  WeightsBlob weights_;
  StorageAssignment storage_;
  std::vector<uint64_t> offsets_;    // by storage
  std::vector<uint32_t> tensor_of_;  // by value
};

// The value whose bytes this one has, through views.
ir::ValueId RootOf(const ir::Graph& graph, ir::ValueId id) {
  while (graph.value(id).producer.valid()) {
    const ir::Node& node = graph.node(graph.value(id).producer);
    const ops::OpDef* op = ops::FindOp(node.op);
    if (op == nullptr || op->kind != ops::OpKind::kView) break;
    id = node.inputs[0];
  }
  return id;
}

}  // namespace

Status SeparateOutputs(ir::Graph& graph) {
  std::set<ir::ValueId> claimed;
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const ir::ValueId root = RootOf(graph, graph.outputs()[i]);
    if (graph.value(root).producer.valid() && claimed.insert(root).second) continue;
    ir::Node copy;
    copy.op = "Copy";
    copy.inputs = {graph.outputs()[i]};
    const std::string name = graph.FreshName(graph.output_names()[i]);
    FUSEE_TRY(std::vector<ir::ValueId> ids,
              ops::AddInferredNode(graph, std::move(copy), std::span(&name, 1)));
    graph.SetOutput(i, ids[0]);
  }
  return OkStatus();
}

Result<plan::Plan> EmitPlan(const ImportedModel& model, const ir::Graph& graph,
                            const std::vector<SelectedNode>& selection,
                            const EmitOptions& options) {
  return Emitter(model, graph, selection).Run(options);
}

}  // namespace fusee::compiler
