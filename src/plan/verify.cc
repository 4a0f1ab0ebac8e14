#include "plan/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "base/checked_math.h"
#include "plan/dims.h"
#include "plan/header.h"
#include "tensor/tensor.h"

namespace fusee::plan {
namespace {

constexpr int64_t kNever = -2;      // of a first or last use, or a writing step
constexpr int64_t kBeforeAll = -1;  // the "step" that writes model inputs

// Which tensor's bytes each tensor reads (itself unless a view), and when they are alive, in step
// numbers.
struct Liveness {
  std::vector<int64_t>
      written;  // kBeforeAll for inputs, weights and state; kNever for views and unused tensors
  std::vector<int64_t> first_use;  // kNever: unused
  std::vector<int64_t> last_use;   // steps.size() for outputs; for a storage, of its views too
  std::vector<uint32_t> storage;   // kNoTensor for an unused, unwritten tensor
};

template <typename... Args>
Status Bad(fmt::format_string<Args...> format, Args&&... args) {
  return InvalidArgument("plan: " + fmt::format(format, std::forward<Args>(args)...));
}

std::string Name(const Plan& plan, uint32_t tensor) {
  return fmt::format("tensor {} '{}'", tensor, plan.tensors[tensor].name);
}
std::string StepName(const Plan& plan, size_t step) {
  return fmt::format("step {} '{}'", step, plan.steps[step].op);
}

Status CheckLimit(std::string_view what, size_t count, size_t limit) {
  if (count <= limit) return OkStatus();
  return ResourceExhausted(fmt::format("plan: {} {}, at most {} are accepted", count, what, limit));
}

Status CheckCounts(const Plan& plan) {
  FUSEE_TRY(CheckLimit("symbols", plan.symbols.size(), kMaxSymbols));
  FUSEE_TRY(CheckLimit("counts", plan.counts.size(), kMaxCounts));
  FUSEE_TRY(CheckLimit("dimension expressions", plan.dims.size(), kMaxDims));
  FUSEE_TRY(CheckLimit("tensors", plan.tensors.size(), kMaxTensors));
  FUSEE_TRY(CheckLimit("steps", plan.steps.size(), kMaxSteps));
  FUSEE_TRY(CheckLimit("inputs", plan.inputs.size(), kMaxIo));
  FUSEE_TRY(CheckLimit("outputs", plan.outputs.size(), kMaxIo));
  FUSEE_TRY(CheckLimit("buckets", plan.buckets.size(), kMaxBuckets));
  FUSEE_TRY(CheckLimit("constraints", plan.constraints.size(), kMaxDims));
  for (uint64_t bytes :
       {plan.activation_bytes, plan.io_bytes, plan.state_bytes, plan.workspace_bytes}) {
    FUSEE_TRY(CheckLimit("bytes in a region", bytes, kMaxRegionBytes));
  }
  return OkStatus();
}

Status CheckDims(const Plan& plan) {
  for (size_t i = 0; i < plan.dims.size(); ++i) {
    const DimExpr& e = plan.dims[i];
    if (e.op == DimOp::kConstant) continue;
    if (e.op == DimOp::kCount) {
      if (e.a < 0 || e.a >= static_cast<int64_t>(plan.counts.size()) ||
          e.b != plan.counts[static_cast<size_t>(e.a)].max) {
        return Bad("dimension expression {}: count {} of {}, at most {}, is none of the plan's", i,
                   e.a, plan.counts.size(), e.b);
      }
      continue;
    }
    const auto limit = static_cast<int64_t>(e.op == DimOp::kSymbol ? plan.symbols.size() : i);
    const bool binary = e.op != DimOp::kSymbol;
    if (e.op > DimOp::kMax || e.a < 0 || e.a >= limit || (binary && (e.b < 0 || e.b >= limit))) {
      return Bad("dimension expression {}: operation {} of {} and {}, expected operands in [0, {})",
                 i, static_cast<int>(e.op), e.a, e.b, limit);
    }
  }
  for (const EqualConstraint& c : plan.constraints) {
    if (c.a >= plan.dims.size() || c.b >= plan.dims.size())
      return Bad("constraint '{}' names no dimension", c.reason);
  }
  return OkStatus();
}

Result<uint64_t> RegionBytes(const Plan& plan, Region region) {
  switch (region) {
    case Region::kWeights: return uint64_t{plan.weights.size()};
    case Region::kActivations: return plan.activation_bytes;
    case Region::kIo: return plan.io_bytes;
    case Region::kState: return plan.state_bytes;
    case Region::kWorkspace: break;  // scratch belongs to steps, not to tensors
  }
  return Bad("region {} holds no tensors", static_cast<int>(region));
}

Status CheckTensor(const Plan& plan, uint32_t index) {
  const TensorDef& t = plan.tensors[index];
  if (BitsPerElement(t.dtype) == 0)
    return Bad("{}: unknown dtype {}", Name(plan, index), static_cast<int>(t.dtype));
  if (t.shape.size() > kMaxRank)
    return Bad("{}: rank {} above {}", Name(plan, index), t.shape.size(), kMaxRank);
  if (t.name.size() > kMaxNameBytes)
    return Bad("tensor {}: name of {} bytes", index, t.name.size());
  for (uint32_t d : t.shape) {
    if (d >= plan.dims.size())
      return Bad("{}: dimension index {} of {}", Name(plan, index), d, plan.dims.size());
  }
  FUSEE_TRY(const uint64_t region_bytes, RegionBytes(plan, t.region));
  uint64_t end = 0;
  if (t.offset % kTensorAlignment != 0 || !CheckedAdd(t.offset, t.capacity_bytes, &end) ||
      end > region_bytes) {
    return Bad("{}: {} bytes at offset {}, expected a multiple of {} within the region's {} bytes",
               Name(plan, index), t.capacity_bytes, t.offset, kTensorAlignment, region_bytes);
  }
  return OkStatus();
}

// Sizes at the ends of the profile fit; what lies between is checked again at each run.
Status CheckCapacities(const Plan& plan) {
  std::vector<int64_t> values(plan.dims.size());
  for (ProfilePoint point : {ProfilePoint::kMin, ProfilePoint::kOpt, ProfilePoint::kMax}) {
    FUSEE_TRY(EvaluateDims(plan.dims, SymbolValues(plan, point), values));
    for (uint32_t i = 0; i < plan.tensors.size(); ++i) {
      const TensorDef& t = plan.tensors[i];
      FUSEE_TRY(const Shape shape, ShapeOf(t, values));
      const ConstTensorView view{t.dtype, shape, nullptr};
      if (static_cast<uint64_t>(view.size_bytes()) > t.capacity_bytes) {
        return Bad("{}: {} needs {} bytes, only {} are set aside", Name(plan, i),
                   Describe(t.dtype, shape), view.size_bytes(), t.capacity_bytes);
      }
    }
  }
  return OkStatus();
}

Status CheckSymbolBinding(const Plan& plan, size_t index, std::span<const int64_t> values_at_min) {
  const Symbol& s = plan.symbols[index];
  const TensorDef& t = plan.tensors[plan.inputs[s.input].tensor];
  if (s.axis >= 0) {
    if (static_cast<size_t>(s.axis) >= t.shape.size())
      return Bad("symbol '{}': input has no axis {}", s.name, s.axis);
    const DimExpr& e = plan.dims[t.shape[static_cast<size_t>(s.axis)]];
    if (s.min < 0 || e.op != DimOp::kSymbol || e.a != static_cast<int64_t>(index)) {
      return Bad(
          "symbol '{}': axis {} of input '{}' is not this symbol, or its minimum {} is negative",
          s.name, s.axis, plan.inputs[s.input].name, s.min);
    }
    return OkStatus();
  }
  FUSEE_TRY(const Shape shape, ShapeOf(t, values_at_min));
  if (s.axis != -1 || !IsInt(t.dtype) || s.element < 0 || s.element >= shape.elements()) {
    return Bad("symbol '{}': cannot be read from element {} of input '{}' ({})", s.name, s.element,
               plan.inputs[s.input].name, Describe(t.dtype, shape));
  }
  return OkStatus();
}

Status CheckSymbols(const Plan& plan) {
  std::vector<int64_t> at_min(plan.dims.size());
  FUSEE_TRY(EvaluateDims(plan.dims, SymbolValues(plan, ProfilePoint::kMin), at_min));
  std::set<std::string_view> names;
  for (size_t i = 0; i < plan.symbols.size(); ++i) {
    const Symbol& s = plan.symbols[i];
    if (s.name.empty() || s.name.size() > kMaxNameBytes || !names.insert(s.name).second) {
      return Bad("symbol {}: name '{}' is empty, too long or taken", i, s.name.substr(0, 64));
    }
    if (s.min > s.opt || s.opt > s.max) {
      return Bad("symbol '{}': min {}, opt {}, max {} are not ascending", s.name, s.min, s.opt,
                 s.max);
    }
    if (s.input >= plan.inputs.size()) return Bad("symbol '{}': no input {}", s.name, s.input);
    FUSEE_TRY(CheckSymbolBinding(plan, i, at_min));
  }
  return OkStatus();
}

Status CheckOperands(const Plan& plan, size_t step, std::string_view what,
                     const std::vector<uint32_t>& list, size_t limit, bool may_be_absent) {
  FUSEE_TRY(
      CheckLimit(fmt::format("{} of {}", what, StepName(plan, step)), list.size(), kMaxOperands));
  for (uint32_t index : list) {
    if (index >= limit && !(may_be_absent && index == kNoTensor)) {
      return Bad("{}: {} index {} of {}", StepName(plan, step), what, index, limit);
    }
  }
  return OkStatus();
}

// Every tuned point has at most one tactic of the step, and it is a point of the plan.
Status CheckTactics(const Plan& plan, size_t step) {
  const Step& s = plan.steps[step];
  FUSEE_TRY(CheckLimit("bytes in a configuration", s.config.size(), kMaxConfigBytes));
  for (size_t i = 0; i < s.bucket_tactics.size(); ++i) {
    const BucketTactic& t = s.bucket_tactics[i];
    if (t.bucket >= plan.buckets.size() || (i > 0 && t.bucket <= s.bucket_tactics[i - 1].bucket)) {
      return Bad("{}: tactic {} is for bucket {} of {}, expected ascending ones",
                 StepName(plan, step), i, t.bucket, plan.buckets.size());
    }
    if (t.kernel.empty() || t.kernel.size() > kMaxNameBytes)
      return Bad("{}: tactic {} has no kernel, or its name is too long", StepName(plan, step), i);
    FUSEE_TRY(CheckLimit("bytes in a configuration", t.config.size(), kMaxConfigBytes));
  }
  return OkStatus();
}

Status CheckSteps(const Plan& plan) {
  const uint8_t target = DeviceNumber(plan.target.device);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& s = plan.steps[i];
    if (s.op.size() > kMaxNameBytes || s.kernel.size() > kMaxNameBytes)
      return Bad("step {}: name too long", i);
    FUSEE_TRY(CheckOperands(plan, i, "input", s.inputs, plan.tensors.size(), true));
    FUSEE_TRY(CheckOperands(plan, i, "output", s.outputs, plan.tensors.size(), true));
    FUSEE_TRY(CheckOperands(plan, i, "dimension", s.dims, plan.dims.size(), false));
    uint64_t end = 0;
    if (s.workspace_offset % kTensorAlignment != 0 ||
        !CheckedAdd(s.workspace_offset, s.workspace_bytes, &end) || end > plan.workspace_bytes) {
      return Bad("{}: workspace of {} bytes at {} does not fit into {} bytes", StepName(plan, i),
                 s.workspace_bytes, s.workspace_offset, plan.workspace_bytes);
    }
    if (s.device != 0 && s.device != target) {
      return Bad("{}: device {}, a plan for '{}' has steps on {} and on 0 (the host)",
                 StepName(plan, i), s.device, plan.target.device, target);
    }
    FUSEE_TRY(CheckTactics(plan, i));
  }
  return OkStatus();
}

// Each count is found once, on the CPU, before it sizes anything; what it sizes has no tactic of
// exact shapes.
Status CheckFound(const Plan& plan) {
  std::set<std::string_view> names;
  for (const Count& c : plan.counts) {
    if (c.name.empty() || c.name.size() > kMaxNameBytes || !names.insert(c.name).second ||
        c.max < 0)
      return Bad("count '{}': its name is empty, too long or taken, or its bound {} is negative",
                 c.name.substr(0, 64), c.max);
  }
  std::vector<bool> found(plan.counts.size());
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    FUSEE_TRY(CheckOperands(plan, i, "count", plan.steps[i].counts, plan.counts.size(), false));
    for (const uint32_t count : plan.steps[i].counts) {
      if (found[count]) return Bad("count '{}' is found by two steps", plan.counts[count].name);
      found[count] = true;
    }
  }
  if (std::ranges::find(found, false) != found.end()) return Bad("a count is found by no step");
  if (plan.counts.empty()) return OkStatus();
  if (DeviceNumber(plan.target.device) != 0)
    return Bad("sizes that a run finds are for the CPU only, not for '{}'", plan.target.device);
  const std::vector<int64_t> known = KnownAfter(plan);
  for (const IoDef& io : plan.inputs) {
    if (LastKnown(plan, known, io.tensor) != kKnownAtStart)
      return Bad("input '{}' is sized by what a run finds", io.name);
  }
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& s = plan.steps[i];
    const auto self = static_cast<int64_t>(i);
    int64_t operands = LastKnown(plan, known, s.inputs);
    const int64_t results = LastKnown(plan, known, s.outputs);
    for (const uint32_t d : s.dims) operands = std::max(operands, known[d]);
    if (operands >= self || results > self)
      return Bad("{}: is sized by a count that is found later", StepName(plan, i));
    if (!s.bucket_tactics.empty() && std::max(operands, results) != kKnownAtStart)
      return Bad("{}: has tactics of exact shapes, but a run finds its shapes", StepName(plan, i));
  }
  return OkStatus();
}

// On the CPU, one bool each. Whether it is known in time is CheckGuarded's.
Status CheckGuards(const Plan& plan) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& s = plan.steps[i];
    if (s.guards.empty()) continue;
    FUSEE_TRY(
        CheckLimit(fmt::format("guards of {}", StepName(plan, i)), s.guards.size(), kMaxGuards));
    if (DeviceNumber(plan.target.device) != 0)
      return Bad("{}: guards are for the CPU only, not for '{}'", StepName(plan, i),
                 plan.target.device);
    if (!s.counts.empty())
      return Bad("{}: finds sizes, which every run needs, but has a guard", StepName(plan, i));
    for (const Guard& g : s.guards) {
      if (g.tensor >= plan.tensors.size())
        return Bad("{}: guard index {} of {}", StepName(plan, i), g.tensor, plan.tensors.size());
      const TensorDef& t = plan.tensors[g.tensor];
      const bool one = std::ranges::all_of(t.shape, [&](uint32_t d) {
        return plan.dims[d].op == DimOp::kConstant && plan.dims[d].a == 1;
      });
      if (t.dtype != DType::kBool || !one)
        return Bad("{}: its guard {} is not one bool", StepName(plan, i), Name(plan, g.tensor));
    }
  }
  return OkStatus();
}

Status CheckIoList(const Plan& plan, std::string_view what, const std::vector<IoDef>& list,
                   bool is_input) {
  std::set<std::string_view> names;
  std::set<uint32_t> tensors;
  for (const IoDef& io : list) {
    if (io.name.size() > kMaxNameBytes || !names.insert(io.name).second) {
      return Bad("{} name '{}' is too long or taken", what, io.name.substr(0, 64));
    }
    if (io.tensor >= plan.tensors.size())
      return Bad("{} '{}': no tensor {}", what, io.name, io.tensor);
    if (is_input &&
        (!tensors.insert(io.tensor).second || plan.tensors[io.tensor].region != Region::kIo)) {
      return Bad("input '{}': {} is another input's or not in the io region", io.name,
                 Name(plan, io.tensor));
    }
    if ((!is_input && io.is_pinned) || (!io.is_pinned && !io.pinned.empty())) {
      return Bad("{} '{}': only pinned inputs have pinned bytes", what, io.name);
    }
    const size_t rank = plan.tensors[io.tensor].shape.size();
    if (io.channels_last && (rank < 3 || rank > 5)) {
      return Bad("{} '{}': channels last in rank {}, which has no channels", what, io.name, rank);
    }
  }
  return OkStatus();
}

Status CheckPinned(const Plan& plan) {
  std::vector<int64_t> values(plan.dims.size());
  for (const IoDef& io : plan.inputs) {
    if (!io.is_pinned) continue;
    for (ProfilePoint point : {ProfilePoint::kMin, ProfilePoint::kMax}) {
      FUSEE_TRY(EvaluateDims(plan.dims, SymbolValues(plan, point), values));
      FUSEE_TRY(const Shape shape, ShapeOf(plan.tensors[io.tensor], values));
      const ConstTensorView view{plan.tensors[io.tensor].dtype, shape, nullptr};
      if (static_cast<size_t>(view.size_bytes()) != io.pinned.size()) {
        return Bad("input '{}' is pinned to {} bytes, but has {}", io.name, io.pinned.size(),
                   view.size_bytes());
      }
    }
  }
  return OkStatus();
}

Status CheckPoint(const Plan& plan, std::string_view what, std::span<const int64_t> values) {
  if (values.size() != plan.symbols.size()) {
    return Bad("{} has {} symbol values, the plan {} symbols", what, values.size(),
               plan.symbols.size());
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const Symbol& s = plan.symbols[i];
    if (values[i] < s.min || values[i] > s.max) {
      return Bad("{}: '{}' = {} is outside [{}, {}]", what, s.name, values[i], s.min, s.max);
    }
  }
  return OkStatus();
}

Status CheckFigures(const Plan& plan) {
  for (const Bucket& bucket : plan.buckets) {
    FUSEE_TRY(CheckPoint(plan, "bucket", bucket.symbol_values));
    if (bucket.arena_bytes > plan.activation_bytes) {
      return Bad("bucket needs {} arena bytes of {}", bucket.arena_bytes, plan.activation_bytes);
    }
  }
  if (!plan.buckets.empty() &&
      plan.buckets.back().symbol_values != SymbolValues(plan, ProfilePoint::kMax)) {
    return Bad("the last bucket is not the profile's maximum");
  }
  for (const VerifiedCorner& corner : plan.certificate.corners) {
    FUSEE_TRY(CheckPoint(plan, "verified corner", corner.symbol_values));
    if (corner.fill > Fill::kConstant)
      return Bad("verified corner: unknown fill {}", static_cast<int>(corner.fill));
  }
  for (const Golden& golden : plan.certificate.golden) {
    FUSEE_TRY(CheckPoint(plan, "golden point", golden.symbol_values));
    if (golden.fill > Fill::kConstant || golden.output_digests.size() != plan.outputs.size()) {
      return Bad("golden point: unknown fill {}, or {} digests for {} outputs",
                 static_cast<int>(golden.fill), golden.output_digests.size(), plan.outputs.size());
    }
  }
  return OkStatus();
}

// --- life and memory
// -------------------------------------------------------------------------------------------------

Status FindWriters(const Plan& plan, Liveness* life) {
  for (uint32_t i = 0; i < plan.tensors.size(); ++i) {
    const Region region = plan.tensors[i].region;
    if (region == Region::kWeights || region == Region::kState) life->written[i] = kBeforeAll;
  }
  for (const IoDef& io : plan.inputs) life->written[io.tensor] = kBeforeAll;
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    for (uint32_t t : plan.steps[s].outputs) {
      if (t == kNoTensor) continue;
      const bool state = plan.tensors[t].region == Region::kState;
      if (life->written[t] != kNever && !state) {
        return Bad("{} writes {}, which is an input, a weight, or written already",
                   StepName(plan, s), Name(plan, t));
      }
      if (!state) life->written[t] = static_cast<int64_t>(s);
    }
  }
  return OkStatus();
}

void FindUses(const Plan& plan, Liveness* life) {
  const auto use = [&](uint32_t t, int64_t when) {
    if (life->first_use[t] == kNever) life->first_use[t] = when;
    life->last_use[t] = std::max(life->last_use[t], when);
  };
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    for (uint32_t t : plan.steps[s].inputs) {
      if (t != kNoTensor) use(t, static_cast<int64_t>(s));
    }
    for (const Guard& g : plan.steps[s].guards) use(g.tensor, static_cast<int64_t>(s));
  }
  const auto after_all = static_cast<int64_t>(plan.steps.size());
  for (const IoDef& io : plan.outputs) use(io.tensor, after_all);
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    if (life->written[t] == kBeforeAll)
      use(t, after_all);  // inputs and state stay; weights are never moved
    if (life->written[t] >= 0) life->last_use[t] = std::max(life->last_use[t], life->written[t]);
  }
}

// Gives every view its storage: the latest written tensor at its place that is large enough. If
// that one's bytes were given away before the view's use, its life now reaches over the new
// owner's, and the overlap check refuses the plan.
Status FindStorages(const Plan& plan, Liveness* life) {
  std::map<std::pair<Region, uint64_t>, std::vector<uint32_t>> by_place;
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    if (life->written[t] == kNever) continue;
    life->storage[t] = t;
    by_place[{plan.tensors[t].region, plan.tensors[t].offset}].push_back(t);
  }
  for (auto& [place, list] : by_place) {
    std::ranges::stable_sort(list, {}, [&](uint32_t t) { return life->written[t]; });
  }
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    if (life->written[t] != kNever) {
      if (life->first_use[t] != kNever && life->first_use[t] <= life->written[t]) {
        return Bad("{} is read by step {} before step {} writes it", Name(plan, t),
                   life->first_use[t], life->written[t]);
      }
      continue;
    }
    if (life->first_use[t] == kNever) continue;
    const TensorDef& view = plan.tensors[t];
    const auto place = by_place.find({view.region, view.offset});
    uint32_t storage = kNoTensor;
    if (place != by_place.end()) {
      // Few tensors share a place and are tried latest first; the walk ends at the first that is
      // large enough.
      auto it =
          std::ranges::lower_bound(place->second, life->first_use[t], {},
                                   [&](uint32_t candidate) { return life->written[candidate]; });
      while (it != place->second.begin() && storage == kNoTensor) {
        --it;
        if (plan.tensors[*it].capacity_bytes >= view.capacity_bytes) storage = *it;
      }
    }
    if (storage == kNoTensor) {
      return Bad(
          "{} is read by step {} but nothing before wrote it, nor a tensor of its place that it "
          "could be a view of",
          Name(plan, t), life->first_use[t]);
    }
    life->storage[t] = storage;
    life->last_use[storage] = std::max(life->last_use[storage], life->last_use[t]);
  }
  return OkStatus();
}

Result<Liveness> Analyse(const Plan& plan) {
  const size_t n = plan.tensors.size();
  Liveness life{std::vector<int64_t>(n, kNever), std::vector<int64_t>(n, kNever),
                std::vector<int64_t>(n, kNever), std::vector<uint32_t>(n, kNoTensor)};
  FUSEE_TRY(FindWriters(plan, &life));
  FindUses(plan, &life);
  FUSEE_TRY(FindStorages(plan, &life));
  return life;
}

// The conditions under which the tensor's bytes are there.
std::span<const Guard> WrittenUnder(const Plan& plan, const Liveness& life, uint32_t t) {
  const int64_t writer = life.storage[t] == kNoTensor ? kNever : life.written[life.storage[t]];
  if (writer < 0) return {};
  return plan.steps[static_cast<size_t>(writer)].guards;
}

bool StartsWith(std::span<const Guard> list, std::span<const Guard> start) {
  return start.size() <= list.size() && std::ranges::equal(list.first(start.size()), start);
}

// A Where that takes the operand only if the condition it adds to the step's own is as `under`
// says.
bool Chooses(const Step& s, size_t input, std::span<const Guard> under) {
  return s.op == "Where" && s.inputs.size() == 3 && input > 0 && !under.empty() &&
         std::ranges::equal(s.guards, under.first(under.size() - 1)) &&
         under.back() == Guard{s.inputs[0], input == 1};
}

// Nothing is read that a step would have written which did not run.
Status CheckGuarded(const Plan& plan, const Liveness& life) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& s = plan.steps[i];
    const std::span<const Guard> guards = s.guards;
    for (size_t k = 0; k < guards.size(); ++k) {
      if (!StartsWith(guards.first(k), WrittenUnder(plan, life, guards[k].tensor)))
        return Bad("{}: its guard {} may not have been written", StepName(plan, i),
                   Name(plan, guards[k].tensor));
    }
    for (size_t k = 0; k < s.inputs.size(); ++k) {
      if (s.inputs[k] == kNoTensor) continue;
      const std::span<const Guard> under = WrittenUnder(plan, life, s.inputs[k]);
      if (!StartsWith(guards, under) && !Chooses(s, k, under))
        return Bad("{} reads {}, which may not have been written", StepName(plan, i),
                   Name(plan, s.inputs[k]));
    }
  }
  for (const IoDef& io : plan.outputs) {
    if (!WrittenUnder(plan, life, io.tensor).empty())
      return Bad("output '{}': {} may not have been written", io.name, Name(plan, io.tensor));
  }
  return OkStatus();
}

// The storages alive at one moment, by place; they never overlap, so neighbours in order are all
// there is to look at.
class LiveSet {
 public:
  LiveSet(const Plan& plan) : plan_(plan) {}

  // The alive storages that overlap tensor t: the first, and whether there are more.
  std::pair<uint32_t, bool> Overlapping(uint32_t t) const {
    const TensorDef& def = plan_.tensors[t];
    uint32_t found = kNoTensor;
    auto it = live_.lower_bound({def.region, def.offset + def.capacity_bytes});
    while (it != live_.begin()) {
      --it;
      const TensorDef& other = plan_.tensors[it->second];
      if (other.region != def.region || other.offset + other.capacity_bytes <= def.offset) break;
      if (found != kNoTensor) return {found, true};
      found = it->second;
    }
    return {found, false};
  }
  void Insert(uint32_t t) { live_[{plan_.tensors[t].region, plan_.tensors[t].offset}] = t; }
  void Erase(uint32_t t) {
    const auto it = live_.find({plan_.tensors[t].region, plan_.tensors[t].offset});
    if (it != live_.end() && it->second == t) live_.erase(it);
  }

 private:
  const Plan& plan_;
  std::map<std::pair<Region, uint64_t>, uint32_t> live_;
};

// Result t of step s lies on the alive storage `under`: is it a permitted in-place result?
bool MayReplace(const Plan& plan, const Liveness& life, size_t s, uint32_t t, uint32_t under) {
  const TensorDef& result = plan.tensors[t];
  const TensorDef& storage = plan.tensors[under];
  const bool is_operand = std::ranges::any_of(plan.steps[s].inputs, [&](uint32_t in) {
    return in != kNoTensor && life.storage[in] == under;
  });
  return plan.steps[s].guards.empty() && is_operand &&
         life.last_use[under] == static_cast<int64_t>(s) && storage.offset == result.offset &&
         storage.capacity_bytes >= result.capacity_bytes;
}

Status CheckOverlaps(const Plan& plan, const Liveness& life) {
  LiveSet live(plan);
  std::vector<std::vector<uint32_t>> dying(plan.steps.size() + 1);  // storages by their last step
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    if (life.storage[t] != t || plan.tensors[t].region == Region::kWeights ||
        plan.tensors[t].capacity_bytes == 0) {
      continue;
    }
    dying[static_cast<size_t>(life.last_use[t])].push_back(t);
    if (life.written[t] != kBeforeAll) continue;
    if (const uint32_t other = live.Overlapping(t).first; other != kNoTensor) {
      return Bad("{} overlaps {}, which is always alive", Name(plan, t), Name(plan, other));
    }
    live.Insert(t);
  }
  std::vector<std::pair<uint32_t, uint32_t>> replaced;  // (old, new) in place
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    replaced.clear();
    for (uint32_t t : plan.steps[s].outputs) {
      if (t == kNoTensor || plan.tensors[t].capacity_bytes == 0 ||
          plan.tensors[t].region == Region::kState)
        continue;
      const std::pair<uint32_t, bool> overlap = live.Overlapping(t);
      const uint32_t under =
          overlap.first;  // not a structured binding: clang 14 cannot capture those
      if (under == kNoTensor) {
        live.Insert(t);
        continue;
      }
      const bool taken =
          std::ranges::any_of(replaced, [&](const auto& pair) { return pair.first == under; });
      if (overlap.second || taken || !MayReplace(plan, life, s, t, under)) {
        return Bad("{} writes {} ({} bytes at {}) over {}, which is alive until step {}",
                   StepName(plan, s), Name(plan, t), plan.tensors[t].capacity_bytes,
                   plan.tensors[t].offset, Name(plan, under), life.last_use[under]);
      }
      replaced.emplace_back(under, t);
    }
    // Only now: during the step the operand's whole extent is still being read.
    for (const auto& [old_storage, new_storage] : replaced) {
      live.Erase(old_storage);
      live.Insert(new_storage);
    }
    for (uint32_t t : dying[s]) live.Erase(t);
  }
  return OkStatus();
}

Status CheckIoSlots(const Plan& plan) {
  std::map<uint64_t, uint64_t> slots;  // offset -> end
  const auto add = [&](const IoDef& io) {
    const TensorDef& t = plan.tensors[io.tensor];
    if (t.region != Region::kIo) return;
    uint64_t& end = slots[t.offset];
    end = std::max(end, t.offset + t.capacity_bytes);
  };
  for (const IoDef& io : plan.inputs) add(io);
  for (const IoDef& io : plan.outputs) add(io);
  uint64_t previous_end = 0;
  for (const auto& [offset, end] : slots) {
    if (offset < previous_end) return Bad("two inputs or outputs overlap at io offset {}", offset);
    previous_end = end;
  }
  for (uint32_t i = 0; i < plan.tensors.size(); ++i) {
    const TensorDef& t = plan.tensors[i];
    if (t.region != Region::kIo || t.capacity_bytes == 0) continue;
    auto it = slots.upper_bound(t.offset);
    if (it == slots.begin() || t.offset + t.capacity_bytes > (--it)->second) {
      return Bad("{} lies in the io region outside every input and output", Name(plan, i));
    }
  }
  return OkStatus();
}

Status CheckGpu(const Plan& plan) {
  const GpuTarget& gpu = plan.target.gpu;
  if (plan.target.device == "cpu" && !(gpu == GpuTarget{}))
    return Bad("it is for the CPU, but names what it needs of a GPU");
  FUSEE_TRY(CheckLimit("libraries", gpu.libraries.size(), kMaxLibraries));
  FUSEE_TRY(CheckLimit("bytes in the GPU's name", gpu.name.size(), kMaxGpuNameBytes));
  if (gpu.compute_capability < 0 || gpu.multiprocessors < 0 || gpu.driver_min < 0)
    return Bad("negative requirement on the GPU");
  for (size_t i = 0; i < gpu.libraries.size(); ++i) {
    const PinnedLibrary& l = gpu.libraries[i];
    if (l.name.empty() || l.name.size() > kMaxLibraryNameBytes || l.version == 0 ||
        (i > 0 && l.name <= gpu.libraries[i - 1].name)) {
      return Bad("pinned library {} of {}: expected names in ascending order, with a version", i,
                 gpu.libraries.size());
    }
  }
  return OkStatus();
}

Status CheckTarget(const Plan& plan) {
  const Target& t = plan.target;
  if (DeviceNumber(t.device) == kUnknownDevice) {
    return FailedPrecondition(
        fmt::format("plan is for device '{}', this reader knows cpu and cuda; upgrade fusee",
                    t.device.substr(0, 64)));
  }
  if (t.selected_for() < t.isa) {
    return Bad("it needs {}, but says that its kernels were chosen for {}", IsaText(t.isa),
               IsaText(t.available_isa));
  }
  return CheckGpu(plan);
}

}  // namespace

Status Verify(const Plan& plan) {
  FUSEE_TRY(CheckTarget(plan));
  FUSEE_TRY(CheckCounts(plan));
  FUSEE_TRY(CheckDims(plan));
  for (uint32_t i = 0; i < plan.tensors.size(); ++i) FUSEE_TRY(CheckTensor(plan, i));
  FUSEE_TRY(CheckIoList(plan, "input", plan.inputs, true));
  FUSEE_TRY(CheckIoList(plan, "output", plan.outputs, false));
  FUSEE_TRY(CheckSteps(plan));
  FUSEE_TRY(CheckFound(plan));
  FUSEE_TRY(CheckGuards(plan));
  FUSEE_TRY(CheckSymbols(plan));
  FUSEE_TRY(CheckCapacities(plan));
  FUSEE_TRY(CheckPinned(plan));
  FUSEE_TRY(CheckFigures(plan));
  FUSEE_TRY(CheckIoSlots(plan));
  FUSEE_TRY(const Liveness life, Analyse(plan));
  FUSEE_TRY(CheckGuarded(plan, life));
  return CheckOverlaps(plan, life);
}

std::vector<InPlacePair> InPlacePairs(const Plan& plan) {
  std::vector<InPlacePair> pairs;
  const Result<Liveness> analysed = Analyse(plan);
  if (!analysed.ok()) return pairs;
  const Liveness& life = *analysed;
  for (uint32_t s = 0; s < plan.steps.size(); ++s) {
    const Step& step = plan.steps[s];
    for (uint32_t out = 0; out < step.outputs.size(); ++out) {
      if (step.outputs[out] == kNoTensor) continue;
      const TensorDef& result = plan.tensors[step.outputs[out]];
      if (result.capacity_bytes == 0) continue;
      for (uint32_t in = 0; in < step.inputs.size(); ++in) {
        if (step.inputs[in] == kNoTensor) continue;
        const TensorDef& storage = plan.tensors[life.storage[step.inputs[in]]];
        // After Verify, equal places within a step mean in place; other overlaps do not exist.
        if (storage.region == result.region && storage.offset == result.offset &&
            storage.capacity_bytes > 0) {
          pairs.push_back({s, in, out});
        }
      }
    }
  }
  return pairs;
}

}  // namespace fusee::plan
