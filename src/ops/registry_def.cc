#include <map>

#include "ops/op_def.h"

namespace fusee::ops {

// Declares Define<Op>() of every family.
#define FUSEE_OP(Name) OpDef Define##Name();
#include "ops/control/ops.inc"
#include "ops/loss/ops.inc"
#include "ops/movement/ops.inc"
#include "ops/nn/ops.inc"
#include "ops/norm/ops.inc"
#include "ops/pointwise/ops.inc"
#include "ops/quant/ops.inc"
#include "ops/recurrent/ops.inc"
#include "ops/reduce/ops.inc"
#include "ops/selection/ops.inc"
#include "ops/signal/ops.inc"
#include "ops/vision/ops.inc"
#undef FUSEE_OP

namespace {

struct Table {
  std::vector<OpDef> ops;
  std::map<std::string_view, const OpDef*> by_name;
  std::multimap<std::pair<std::string_view, std::string_view>, const ImportRule*> rules;
};

Table BuildTable() {
  Table table;
#define FUSEE_OP(Name) table.ops.push_back(Define##Name());
#include "ops/control/ops.inc"
#include "ops/loss/ops.inc"
#include "ops/movement/ops.inc"
#include "ops/nn/ops.inc"
#include "ops/norm/ops.inc"
#include "ops/pointwise/ops.inc"
#include "ops/quant/ops.inc"
#include "ops/recurrent/ops.inc"
#include "ops/reduce/ops.inc"
#include "ops/selection/ops.inc"
#include "ops/signal/ops.inc"
#include "ops/vision/ops.inc"
#undef FUSEE_OP
  return table;
}

const Table& GetTable() {
  static const Table* const table = [] {
    auto* t = new Table(BuildTable());
    for (const OpDef& op : t->ops) {
      FUSEE_CHECK(t->by_name.emplace(op.name, &op).second, "two operators of one name");
      for (const ImportRule& rule : op.imports)
        t->rules.emplace(std::pair(rule.domain, rule.onnx_op), &rule);
    }
    return t;
  }();
  return *table;
}

}  // namespace

std::span<const OpDef> AllOps() { return GetTable().ops; }

const OpDef* FindOp(std::string_view name) {
  const auto it = GetTable().by_name.find(name);
  return it == GetTable().by_name.end() ? nullptr : it->second;
}

const ImportRule* FindImportRule(std::string_view domain, std::string_view onnx_op, int opset) {
  const ImportRule* best = nullptr;
  const auto [first, last] = GetTable().rules.equal_range(std::pair(domain, onnx_op));
  for (auto it = first; it != last; ++it) {
    const ImportRule* rule = it->second;
    if (rule->since <= opset && opset <= rule->until &&
        (best == nullptr || rule->since > best->since))
      best = rule;
  }
  return best;
}

bool HasImportRule(std::string_view domain, std::string_view onnx_op) {
  return GetTable().rules.contains(std::pair(domain, onnx_op));
}

}  // namespace fusee::ops
