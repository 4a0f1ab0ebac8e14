#include "compiler/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compiler/difference.h"
#include "compiler/emit.h"
#include "compiler/import.h"
#include "compiler/latency.h"
#include "compiler/lockfile.h"
#include "compiler/lower_if.h"
#include "compiler/magnitudes.h"
#include "compiler/reference.h"
#include "compiler/sampled.h"
#include "compiler/select.h"
#include "compiler/target.h"
#include "compiler/tuning.h"
#include "compiler/verify.h"
#include "device/thread_pool.h"
#include "ir/graph.h"
#include "onnx/model.h"
#include "passes/pass_manager.h"
#include "plan/encode.h"
#include "plan/print.h"
#include "quant/allow_tf32.h"
#include "quant/convert_precision.h"
#include "runtime/runtime.h"

namespace fusee::compiler {
namespace {

std::string ModelName(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (const size_t dot = name.rfind('.'); dot != std::string::npos && dot > 0) name.resize(dot);
  return name;
}

// Canonical text of the options that shape the plan: equal text, equal plan (given the lockfile).
std::string OptionsText(const BuildOptions& options) {
  std::string text;
  for (const auto& [name, profile] : options.profiles) {
    text += fmt::format("profile {}:", name);
    for (const auto& shape : profile.shapes) text += fmt::format("[{}]", fmt::join(shape, "x"));
    if (profile.opt) text += fmt::format(" opt [{}]", fmt::join(*profile.opt, "x"));
    text += ";";
  }
  for (const auto& [name, tensor] : options.pins)
    text += fmt::format("pin {}={};", name, ToHex(Sha256(tensor.bytes())));
  for (const auto& [name, most] : options.bounds) text += fmt::format("bound {}={};", name, most);
  for (const std::string& pass : options.disabled_passes) text += fmt::format("disable {};", pass);
  if (options.precision != DType::kF32)
    text += fmt::format("precision {};", DTypeName(options.precision));
  const auto formats = [&](std::string_view what, const std::vector<IoFormat>& list) {
    std::vector<std::string> texts;
    texts.reserve(list.size());
    for (const IoFormat& format : list) texts.push_back(IoFormatText(format));
    if (!list.empty()) text += fmt::format("{} {};", what, fmt::join(texts, ","));
  };
  formats("input-formats", options.input_formats);
  formats("output-formats", options.output_formats);
  if (options.allow_tf32) text += "allow-tf32;";
  if (options.reference_tactics) text += "reference-tactics;";
  if (options.max_isa != Isa::kAmx) text += fmt::format("isa {};", IsaName(options.max_isa));
  if (!options.verify) text += "no-verify;";
  // Which of several devices is measured on shapes nothing.
  if (options.device != "cpu")
    text += fmt::format("device {};", options.device.substr(0, options.device.find(':')));
  if (options.allow_cpu_steps) text += "allow-cpu-steps;";
  return text;
}

class Builder {
 public:
  Builder(const std::string& path, const BuildOptions& options, const Clock& clock)
      : path_(path),
        options_(options),
        clock_(clock),
        pool_(std::make_unique<ThreadPool>(ThreadPoolOptions{.width = options.threads})) {}

  Result<BuildResult> Run() {
    FUSEE_TRY(Phase("read", [&] { return Read(); }));
    FUSEE_TRY(Phase("import", [&] { return ImportModel(); }));
    if (options_.verify) FUSEE_TRY(Phase("reference", [&] { return MakeReference(); }));
    FUSEE_TRY(Phase("passes", [&] { return RunPasses(); }));
    FUSEE_TRY(Phase("select", [&] { return Select(); }));
    if (tunes()) FUSEE_TRY(Phase("tune", [&] { return Tune(); }));
    FUSEE_TRY(Phase("emit", [&] { return Emit(); }));
    FUSEE_TRY(Phase("verify", [&] { return Verify(); }));
    FUSEE_TRY(Phase("measure", [&] { return Measure(); }));
    FUSEE_TRY(Phase("encode", [&] { return Encode(); }));
    FillReport();
    return std::move(result_);
  }

 private:
  template <typename Body>
  Status Phase(std::string_view name, Body&& body) {
    if (options_.progress) options_.progress(name);
    const TimePoint start = clock_.Now();
    Status status = body();
    result_.report.phases.push_back(
        {std::string(name), std::chrono::duration<double>(clock_.Now() - start).count()});
    return status;
  }

  Status Read() {
    FUSEE_TRY(model_, onnx::Load(path_));
    model_digest_ = ModelDigest(*model_);
    if (!options_.lockfile.empty()) {
      FUSEE_TRY(Lockfile lock, ReadLockfile(options_.lockfile));
      lock_ = std::move(lock);
    }
    FUSEE_TRY(target_, OpenTarget(options_, lock_ ? &lock_->gpu : nullptr));
    if (!options_.timings.empty()) {
      FUSEE_TRY(timings_, tune::TimingCache::Parse(options_.timings));
    }
    return OkStatus();
  }

  bool tunes() const { return !lock_ && options_.tune.value_or(target_.kind != DeviceKind::kCpu); }

  Status ImportModel() {
    FUSEE_TRY(imported_, Import(*model_, options_));
    result_.report.onnx_nodes = imported_.node_count;
    result_.report.operators = imported_.operators;
    result_.report.notes = imported_.notes;
    for (const auto& [name, finder] : ir::CountFinders(*imported_.graph)) {
      result_.report.notes.push_back(
          fmt::format("size '{}' depends on the data: memory is set aside for {} (--bound)", name,
                      imported_.graph->symbols().at(name).max));
    }
    if (lock_) {
      FUSEE_TRY(CheckLockfileFits(*lock_, BuilderVersion(), ToHex(model_digest_),
                                  OptionsText(options_), imported_.buckets.size()));
    }
    return OkStatus();
  }

  Status MakeReference() {
    FUSEE_TRY(plan::Plan reference, ReferencePlan(imported_));
    reference_ = std::make_shared<const plan::Plan>(std::move(reference));
    return OkStatus();
  }

  Status RunPasses() {
    passes::PipelineOptions pipeline;
    pipeline.disabled.insert(options_.disabled_passes.begin(), options_.disabled_passes.end());
    pipeline.dump_dir = options_.dump_dir;
    pipeline.clock = &clock_;
    // Tensor cores read with the channels innermost.
    const bool cores = options_.precision != DType::kF32 || options_.allow_tf32;
    pipeline.target = {.device = std::string(DeviceKindName(target_.kind)),
                       .channels_last = cores && target_.kind == DeviceKind::kCuda,
                       .compute = options_.precision};
    FUSEE_TRY(passes::RunPipeline(*imported_.graph, pipeline, &passes_));
    if (options_.precision != DType::kF32) FUSEE_TRY(ConvertPrecision());
    if (options_.allow_tf32) {
      result_.report.notes.push_back(
          fmt::format("tf32: {} products and convolutions may round their f32 operands to TF32",
                      quant::AllowTf32(*imported_.graph)));
    }
    FUSEE_TRY(LowerIf(*imported_.graph));
    return SeparateOutputs(*imported_.graph);
  }

  // After the fusions, which read float32 constants, and followed by what tidies up casts.
  Status ConvertPrecision() {
    quant::PrecisionOptions precision{.dtype = options_.precision};
    FUSEE_TRY(precision.magnitudes, MeasureMagnitudes(imported_, *imported_.graph, pool_.get()));
    FUSEE_TRY(quant::PrecisionReport report, quant::ConvertPrecision(*imported_.graph, precision));
    std::vector<passes::PassDef> tidy;
    for (const passes::PassDef& pass : passes::Pipeline()) {
      const bool wanted =
          pass.name == "remove_identity" || pass.name == "cse" || pass.name == "dead_code";
      if (wanted) tidy.push_back(pass);
    }
    passes::PipelineOptions options;
    options.clock = &clock_;
    FUSEE_TRY(passes::RunPasses(tidy, *imported_.graph, options, nullptr));
    result_.report.notes.push_back(fmt::format(
        "precision {}: {} nodes converted, {} kept in f32, {} casts", DTypeName(options_.precision),
        report.converted, report.kept.size(), report.casts));
    for (const quant::KeptNode& kept : report.kept)
      kept_full_.push_back({"convert_precision", false, kept.node, kept.reason});
    return OkStatus();
  }

  SelectOptions SelectWith(const std::map<std::string, std::string>* locked) const {
    SelectOptions select;
    select.kernels = target_.kernels;
    select.compute_capability = lock_ ? lock_->gpu.compute_capability
                                : target_.device != nullptr
                                    ? target_.device->info().compute_capability
                                    : 0;
    select.allow_host_steps = options_.allow_cpu_steps;
    select.max_isa = SelectedFor();
    select.reference_only = options_.reference_tactics;
    select.locked = locked;
    return select;
  }

  Status Select() {
    const SelectOptions select = SelectWith(lock_ ? &lock_->tactics : nullptr);
    FUSEE_TRY(selection_, SelectKernels(*imported_.graph, select));
    if (lock_)
      FUSEE_TRY(ApplyTuned(imported_, *imported_.graph, select, lock_->tuned, &selection_));
    return OkStatus();
  }

  Status Tune() {
    tune::Tuner tuner(TuningEnvironment(target_, SelectedFor(), pool_.get(), clock_), &timings_);
    FUSEE_TRY(TuneOutcome outcome,
              TuneSelection(imported_, *imported_.graph, selection_, SelectWith(nullptr), tuner));
    const SelectOptions select = SelectWith(&outcome.kernels);
    FUSEE_TRY(selection_, SelectKernels(*imported_.graph, select));
    FUSEE_TRY(ApplyTuned(imported_, *imported_.graph, select, outcome.tuned, &selection_));
    tuned_ = std::move(outcome.tuned);
    result_.report.problems_timed = tuner.measured();
    result_.report.problems_reused = tuner.reused();
    result_.timings = timings_.Text();
    return OkStatus();
  }

  Status Emit() {
    FUSEE_TRY(plan_, EmitPlan(imported_, *imported_.graph, selection_,
                              {.in_place = true, .device = target_.kind}));
    if (target_.kind != DeviceKind::kCpu)
      plan_.target.gpu = lock_ ? lock_->gpu : DescribeGpu(target_.device->info(), selection_);
    plan_.target.available_isa =
        static_cast<uint8_t>(std::max(SelectedFor(), static_cast<Isa>(plan_.target.isa)));
    plan_.provenance.builder_version = std::string(BuilderVersion());
    plan_.provenance.model_name = ModelName(path_);
    plan_.provenance.model_digest = model_digest_;
    for (const auto& [domain, version] : model_->opset_imports)
      plan_.provenance.opsets.emplace_back(std::string(domain), version);
    plan_.provenance.options = OptionsText(options_);
    for (const passes::Rewrite& r : passes_.rewrites) {
      plan_.fusions.push_back(
          {r.pass, r.made, fmt::format("{}", fmt::join(r.nodes, " + ")), r.what});
    }
    plan_.fusions.insert(plan_.fusions.end(), kept_full_.begin(), kept_full_.end());
    return OkStatus();
  }

  std::shared_ptr<const plan::Plan> Snapshot() const {
    return std::make_shared<const plan::Plan>(plan_);
  }

  Status Verify() {
    plan::Certificate& c = plan_.certificate;
    c.figures_from_lockfile =
        true;  // in every plan: they lie in its PLAN.lock, whose digest the plan carries
    if (!options_.verify) {
      c.reason = "built with --no-verify";
      result_.report.verdict = "NOT VERIFIED: built with --no-verify";
      return OkStatus();
    }
    if (!RunsHere()) {
      c = lock_->certificate;
      c.figures_from_lockfile = true;
      result_.report.verdict = fmt::format(
          "not run: this machine lacks {}; figures and verdict are the lockfile's",
          target_.absent.empty() ? std::string(IsaName(static_cast<Isa>(plan_.target.isa)))
                                 : fmt::format("the device ({})", target_.absent));
      return OkStatus();
    }
    FUSEE_TRY(VerifyOutcome outcome, VerifyPlan(Snapshot(), reference_, options_.verify_budget_s,
                                                clock_, pool_.get(), target_.run()));
    reference_.reset();  // its weights are a second copy of the model's
    if (!outcome.passed) return VerificationFailed(outcome.failure);
    for (const VerifyOutcome::Corner& corner : outcome.to_sample) {
      FUSEE_TRY(SampledOutcome sampled,
                VerifySteps(imported_, *imported_.graph, selection_, Snapshot(), corner.values,
                            corner.fill, pool_.get(), target_.run(), corner.seed));
      if (!sampled.passed) {
        return VerificationFailed(corner.doubt.empty() ? sampled.failure
                                                       : corner.doubt + "; " + sampled.failure);
      }
      if (!corner.doubt.empty()) {
        result_.report.notes.push_back(
            "the model amplifies rounding (every step agrees with the reference): " + corner.doubt);
      }
      outcome.corners.push_back(std::move(sampled.corner));
    }
    c.verified = true;
    c.rtol = kVerifyRtol;
    c.atol = NormTolerance(outcome.reduced);
    c.batch_checked = outcome.batch_checked;
    c.batch_invariant = outcome.batch_invariant;
    c.corners = std::move(outcome.corners);
    FUSEE_TRY(c.golden, RecordGolden(Snapshot(), pool_.get(), target_.run()));
    result_.report.comparisons_skipped = outcome.skipped;
    if (!outcome.untried.empty()) result_.report.notes.push_back(outcome.untried);
    FUSEE_TRY(CheckAgainstLock());
    WordVerdict(outcome);
    return OkStatus();
  }

  // The level kernels are chosen for.
  Isa SelectedFor() const { return std::min(lock_ ? lock_->isa : HostCpu().isa, options_.max_isa); }

  // A locked rebuild may be for a machine that this one is not.
  bool RunsHere() const {
    return static_cast<Isa>(plan_.target.isa) <= HostCpu().isa &&
           (target_.kind == DeviceKind::kCpu || target_.device != nullptr);
  }

  static Status VerificationFailed(std::string_view failure) {
    return Status(StatusCode::kAborted, fmt::format("verification failed, no plan is written: {}. "
                                                    "To bisect, name passes with --disable-pass, "
                                                    "or use --reference-tactics",
                                                    failure));
  }

  // A locked rebuild takes the lockfile's figures, and must give the lockfile's bits.
  Status CheckAgainstLock() {
    if (!lock_) return OkStatus();
    const auto& want = lock_->certificate.golden;
    const auto& got = plan_.certificate.golden;
    for (size_t i = 0; i < std::max(want.size(), got.size()); ++i) {
      if (i >= want.size() || i >= got.size() || want[i].output_digests != got[i].output_digests) {
        return FailedPrecondition(
            fmt::format("golden outputs {} are not those of the lockfile: this machine or build "
                        "computes other bits; rebuild "
                        "without --locked and compare the two lockfiles",
                        i));
      }
    }
    plan_.certificate = lock_->certificate;
    plan_.certificate.figures_from_lockfile = true;
    return OkStatus();
  }

  void WordVerdict(const VerifyOutcome& outcome) {
    const plan::Certificate& c = plan_.certificate;
    result_.report.verdict =
        fmt::format("verified: {} comparisons with the reference kernels, {}; {}", c.corners.size(),
                    plan::WorstErrorText(c.corners),
                    c.batch_checked ? "a row's bits do not depend on the batch"
                                    : "batch rows not checked: " + outcome.batch_note);
  }

  Status Measure() {
    std::vector<plan::Latency> latencies(plan_.buckets.size());
    if (lock_) {
      latencies = lock_->latencies;
    } else if (options_.measure && !plan_.counts.empty()) {
      result_.report.notes.push_back(
          "latency is not measured: how long a run takes depends on how much it finds, and made-up "
          "inputs say little about that; servers learn it from requests");
    } else if (options_.measure) {
      FUSEE_TRY(latencies, MeasureBuckets(Snapshot(), options_.timing_budget_s, clock_, pool_.get(),
                                          target_.run()));
    }
    for (size_t i = 0; i < plan_.buckets.size(); ++i) plan_.buckets[i].latency = latencies[i];

    for (size_t i = 0; i < plan_.buckets.size(); ++i) {
      const plan::Latency& l = plan_.buckets[i].latency;
      if (!IsNoisy(l)) continue;
      if (l.p99_us <= kNoisyRatio * l.p50_us) {
        result_.report.notes.push_back(fmt::format(
            "latency at {} is of {} runs only, as many as the time for measuring allowed",
            DescribePoint(plan_, plan_.buckets[i].symbol_values), l.count));
        continue;
      }
      result_.report.notes.push_back(
          fmt::format("latency at {} is uncertain ({} runs, P99 {:.1f} times P50), and servers "
                      "book by it: rebuild on a "
                      "quiet machine",
                      DescribePoint(plan_, plan_.buckets[i].symbol_values), l.count,
                      l.p99_us / std::max(l.p50_us, 1e-9)));
    }

    Lockfile lock;
    lock.builder_version = std::string(BuilderVersion());
    lock.model_digest = ToHex(model_digest_);
    lock.options = plan_.provenance.options;
    lock.isa = lock_ ? lock_->isa : HostCpu().isa;
    lock.device = plan_.target.device;
    lock.gpu = plan_.target.gpu;
    lock.tuned = lock_ ? lock_->tuned : tuned_;
    lock.latencies = std::move(latencies);
    lock.certificate = plan_.certificate;
    for (const SelectedNode& s : selection_) {
      if (s.kernel == nullptr) continue;
      lock.tactics[LockName(*imported_.graph, imported_.graph->node(s.node))] =
          std::string(s.kernel->id);
    }
    result_.lockfile = WriteLockfile(lock);
    plan_.provenance.lockfile_digest = Sha256(std::as_bytes(std::span(result_.lockfile)));
    return OkStatus();
  }

  // The bytes are read back by the loader itself, golden replay included, before anybody sees them.
  Status Encode() {
    FUSEE_TRY(result_.bytes, plan::Encode(plan_));
    if (RunsHere()) {
      runtime::LoadOptions load;
      load.parallel = pool_.get();
      load.device = target_.device;
      load.kernels = target_.kernels;
      auto loaded = runtime::LoadedPlan::FromBytes(result_.bytes, nullptr, load);
      if (!loaded.ok()) return std::move(loaded).status().Annotate("the new plan does not load");
    }
    result_.report.plan_bytes = result_.bytes.size();
    result_.report.plan_digest = ToHex(Sha256(result_.bytes));
    return OkStatus();
  }

  void FillReport() {
    result_.report.model = path_;
    result_.report.device =
        target_.kind == DeviceKind::kCpu ? HostCpu().brand : plan_.target.gpu.name;
    for (const plan::Step& step : plan_.steps) {
      ++result_.report.kernels[step.kernel];
      if (plan_.is_host_step(step))
        result_.report.host_steps.push_back(
            fmt::format("{} ({})", step.op, fmt::join(step.sources, ", ")));
    }
    result_.plan = Snapshot();
  }

  const std::string& path_;
  const BuildOptions& options_;
  const Clock& clock_;
  std::unique_ptr<ThreadPool> pool_;
  std::shared_ptr<const onnx::Model> model_;
  Sha256Digest model_digest_{};
  std::optional<Lockfile> lock_;
  BuildTarget target_;
  tune::TimingCache timings_;
  TunedTactics tuned_;
  ImportedModel imported_;
  std::shared_ptr<const plan::Plan> reference_;
  passes::PipelineReport passes_;
  std::vector<plan::FusionRecord> kept_full_;  // nodes that stayed float32, and why
  std::vector<SelectedNode> selection_;
  plan::Plan plan_;
  BuildResult result_;
};

}  // namespace

std::string_view BuilderVersion() { return FUSEE_VERSION; }

Result<BuildResult> Build(const std::string& model_path, const BuildOptions& options,
                          const Clock& clock) {
  if (!HostCpu().supported) {
    return FailedPrecondition(
        "this CPU lacks AVX2, FMA or F16C, which Fusee needs; `fusee doctor` shows what it has");
  }
  return Builder(model_path, options, clock).Run();
}

}  // namespace fusee::compiler
