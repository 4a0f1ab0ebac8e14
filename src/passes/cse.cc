// Nodes that compute the same thing become one; so do small equal constants.
//
//   %a = Relu(%x)                           %a = Relu(%x)
//   %b = Relu(%x)                     ->    %c = Add(%a, %a)
//   %c = Add(%a, %b)
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "ops/op_def.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

// Larger constants are rarely equal and cost a comparison of all their bytes.
constexpr size_t kMaxConstantBytes = 4096;

void AppendSized(std::string* key, std::string_view text) {
  *key += fmt::format("{}:", text.size());
  *key += text;
}

void AppendAttr(std::string* key, const AttrValue& value) {
  *key += static_cast<char>('0' + value.index());
  std::visit(
      [key](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          AppendSized(key, v);
        } else if constexpr (std::is_arithmetic_v<T>) {
          key->append(reinterpret_cast<const char*>(&v), sizeof(v));
        } else {
          AppendSized(key, {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(v[0])});
        }
      },
      value);
}

// Equal keys: same operator, attributes and operands. Bytes, not text, so that -0.0 and 0.0 stay
// apart.
std::string KeyOf(const ir::Node& node, const std::vector<ir::ValueId>& replacement) {
  std::string key;
  AppendSized(&key, node.op);
  for (ir::ValueId operand : node.inputs) {
    if (operand.valid() && replacement[operand.index()].valid())
      operand = replacement[operand.index()];
    key += operand.valid() ? fmt::format("%{},", operand.index()) : "_,";
  }
  for (const auto& [name, value] : node.attrs.values()) {
    AppendSized(&key, name);
    AppendAttr(&key, value);
  }
  for (const ir::Dim& d : node.dims) AppendSized(&key, d.ToString());
  return key;
}

bool HasUnknownDim(const ir::Node& node) {
  for (const ir::Dim& d : node.dims) {
    if (d.is_unknown()) return true;
  }
  return false;
}

void MergeConstants(const ir::Graph& graph, std::vector<ir::ValueId>* replacement) {
  std::map<std::string, ir::ValueId> seen;
  for (uint32_t i = 0; i < graph.value_count(); ++i) {
    const ir::Value& v = graph.value(ir::ValueId(i));
    if (!v.alive || !v.constant.present() || v.constant.bytes().size() > kMaxConstantBytes)
      continue;
    if (graph.IsOutput(ir::ValueId(i))) continue;
    std::string key = Describe(v.constant.dtype(), v.constant.shape());
    key.append(reinterpret_cast<const char*>(v.constant.bytes().data()), v.constant.bytes().size());
    const auto [it, fresh] = seen.emplace(std::move(key), ir::ValueId(i));
    if (!fresh) (*replacement)[i] = it->second;
  }
}

// Why the results of `node` cannot be those of `first`; empty when they can.
std::string_view WhyNotMerge(const ir::Graph& graph, const ir::Node& first, const ir::Node& node) {
  if (first.outputs.size() != node.outputs.size()) return "another number of results is wanted";
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (!node.outputs[i].valid()) continue;
    if (!first.outputs[i].valid()) return "the first leaves out a result";
    const std::string_view reason = WhyNotForward(graph, node.outputs[i], first.outputs[i]);
    if (!reason.empty()) return reason;
  }
  return "";
}

}  // namespace

Result<PassOutcome> cse(ir::Graph& graph, PassContext& context) {
  std::vector<ir::ValueId> replacement(graph.value_count());
  MergeConstants(graph, &replacement);
  std::map<std::string, ir::NodeId> seen;
  std::vector<ir::NodeId> dead;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    const ops::OpDef* op = ops::FindOp(node.op);
    if (op == nullptr || !op->pure || !node.regions.empty() || HasUnknownDim(node) ||
        !node.counts.empty())
      continue;
    const auto [it, fresh] = seen.emplace(KeyOf(node, replacement), id);
    if (fresh) continue;
    ir::Node& first = graph.node(it->second);
    const std::string_view reason = WhyNotMerge(graph, first, node);
    if (!reason.empty()) {
      context.Declined(fmt::format("{} computed twice: {}", node.op, reason),
                       JoinSources({&first, &node}));
      continue;
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (!node.outputs[i].valid()) continue;
      replacement[node.outputs[i].index()] = first.outputs[i];
      // At once, so that the next merge sees which values are outputs.
      for (size_t k = 0; k < graph.outputs().size(); ++k) {
        if (graph.outputs()[k] == node.outputs[i]) graph.SetOutput(k, first.outputs[i]);
      }
    }
    first.sources = JoinSources({&first, &node});
    context.Made(fmt::format("merged equal {}", node.op), first.sources);
    dead.push_back(id);
  }
  const bool changed = std::any_of(replacement.begin(), replacement.end(),
                                   [](ir::ValueId id) { return id.valid(); });
  graph.ReplaceUses(replacement);
  graph.EraseNodes(dead);
  return PassOutcome{changed};
}

}  // namespace fusee::passes::pass
