#include "compiler/tuning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace fusee::compiler {
namespace {

// Candidates that take the same operands, one of which must serve every shape of the profile.
struct Family {
  size_t packing = 0;
  std::vector<const ops::KernelDef*> bases;  // that bind at any shape, in preference order
  bool only_base = false;                    // no other tactic at tuned points
};

// One tuned point of one step.
struct PointChoice {
  tune::Problem problem;
  NodeSpecs specs;             // owns what the problem borrows
  std::vector<size_t> family;  // of each candidate
  std::vector<tune::Timing> timings;

  // The winner among a family's candidates; nullopt when all were refused.
  std::optional<size_t> WinnerOf(size_t wanted) const {
    std::vector<size_t> which;
    std::vector<tune::Score> scores;
    for (size_t i = 0; i < timings.size(); ++i) {
      if (family[i] != wanted || !timings[i].refusal.empty()) continue;
      which.push_back(i);
      scores.push_back(timings[i].score);
    }
    if (which.empty()) return std::nullopt;
    return which[tune::Winner(scores)];
  }
};

std::string PointName(const ImportedModel& model, size_t bucket) {
  if (model.symbols.empty()) return "";
  std::string text = " at";
  for (const SymbolSource& s : model.symbols)
    text += fmt::format(" {}={}", s.name, model.buckets[bucket].values.at(s.name));
  return text;
}

class NodeTuner {
 public:
  NodeTuner(const ImportedModel& model, const ir::Graph& graph, const SelectOptions& options,
            tune::Tuner& tuner,
            std::map<std::string, std::vector<ops::Configuration>>* configurations)
      : model_(model),
        graph_(graph),
        options_(options),
        tuner_(tuner),
        configurations_(configurations) {}

  // Nothing when there is nothing to choose.
  Status Tune(const SelectedNode& selected, TuneOutcome* outcome) {
    const ir::Node& node = graph_.node(selected.node);
    FUSEE_TRY(FindFamilies(node));
    points_.resize(model_.buckets.size());
    bool choice = families_.size() > 1;
    for (size_t b = 0; b < points_.size(); ++b) {
      FUSEE_TRY(AddCandidates(node, b));
      const auto& candidates = points_[b].problem.candidates;
      choice = choice || candidates.size() > 1 ||
               (candidates.size() == 1 && !candidates[0].config.empty());
    }
    if (!choice) return OkStatus();
    for (PointChoice& point : points_) {
      if (point.problem.candidates.size() == 1) {
        point.timings = {
            {.score = {.time_us = 0, .ratio = 1, .low = 1, .high = 1, .rounds = 0}, .refusal = ""}};
      } else {
        FUSEE_TRY(point.timings, tuner_.Time(point.problem));
      }
    }
    const std::optional<size_t> family = BestFamily();
    if (!family) return OkStatus();  // the list order stands; the build's verification judges it
    Record(selected, *family, LockName(graph_, node), outcome);
    return OkStatus();
  }

 private:
  bool per_bucket() const { return tuner_.where().device != nullptr; }

  // Binds every kernel at the profile's largest shapes, packed as it wants.
  Status FindFamilies(const ir::Node& node) {
    for (const ops::KernelDef* kernel : options_.kernels->For(node.op)) {
      if (!Veto(*kernel, options_).empty()) continue;
      FUSEE_TRY(NodeSpecs specs, SpecsOf(graph_, node));
      if (!kernel->bind(specs.step(node)).ok()) continue;
      tune::Packing packing;
      if (options_.pack && kernel->pack != nullptr) {
        auto packed = kernel->pack(specs.step(node));
        if (!packed.ok()) continue;
        packing = std::move(*packed);
        specs.Replace(packing);
        if (!kernel->bind(specs.step(node)).ok()) continue;
      }
      AddToFamily(kernel, std::move(packing));
    }
    return OkStatus();
  }

  void AddToFamily(const ops::KernelDef* kernel, tune::Packing packing) {
    const bool packs = !packing.empty();
    if (!packs && per_bucket()) {
      for (Family& f : families_) {
        if (!packings_[f.packing]->empty()) continue;
        f.bases.push_back(kernel);
        return;
      }
    }
    packings_.push_back(std::make_shared<const tune::Packing>(std::move(packing)));
    families_.push_back({packings_.size() - 1, {kernel}, !per_bucket()});
  }

  Status AddCandidates(const ir::Node& node, size_t bucket) {
    PointChoice& point = points_[bucket];
    FUSEE_TRY(point.specs, SpecsOf(graph_, node, &model_.buckets[bucket].values));
    tune::Problem& problem = point.problem;
    problem.op = node.op;
    problem.attrs = &node.attrs;
    problem.inputs = point.specs.inputs;
    problem.outputs = point.specs.outputs;
    for (const ir::Dim& d : node.dims) {
      FUSEE_TRY(int64_t value, d.Evaluate(model_.buckets[bucket].values));
      problem.dims.push_back(value);
    }
    problem.packings = packings_;
    for (size_t f = 0; f < families_.size(); ++f) {
      for (const ops::KernelDef* kernel : options_.kernels->For(node.op)) {
        if (!Veto(*kernel, options_).empty()) continue;
        if (families_[f].only_base && kernel != families_[f].bases[0]) continue;
        FUSEE_TRY(AddKernel(kernel, f, &point));
      }
    }
    return OkStatus();
  }

  // The kernel's configurations for the exact shapes, if it takes the family's operands.
  Status AddKernel(const ops::KernelDef* kernel, size_t family, PointChoice* point) {
    tune::Candidate candidate{kernel, families_[family].packing, "", {}};
    std::vector<ops::TensorSpec> inputs;
    const ops::StepSpec spec = tune::SpecFor(point->problem, candidate, &inputs);
    // Some run only with a configuration, so a refusal of none says nothing of theirs.
    const bool has_default = kernel->bind(spec).ok();
    const auto add = [&](tune::Candidate c) {
      point->problem.candidates.push_back(std::move(c));
      point->family.push_back(family);
    };
    if (kernel->configurations == nullptr || tuner_.where().device == nullptr) {
      if (has_default) add(std::move(candidate));
      return OkStatus();
    }
    // Libraries take long to list them, so steps that ask the same share the list.
    const std::string key =
        fmt::format("{} {} {}", kernel->id, candidate.packing, tune::Signature(point->problem));
    auto known = configurations_->find(key);
    if (known == configurations_->end()) {
      auto listed = kernel->configurations(spec, *tuner_.where().device);
      if (!listed.ok() && listed.status().code() == StatusCode::kAborted)
        return std::move(listed).status();
      known =
          configurations_
              ->emplace(key, listed.ok() ? std::move(*listed) : std::vector<ops::Configuration>{})
              .first;
    }
    for (const ops::Configuration& c : known->second) {
      if (c.bytes.size() <= plan::kMaxConfigBytes)
        add({kernel, candidate.packing, c.name, c.bytes});
    }
    if (known->second.empty() && has_default) add(std::move(candidate));
    return OkStatus();
  }

  // The first of the list that is not clearly slower than the fastest, over all points.
  std::optional<size_t> BestFamily() const {
    std::vector<std::optional<double>> score(families_.size());  // mean logarithm of ratios
    for (size_t f = 0; f < families_.size(); ++f) {
      if (BaseOf(f) == nullptr) continue;
      double sum = 0;
      bool all = true;
      for (const PointChoice& point : points_) {
        const auto winner = point.WinnerOf(f);
        all = all && winner.has_value();
        if (winner) sum += std::log(std::max(point.timings[*winner].score.ratio, 1e-12));
      }
      if (all) score[f] = sum / static_cast<double>(points_.size());
    }
    std::optional<double> best;
    for (const auto& s : score) {
      if (s && (!best || *s < *best)) best = s;
    }
    for (size_t f = 0; f < score.size(); ++f) {
      if (score[f] && *best > *score[f] + std::log(1 - tune::kHysteresis)) return f;
    }
    return std::nullopt;
  }

  // Of those that bind at any shape, the first that no tuned point refused.
  const ops::KernelDef* BaseOf(size_t family) const {
    for (const ops::KernelDef* base : families_[family].bases) {
      const bool refused = std::ranges::any_of(points_, [&](const PointChoice& point) {
        for (size_t i = 0; i < point.timings.size(); ++i) {
          const tune::Candidate& c = point.problem.candidates[i];
          if (point.family[i] == family && c.kernel == base && c.config.empty() &&
              !point.timings[i].refusal.empty())
            return true;
        }
        return false;
      });
      if (!refused) return base;
    }
    return nullptr;
  }

  void Record(const SelectedNode& selected, size_t family, const std::string& name,
              TuneOutcome* outcome) const {
    const ops::KernelDef* base = BaseOf(family);
    TunedTactic tuned;
    for (const plan::TriedTactic& t : selected.tried) {
      const ops::KernelDef* kernel = options_.kernels->Find(t.kernel);
      const bool timed = std::ranges::any_of(points_, [&](const PointChoice& point) {
        return std::ranges::any_of(point.problem.candidates,
                                   [&](const tune::Candidate& c) { return c.kernel == kernel; });
      });
      if (!timed) tuned.tried.push_back(t);
    }
    for (size_t b = 0; b < points_.size(); ++b) {
      const size_t winner = *points_[b].WinnerOf(family);
      const tune::Candidate& c = points_[b].problem.candidates[winner];
      const auto& bases = families_[family].bases;
      if (model_.symbols.empty() && std::ranges::find(bases, c.kernel) != bases.end()) {
        base = c.kernel;  // at the only shape there is
        tuned.config = plan::ConfigBytes(c.config);
      } else if (c.kernel != base || !c.config.empty()) {
        tuned.buckets.push_back(
            {static_cast<uint32_t>(b), std::string(c.kernel->id), plan::ConfigBytes(c.config)});
      }
      RecordPoint(b, winner, &tuned);
    }
    outcome->kernels[name] = std::string(base->id);
    outcome->tuned[name] = std::move(tuned);
  }

  void RecordPoint(size_t bucket, size_t winner, TunedTactic* tuned) const {
    const PointChoice& point = points_[bucket];
    std::vector<size_t> order(point.timings.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, {}, [&](size_t i) {
      return std::pair(!point.timings[i].refusal.empty(),
                       i == winner ? 0.0 : point.timings[i].score.ratio);
    });
    if (order.size() > kTriedKept) order.resize(kTriedKept);
    for (size_t i : order) {
      const tune::Candidate& c = point.problem.candidates[i];
      const tune::Timing& t = point.timings[i];
      const std::string name = c.name.empty() ? "" : fmt::format(" [{}]", c.name);
      const std::string verdict = i == winner         ? "chosen"
                                  : t.refusal.empty() ? "accepted"
                                                      : t.refusal;
      tuned->tried.push_back(
          {std::string(c.kernel->id) + name, verdict + PointName(model_, bucket), t.score.time_us});
    }
  }

  const ImportedModel& model_;
  const ir::Graph& graph_;
  const SelectOptions& options_;
  tune::Tuner& tuner_;
  std::map<std::string, std::vector<ops::Configuration>>* configurations_;
  std::vector<std::shared_ptr<const tune::Packing>> packings_;
  std::vector<Family> families_;
  std::vector<PointChoice> points_;  // one a bucket
};

Status DoesNotFit(const ir::Graph& graph, const SelectedNode& selected, std::string_view kernel,
                  std::string_view why) {
  return FailedPrecondition(
      fmt::format("{}: the lockfile's tactic '{}' does not fit any more: {}; rebuild without "
                  "--locked",
                  ir::DescribeNode(graph.node(selected.node)), kernel, why));
}

// Binds one tactic as the loader will; how much workspace it needs.
Result<uint64_t> WorkspaceOf(const ir::Graph& graph, const SelectedNode& selected,
                             const ops::KernelDef& kernel, const plan::ConfigBytes& config,
                             const ir::SymbolValues* point) {
  const ir::Node& node = graph.node(selected.node);
  FUSEE_TRY(NodeSpecs specs, SpecsOf(graph, node, point));
  specs.Replace(selected.packed);
  auto bound = kernel.bind(specs.step(node, config.span()));
  if (!bound.ok()) return DoesNotFit(graph, selected, kernel.id, bound.status().message());
  return uint64_t{(*bound)->workspace_bytes()};
}

Status ApplyTo(const ImportedModel& model, const ir::Graph& graph, const SelectOptions& options,
               const TunedTactic& tuned, SelectedNode* selected) {
  selected->tried = tuned.tried;
  selected->config = tuned.config;
  if (!tuned.config.empty()) {
    FUSEE_TRY(const uint64_t bytes,
              WorkspaceOf(graph, *selected, *selected->kernel, tuned.config, nullptr));
    selected->workspace_bytes = std::max(selected->workspace_bytes, bytes);
  }
  for (const plan::BucketTactic& t : tuned.buckets) {
    const ops::KernelDef* kernel = options.kernels->Find(t.kernel);
    if (kernel == nullptr)
      return DoesNotFit(graph, *selected, t.kernel, "this build does not have it");
    if (t.bucket >= model.buckets.size() || kernel->op != graph.node(selected->node).op)
      return DoesNotFit(graph, *selected, t.kernel, "it is for another step or tuned point");
    FUSEE_TRY(const uint64_t bytes,
              WorkspaceOf(graph, *selected, *kernel, t.config, &model.buckets[t.bucket].values));
    selected->workspace_bytes = std::max(selected->workspace_bytes, bytes);
    selected->bucket_tactics.push_back({t.bucket, kernel, t.config});
  }
  return OkStatus();
}

}  // namespace

Result<TuneOutcome> TuneSelection(const ImportedModel& model, const ir::Graph& graph,
                                  const std::vector<SelectedNode>& selection,
                                  const SelectOptions& options, tune::Tuner& tuner) {
  TuneOutcome outcome;
  std::map<std::string, std::vector<ops::Configuration>> configurations;
  const auto finders = ir::CountFinders(graph);
  for (const SelectedNode& selected : selection) {
    if (selected.kernel == nullptr || selected.on_host) continue;
    // Shapes that a run finds are no tuned point's.
    const ir::Node& candidate = graph.node(selected.node);
    if (!candidate.counts.empty() || ir::DependsOnCounts(graph, finders, candidate)) continue;
    NodeTuner node(model, graph, options, tuner, &configurations);
    if (Status status = node.Tune(selected, &outcome); !status.ok()) {
      return std::move(status).Annotate("tuning " + ir::DescribeNode(graph.node(selected.node)));
    }
  }
  return outcome;
}

Status ApplyTuned(const ImportedModel& model, const ir::Graph& graph, const SelectOptions& options,
                  const TunedTactics& tuned, std::vector<SelectedNode>* selection) {
  for (SelectedNode& selected : *selection) {
    if (selected.kernel == nullptr) continue;
    const auto it = tuned.find(LockName(graph, graph.node(selected.node)));
    if (it != tuned.end()) FUSEE_TRY(ApplyTo(model, graph, options, it->second, &selected));
  }
  return OkStatus();
}

}  // namespace fusee::compiler
