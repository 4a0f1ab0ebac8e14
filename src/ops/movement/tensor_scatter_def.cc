// TensorScatter: a cache with `update` written over it along the sequence axis, from write_indices
// of each batch item on (0 without them). Spelled as ScatterElements of positions; mode "circular"
// takes them modulo the cache's length, in "linear" one beyond the end is an error of the run.
#include <fmt/format.h>

#include "ops/nn/speller_def.h"

namespace fusee::ops {
namespace {

Status CheckShapes(ImportContext& c, size_t axis) {
  const ir::SymShape& cache = c.info(0).shape;
  const ir::SymShape& update = c.info(1).shape;
  if (c.info(1).dtype != c.info(0).dtype || update.size() != cache.size())
    return c.Error("past_cache and update differ in type or rank");
  for (size_t i = 0; i < cache.size(); ++i) {
    const ir::DimRange slack = (cache[i] - update[i]).Range(c.graph().symbols());
    if (slack.max < 0 || (i != axis && slack.min > 0)) {
      return c.Error(fmt::format("update {} does not fit past_cache {} along axis {}",
                                 ir::ToString(update), ir::ToString(cache), axis));
    }
    // ScatterElements would take a part of the other axes too.
    if (i != axis && !(cache[i] == update[i])) {
      c.graph().constraints().push_back(
          {cache[i], update[i],
           fmt::format("node '{}': sizes of past_cache and update must agree on axis {}",
                       c.node().DisplayName(), i)});
    }
  }
  if (!c.has_input(2)) return OkStatus();
  if (c.rank(2) != 1 || c.info(2).dtype != DType::kI64)
    return c.Error("write_indices should be i64 of [batch]");
  return OkStatus();
}

Status ImportTensorScatter(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1))
    return c.Error("operands past_cache and update are required");
  FUSEE_TRY(const int64_t attribute, c.Int("axis", -2));
  FUSEE_TRY(const std::string mode, c.Str("mode", "linear"));
  FUSEE_TRY(const int axis, c.Axis(attribute, c.rank(0)));
  if (axis == 0) return c.Error("axis is 0, which is the batch");
  if (mode != "linear" && mode != "circular")
    return c.Error(fmt::format("mode is '{}', expected linear or circular", mode));
  FUSEE_TRY(CheckShapes(c, static_cast<size_t>(axis)));
  const ir::SymShape update = c.info(1).shape;
  ir::SymShape along(update.size(), 1), of_batch(update.size(), 1);
  along[static_cast<size_t>(axis)] = update[static_cast<size_t>(axis)];
  of_batch[0] = update[0];
  Speller s(c);
  ir::ValueId position = s.Reshape(s.Iota(update[static_cast<size_t>(axis)]), along);
  if (c.has_input(2)) position = s.Add(position, s.Reshape(c.input(2), of_batch));
  if (mode == "circular")
    position = s.Op("Mod", {position, s.SizeOf(c.input(0), axis)}, {{"fmod", int64_t{0}}});
  const ir::ValueId indices = s.Expand(position, update);
  FUSEE_TRY(s.status());
  return c.EmitAs("ScatterElements", {c.input(0), indices, c.input(1)},
                  {{"axis", int64_t{axis}}, {"reduction", std::string("none")}}, {});
}

}  // namespace

OpDef DefineTensorScatter() {
  return {.name = "TensorScatter",
          .imports = {{"TensorScatter", 24, 1 << 20, ImportTensorScatter}}};
}

}  // namespace fusee::ops
