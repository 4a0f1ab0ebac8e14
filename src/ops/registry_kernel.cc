#include <fmt/format.h>

#include <map>

#include "ops/kernel.h"

namespace fusee::ops {

#define FUSEE_TACTIC(name) extern const KernelDef name;
#include "ops/movement/tactics.inc"
#include "ops/nn/tactics.inc"
#include "ops/norm/tactics.inc"
#include "ops/pointwise/tactics.inc"
#include "ops/quant/tactics.inc"
#include "ops/reduce/tactics.inc"
#undef FUSEE_TACTIC

namespace {

struct Table {
  std::vector<const KernelDef*> all;
  std::map<std::string_view, const KernelDef*> by_id;
  std::map<std::string_view, std::vector<const KernelDef*>> by_op;
};

const Table& GetTable() {
  static const Table* const table = [] {
    auto* t = new Table;
#define FUSEE_TACTIC(name) t->all.push_back(&name);
#include "ops/movement/tactics.inc"
#include "ops/nn/tactics.inc"
#include "ops/norm/tactics.inc"
#include "ops/pointwise/tactics.inc"
#include "ops/quant/tactics.inc"
#include "ops/reduce/tactics.inc"
#undef FUSEE_TACTIC
    for (const KernelDef* def : t->all) {
      FUSEE_CHECK(t->by_id.emplace(def->id, def).second, "two kernels of one id");
      t->by_op[def->op].push_back(def);
    }
    return t;
  }();
  return *table;
}

}  // namespace

std::span<const KernelDef* const> AllKernels() { return GetTable().all; }

std::span<const KernelDef* const> KernelsFor(std::string_view op) {
  const auto it = GetTable().by_op.find(op);
  if (it == GetTable().by_op.end()) return {};
  return it->second;
}

const KernelDef* FindKernel(std::string_view id) {
  const auto it = GetTable().by_id.find(id);
  return it == GetTable().by_id.end() ? nullptr : it->second;
}

Status RefuseTactic(const StepSpec& spec, std::string_view reason) {
  return Unimplemented(fmt::format("{}: {}", spec.op, reason));
}

Status BadStep(const StepSpec& spec, std::string_view reason) {
  return InvalidArgument(fmt::format("{}: {}", spec.op, reason));
}

Status ShapeMismatch(std::string_view op, std::string_view what, const Shape& want,
                     const Shape& got) {
  return InvalidArgument(
      fmt::format("{}: {} has shape {}, expected {}", op, what, got.ToString(), want.ToString()));
}

}  // namespace fusee::ops
