#include "ir/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <set>

namespace fusee::ir {

ValueInfo InfoOfConstant(const Tensor& tensor) {
  ValueInfo info{tensor.dtype(), ToSymShape(tensor.shape()), {}};
  if ((!IsInt(info.dtype) && info.dtype != DType::kBool) || tensor.elements() > kMaxTrackedElements)
    return info;
  std::vector<Dim> elements;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const int64_t element = IntAt(tensor.view(), i);
    if (info.dtype == DType::kU64 && element < 0) return info;  // above what a Dim holds
    elements.emplace_back(element);
  }
  info.elements = std::move(elements);
  return info;
}

// --- construction ---

ValueId Graph::NewValue(std::string name, ValueInfo info) {
  const ValueId id(static_cast<uint32_t>(values_.size()));
  name = FreshName(name);
  by_name_.emplace(name, id);
  Value value;
  value.name = std::move(name);
  value.info = std::move(info);
  values_.push_back(std::move(value));
  return id;
}

ValueId Graph::AddInput(std::string name, ValueInfo info) {
  const ValueId id = NewValue(std::move(name), std::move(info));
  inputs_.push_back(id);
  return id;
}

ValueId Graph::AddConstant(std::string name, Tensor tensor) {
  const ValueId id = NewValue(std::move(name), InfoOfConstant(tensor));
  value(id).constant = std::move(tensor);
  return id;
}

NodeId Graph::NewNode(Node node, std::span<const std::string> result_names,
                      std::span<const ValueInfo> infos) {
  FUSEE_CHECK(infos.size() == result_names.size(), "a node needs one ValueInfo per result");
  const NodeId id(static_cast<uint32_t>(nodes_.size()));
  node.outputs.assign(result_names.size(), ValueId());
  for (size_t i = 0; i < result_names.size(); ++i) {
    if (result_names[i].empty()) continue;
    node.outputs[i] = NewValue(result_names[i], infos[i]);
    value(node.outputs[i]).producer = id;
    value(node.outputs[i]).output_index = static_cast<uint32_t>(i);
  }
  nodes_.push_back(std::move(node));
  return id;
}

NodeId Graph::AddNode(Node node, std::span<const std::string> result_names,
                      std::span<const ValueInfo> infos) {
  const NodeId id = NewNode(std::move(node), result_names, infos);
  order_.push_back(id);
  return id;
}

NodeId Graph::InsertNode(NodeId before, Node node, std::span<const std::string> result_names,
                         std::span<const ValueInfo> infos) {
  const auto at = std::find(order_.begin(), order_.end(), before);
  FUSEE_CHECK(at != order_.end(), "InsertNode before a node that is not in the graph");
  const auto offset = at - order_.begin();
  const NodeId id = NewNode(std::move(node), result_names, infos);
  order_.insert(order_.begin() + offset, id);
  return id;
}

void Graph::MarkOutput(ValueId value, std::string name) {
  outputs_.push_back(value);
  output_names_.push_back(std::move(name));
}

// --- reading ---

std::optional<ValueId> Graph::FindValue(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? std::nullopt : std::optional(it->second);
}

std::vector<NodeId> Graph::Users(ValueId value) const {
  std::vector<NodeId> users;
  for (NodeId id : order_) {
    const std::vector<ValueId>& operands = node(id).inputs;
    if (std::find(operands.begin(), operands.end(), value) != operands.end()) users.push_back(id);
  }
  return users;
}

bool Graph::IsOutput(ValueId value) const {
  return std::find(outputs_.begin(), outputs_.end(), value) != outputs_.end();
}

bool Graph::HasSingleUse(ValueId value) const {
  int64_t uses =
      std::count(outputs_.begin(), outputs_.end(), value) * 2;  // an output alone disqualifies
  for (NodeId id : order_)
    uses += std::count(node(id).inputs.begin(), node(id).inputs.end(), value);
  return uses == 1;
}

std::vector<uint32_t> Graph::UseCounts() const {
  std::vector<uint32_t> counts(values_.size(), 0);
  for (NodeId id : order_) {
    for (ValueId operand : node(id).inputs) {
      if (operand.valid()) ++counts[operand.index()];
    }
    for (const Guard& guard : node(id).guards) ++counts[guard.condition.index()];
  }
  for (ValueId output : outputs_) ++counts[output.index()];
  return counts;
}

// --- rewriting ---

void Graph::ReplaceAllUses(ValueId from, ValueId to) {
  for (NodeId id : order_) {
    std::replace(node(id).inputs.begin(), node(id).inputs.end(), from, to);
    for (Guard& guard : node(id).guards) {
      if (guard.condition == from) guard.condition = to;
    }
  }
  std::replace(outputs_.begin(), outputs_.end(), from, to);
}

void Graph::SetOutput(size_t i, ValueId to) {
  FUSEE_CHECK(i < outputs_.size(), "SetOutput of an output that does not exist");
  outputs_[i] = to;
}

void Graph::Rename(ValueId id, std::string name) {
  FUSEE_CHECK(!name.empty() && !by_name_.contains(name), "Rename to a name that is empty or taken");
  by_name_.erase(value(id).name);
  by_name_.emplace(name, id);
  value(id).name = std::move(name);
}

void Graph::ReplaceUses(std::span<const ValueId> replacement) {
  FUSEE_CHECK(replacement.size() == values_.size(), "ReplaceUses needs one entry per value");
  const auto follow = [&](ValueId id) {
    while (id.valid() && replacement[id.index()].valid()) id = replacement[id.index()];
    return id;
  };
  for (NodeId id : order_) {
    for (ValueId& operand : node(id).inputs) operand = follow(operand);
    for (Guard& guard : node(id).guards) guard.condition = follow(guard.condition);
  }
  for (ValueId& output : outputs_) output = follow(output);
}

void Graph::ReplaceWithConstant(ValueId id, Tensor tensor) {
  Value& v = value(id);
  FUSEE_CHECK(v.producer.valid(), "ReplaceWithConstant of a value without producer");
  node(v.producer).outputs[v.output_index] = ValueId();
  v.producer = NodeId();
  v.output_index = 0;
  v.info = InfoOfConstant(tensor);
  v.constant = std::move(tensor);
}

void Graph::KillNode(NodeId id) {
  Node& dead = node(id);
  dead.alive = false;
  for (ValueId result : dead.outputs) {
    if (!result.valid()) continue;
    value(result).alive = false;
    by_name_.erase(value(result).name);
  }
  dead.regions.clear();
}

void Graph::EraseNode(NodeId id) { EraseNodes(std::span(&id, 1)); }

void Graph::EraseNodes(std::span<const NodeId> ids) {
  for (NodeId id : ids) {
    FUSEE_CHECK(node(id).alive, "a node is erased twice");
    KillNode(id);
  }
  size_t left = ids.size();
  for (; left > 0 && !node(order_.back()).alive; --left) order_.pop_back();
  if (left > 0) std::erase_if(order_, [this](NodeId id) { return !node(id).alive; });
#ifdef FUSEE_DCHECKS
  const std::vector<uint32_t> counts = UseCounts();
  for (NodeId id : ids) {
    for (ValueId result : node(id).outputs) {
      FUSEE_DCHECK(!result.valid() || counts[result.index()] == 0,
                   "an erased node's result is in use");
    }
  }
#endif
}

void Graph::EraseConstant(ValueId id) {
  Value& v = value(id);
  FUSEE_CHECK(v.alive && v.constant.present(), "EraseConstant of a value that is no constant");
  v.alive = false;
  v.constant = Tensor();
  by_name_.erase(v.name);
}

std::string Graph::FreshName(std::string_view hint) const {
  if (hint.empty()) hint = "value";
  if (!by_name_.contains(hint)) return std::string(hint);
  const auto taken = [&](uint64_t n) { return by_name_.contains(fmt::format("{}.{}", hint, n)); };
  // Galloping, then halving: a model whose nodes all share one name costs a logarithm each, not a
  // scan each.
  uint64_t high = 1;
  while (taken(high)) high *= 2;
  uint64_t low = high / 2;  // taken, or 0
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (taken(middle) ? low : high) = middle;
  }
  return fmt::format("{}.{}", hint, high);
}

void CollectSizes(const Graph& graph, const Node& node, std::set<std::string>* symbols) {
  for (const Dim& d : node.dims) d.CollectSymbols(symbols);
  for (ValueId id : node.outputs) {
    if (!id.valid()) continue;
    const ValueInfo& info = graph.value(id).info;
    for (const Dim& d : info.shape) d.CollectSymbols(symbols);
    if (!info.elements) continue;
    for (const Dim& d : *info.elements) d.CollectSymbols(symbols);
  }
  for (const auto& region : node.regions) {
    for (const NodeId id : region->order()) CollectSizes(*region, region->node(id), symbols);
  }
}

namespace {

// The nodes that find what sizes this one.
std::set<NodeId> FindersFor(const Graph& graph,
                            const std::map<std::string, NodeId, std::less<>>& finders,
                            const Node& node) {
  std::set<NodeId> found;
  if (finders.empty()) return found;
  std::set<std::string> symbols;
  CollectSizes(graph, node, &symbols);
  for (const std::string& symbol : symbols) {
    if (const auto it = finders.find(symbol); it != finders.end()) found.insert(it->second);
  }
  return found;
}

}  // namespace

std::map<std::string, NodeId, std::less<>> CountFinders(const Graph& graph) {
  std::map<std::string, NodeId, std::less<>> finders;
  for (const NodeId id : graph.order()) {
    for (const std::string& symbol : graph.node(id).counts) finders.emplace(symbol, id);
  }
  return finders;
}

void AddCountsAtMost(const Graph& graph, SymbolValues* values) {
  for (const auto& [symbol, finder] : CountFinders(graph)) {
    if (const auto it = graph.symbols().find(symbol); it != graph.symbols().end())
      (*values)[symbol] = it->second.max;
  }
}

bool DependsOnCounts(const Graph& graph, const std::map<std::string, NodeId, std::less<>>& finders,
                     const Node& node) {
  return std::ranges::any_of(FindersFor(graph, finders, node),
                             [&](NodeId id) { return &graph.node(id) != &node; });
}

Status Graph::Sort() {
  std::vector<uint32_t> missing(nodes_.size(), 0);  // operands not yet computed
  std::vector<std::vector<uint32_t>> readers(
      nodes_.size());  // producer -> positions of its readers
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>>
      ready;  // earliest position first: stable
  const auto finders = CountFinders(*this);
  for (uint32_t position = 0; position < order_.size(); ++position) {
    const NodeId id = order_[position];
    const auto read = [&](ValueId operand) {
      if (!operand.valid() || !value(operand).producer.valid()) return;
      readers[value(operand).producer.index()].push_back(position);
      ++missing[id.index()];
    };
    for (ValueId operand : node(id).inputs) read(operand);
    for (const Guard& guard : node(id).guards) read(guard.condition);
    for (const NodeId finder : FindersFor(*this, finders, node(id))) {
      if (finder == id) continue;
      readers[finder.index()].push_back(position);
      ++missing[id.index()];
    }
    if (missing[id.index()] == 0) ready.push(position);
  }
  std::vector<NodeId> sorted;
  sorted.reserve(order_.size());
  while (!ready.empty()) {
    const NodeId id = order_[ready.top()];
    ready.pop();
    sorted.push_back(id);
    for (uint32_t reader : readers[id.index()]) {
      if (--missing[order_[reader].index()] == 0) ready.push(reader);
    }
  }
  if (sorted.size() != order_.size()) {
    for (NodeId id : order_) {
      if (missing[id.index()] > 0) {
        return InvalidArgument(
            fmt::format("{} lies on a cycle or reads one; a graph must have no cycles",
                        DescribeNode(node(id))));
      }
    }
  }
  order_ = std::move(sorted);
  return OkStatus();
}

void Graph::SetOrder(std::vector<NodeId> order) {
  FUSEE_CHECK(order.size() == order_.size(), "SetOrder needs each live node once");
  order_ = std::move(order);
}

std::string DescribeNode(const Node& node) {
  if (node.sources.empty()) return fmt::format("node ({})", node.op);
  constexpr size_t kMaxNamed = 4;
  std::string names;
  for (size_t i = 0; i < node.sources.size() && i < kMaxNamed; ++i) {
    names += fmt::format("{}'{}'", i == 0 ? "" : " + ", node.sources[i]);
  }
  if (node.sources.size() > kMaxNamed)
    names += fmt::format(" + {} more", node.sources.size() - kMaxNamed);
  return fmt::format("node {} ({})", names, node.op);
}

std::unique_ptr<Graph> Clone(const Graph& graph) {
  auto copy = std::make_unique<Graph>();
  copy->name = graph.name;
  copy->values_ = graph.values_;
  copy->order_ = graph.order_;
  copy->inputs_ = graph.inputs_;
  copy->outputs_ = graph.outputs_;
  copy->output_names_ = graph.output_names_;
  copy->by_name_ = graph.by_name_;
  copy->symbols_ = graph.symbols_;
  copy->constraints_ = graph.constraints_;
  copy->pinned_inputs_ = graph.pinned_inputs_;
  for (const Node& n : graph.nodes_) {
    Node& c = copy->nodes_.emplace_back();
    c.op = n.op;
    c.inputs = n.inputs;
    c.outputs = n.outputs;
    c.attrs = n.attrs;
    c.dims = n.dims;
    c.counts = n.counts;
    for (const auto& region : n.regions) c.regions.push_back(Clone(*region));
    c.guards = n.guards;
    c.sources = n.sources;
    c.alive = n.alive;
  }
  return copy;
}

}  // namespace fusee::ir
