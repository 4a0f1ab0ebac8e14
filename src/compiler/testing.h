// For this room's tests: a graph from text, emitted as a plan.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "compiler/emit.h"
#include "compiler/lower_if.h"
#include "ir/text.h"

namespace fusee::compiler {

struct Emitted {
  ImportedModel model;
  std::vector<SelectedNode> selection;
  plan::Plan plan;
};

struct EmitTextOptions {
  bool in_place = true;
  bool reference_only = false;
};

// One bucket, at every symbol's maximum. Each symbol is read from axis 0 of input 0.
inline Result<Emitted> EmitText(std::string_view text, EmitTextOptions options = {}) {
  Emitted e;
  FUSEE_TRY(e.model.graph, ir::Parse(text));
  ProfilePoint point;
  const auto found = ir::CountFinders(*e.model.graph);
  for (const auto& [name, range] : e.model.graph->symbols()) {
    if (found.contains(name)) continue;
    e.model.symbols.push_back({name, 0, 0});
    point.values[name] = range.max;
  }
  e.model.buckets = {point};
  e.model.opt = point;
  FUSEE_TRY(LowerIf(*e.model.graph));
  FUSEE_TRY(SeparateOutputs(*e.model.graph));
  FUSEE_TRY(e.selection, SelectKernels(*e.model.graph, {.max_isa = Isa::kAvx2,
                                                        .reference_only = options.reference_only}));
  FUSEE_TRY(e.plan, EmitPlan(e.model, *e.model.graph, e.selection, {.in_place = options.in_place}));
  return e;
}

}  // namespace fusee::compiler
