// The intermediate representation: a graph of values (single assignment) and nodes in topological
// order.
//
// What is in a node: an operator name from the ops table ("Conv"), operands, results, static
// attributes (tensor/attrs.h), symbolic attributes ("dims": expressions that a kernel gets
// evaluated at every run), nested regions (If, Loop), and the ONNX nodes it stands for. Operands
// that only say how to compute (axes, pads, a target shape) are attributes here, not operands: the
// importer moves them.
//
// Ownership: a Graph owns everything in it; ids are indices and stay valid while the graph lives,
// erased ones are never reused. References to a Value or Node stay valid as well, also while others
// are added. Not thread-safe.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/strong_id.h"
#include "ir/dim.h"
#include "tensor/attrs.h"
#include "tensor/tensor.h"

namespace fusee::ir {

using ValueId = StrongId<struct ValueTag>;
using NodeId = StrongId<struct NodeTag>;

// Longest integer tensor whose elements are tracked symbolically (shapes, axes, pads).
inline constexpr int64_t kMaxTrackedElements = 256;

// dtype and shape of a value, and, for a small integer tensor, what is known of its elements: the
// currency of shape inference.
struct ValueInfo {
  DType dtype = DType::kInvalid;
  SymShape shape;
  // When set: element i of the flattened tensor is (*elements)[i]. Only integer dtypes and bool.
  std::optional<std::vector<Dim>> elements;
};

struct Value {
  std::string name;  // unique in the graph; ONNX's name where one exists
  ValueInfo info;
  Tensor constant;  // present() when the value is a constant (initialiser or folded)
  NodeId producer;  // invalid for graph inputs and constants
  uint32_t output_index = 0;
  bool alive = true;
};

class Graph;

// The node runs only where this bool of one element, made before it, is true (holds) or false.
struct Guard {
  ValueId condition;
  bool holds = true;
  friend bool operator==(const Guard&, const Guard&) = default;
};

struct Node {
  std::string op;
  std::vector<ValueId> inputs;   // an invalid id is an absent optional operand
  std::vector<ValueId> outputs;  // an invalid id is a result nobody wants
  Attrs attrs;
  std::vector<Dim> dims;  // symbolic attributes, in the operator's documented order
  // Symbols whose values this node finds when it runs (how many elements are not zero), in the
  // operator's documented order. Each is found by one node and has a range from 0 to its bound in
  // Graph::symbols; results of this node and whatever comes after it may be sized by them.
  std::vector<std::string> counts;
  // Of If: one graph for each course, whose inputs are the operands behind the condition and whose
  // results are the node's. They name the symbols of the graph around them.
  std::vector<std::unique_ptr<Graph>> regions;
  // Only after every pass (compiler/lower_if.h): all must hold for the node to run, the outermost
  // first. What it would have made has no meaning where they do not.
  std::vector<Guard> guards;
  std::vector<std::string>
      sources;  // names of the ONNX nodes it stands for, for reports and errors
  bool alive = true;
};

// A run-time check: both expressions must evaluate equal (two inputs whose dimensions must agree).
struct Constraint {
  Dim a, b;
  std::string reason;  // "node 'Add_3' broadcasts 'mask' dimension 1 with 'ids' dimension 1"
};

// A graph input that must hold exactly these bytes at run time, because the graph was specialised
// on them.
struct PinnedInput {
  ValueId value;
  Tensor expected;
};

class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // --- construction ---
  // Names that exist already get a suffix ".1", ".2", ... here as well.
  ValueId AddInput(std::string name, ValueInfo info);
  // Small integer constants get their elements tracked (ValueInfo::elements).
  ValueId AddConstant(std::string name, Tensor tensor);
  // Appends a node, with one fresh value per result name; an empty result name gives an invalid id.
  // infos has one entry per result. Names that exist already get a suffix ".1", ".2", ...
  NodeId AddNode(Node node, std::span<const std::string> result_names,
                 std::span<const ValueInfo> infos);
  // The same, placed right before `before` in the order.
  NodeId InsertNode(NodeId before, Node node, std::span<const std::string> result_names,
                    std::span<const ValueInfo> infos);
  void MarkOutput(ValueId value, std::string name);

  // --- reading ---
  const Value& value(ValueId id) const { return values_[id.index()]; }
  Value& value(ValueId id) { return values_[id.index()]; }
  const Node& node(NodeId id) const { return nodes_[id.index()]; }
  Node& node(NodeId id) { return nodes_[id.index()]; }
  // Live nodes in execution order.
  const std::vector<NodeId>& order() const { return order_; }
  std::span<const ValueId> inputs() const { return inputs_; }
  std::span<const ValueId> outputs() const { return outputs_; }
  std::span<const std::string> output_names() const { return output_names_; }
  size_t value_count() const { return values_.size(); }  // includes erased ones; ids run below this
  std::optional<ValueId> FindValue(std::string_view name) const;
  // Nodes of the top level that read the value, in order; a node that reads it twice appears once.
  // Cost: O(nodes).
  std::vector<NodeId> Users(ValueId value) const;
  bool IsOutput(ValueId value) const;
  // True when exactly one operand slot of one node reads the value and it is no graph output.
  bool HasSingleUse(ValueId value) const;
  // Use counts of all values at once (operand slots, guards and graph outputs), for passes that ask
  // often. Cost: O(nodes).
  std::vector<uint32_t> UseCounts() const;

  // --- rewriting ---
  // Every operand slot, guard and graph output that names `from` names `to` instead. Output names
  // stay.
  void ReplaceAllUses(ValueId from, ValueId to);
  // The same for many values at once, in one sweep: replacement[v] is an invalid id (keep v) or
  // what replaces v; chains are followed. Precondition: size value_count(), no cycles. Cost:
  // O(nodes).
  void ReplaceUses(std::span<const ValueId> replacement);
  // Graph output i is `to` from now on; its name stays.
  void SetOutput(size_t i, ValueId to);
  // Precondition: no other value has this name.
  void Rename(ValueId id, std::string name);
  // Turns a node's result into a constant; the node loses that result.
  void ReplaceWithConstant(ValueId value, Tensor tensor);
  // Removes a node whose results have no uses. Precondition: so. Its values die.
  void EraseNode(NodeId id);
  // The same for many nodes, which may use each other's results; one sweep. Cost: O(nodes).
  void EraseNodes(std::span<const NodeId> ids);
  // Forgets a constant that nothing uses. Precondition: so.
  void EraseConstant(ValueId id);
  // A name not used yet, starting with hint.
  std::string FreshName(std::string_view hint) const;
  // Recomputes order() as a stable topological order. Errors: kInvalidArgument on a cycle, naming a
  // node in it.
  Status Sort();
  // Precondition: the live nodes, each once.
  void SetOrder(std::vector<NodeId> order);

  // --- symbols ---
  SymbolRanges& symbols() { return symbols_; }
  const SymbolRanges& symbols() const { return symbols_; }
  std::vector<Constraint>& constraints() { return constraints_; }
  const std::vector<Constraint>& constraints() const { return constraints_; }
  std::vector<PinnedInput>& pinned_inputs() { return pinned_inputs_; }
  const std::vector<PinnedInput>& pinned_inputs() const { return pinned_inputs_; }

  std::string name;

 private:
  ValueId NewValue(std::string name, ValueInfo info);
  NodeId NewNode(Node node, std::span<const std::string> result_names,
                 std::span<const ValueInfo> infos);
  void KillNode(NodeId id);
  friend std::unique_ptr<Graph> Clone(const Graph& graph);

  // Deques: a reference to a value or node stays good while others are added.
  std::deque<Value> values_;
  std::deque<Node> nodes_;
  std::vector<NodeId> order_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  std::vector<std::string> output_names_;
  std::map<std::string, ValueId, std::less<>> by_name_;
  SymbolRanges symbols_;
  std::vector<Constraint> constraints_;
  std::vector<PinnedInput> pinned_inputs_;
};

// Symbols that size the node: those of its symbolic attributes, of its results' shapes and
// elements, and of the nodes in its regions.
void CollectSizes(const Graph& graph, const Node& node, std::set<std::string>* symbols);

// Which node finds each symbol that only a run tells (Node::counts).
std::map<std::string, NodeId, std::less<>> CountFinders(const Graph& graph);

// Adds these symbols at their bounds, so that sizes evaluate to the most they may be.
void AddCountsAtMost(const Graph& graph, SymbolValues* values);

// Whether the node is sized by a symbol that another node finds (CollectSizes). finders: of
// CountFinders.
bool DependsOnCounts(const Graph& graph, const std::map<std::string, NodeId, std::less<>>& finders,
                     const Node& node);

// What is known of a constant: dtype, shape, and the elements of a small integer tensor.
ValueInfo InfoOfConstant(const Tensor& tensor);

// "node 'attn/Softmax' (Softmax)": how every message names a node. A fused node names all its
// sources.
std::string DescribeNode(const Node& node);

// A deep copy (constants share their bytes).
std::unique_ptr<Graph> Clone(const Graph& graph);

// Checks the invariants: single assignment, operands defined before use, ids in range, names
// unique, live values have a dtype, constants' shapes equal their info. Errors: kInternal naming
// the node and the rule.
Status Verify(const Graph& graph);

}  // namespace fusee::ir
