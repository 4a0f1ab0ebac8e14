// fusee bench: how fast a plan runs here, and how evenly. What runs, runs through the C ABI alone.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/file.h"
#include "cli/background_streams.h"
#include "cli/bench_report.h"
#include "cli/bit_check.h"
#include "cli/command.h"
#include "cli/device_choice.h"
#include "cli/driver_report.h"
#include "cli/host.h"
#include "cli/measure.h"
#include "cli/plan_file.h"
#include "cli/session.h"
#include "cli/shape_options.h"
#include "cli/step_profile.h"
#include "cli/tensor_io.h"
#include "cli/trtexec_build_options.h"
#include "compiler/build.h"
#include "compiler/profile.h"
#include "device/thread_pool.h"
#include "tensor/random.h"

namespace fusee::cli {
namespace {

constexpr uint64_t kInputSeed = 1;
constexpr double kProfileSeconds = 1;  // about how long the separate profile runs take
constexpr size_t kMaxProfileRuns = 1000;
constexpr size_t kMaxDeviceRuns = size_t{1} << 17;  // timed by the device, after those by the host
constexpr size_t kMaxWatchedRuns = 1000;            // while the driver's calls are counted
constexpr double kWatchedSeconds = 5;               // about how long those take at most
constexpr size_t kMinSeparateRuns = 10;             // of each kind of runs of their own
constexpr int kMaxStreams = 64;

// How many runs of their own fit the time, from the median of those that were timed.
size_t SeparateRuns(const Measurement& measured, double seconds, size_t most) {
  const double run_ms = std::max(measured.latency().Percentile(50), 1e-4);
  return static_cast<size_t>(
      std::clamp(seconds * 1e3 / run_ms, double{kMinSeparateRuns}, static_cast<double>(most)));
}

Duration Milliseconds(double ms) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms));
}

class BenchCommand final : public Command {
 public:
  BenchCommand() { session_options_.marks = true; }

  void AddOptions(CLI::App& app) override {
    CLI::Option* plan = app.add_option("plan,--plan,--loadEngine", plan_, "the plan to time");
    CLI::Option* onnx =
        app.add_option("--onnx", model_, "build this model and time it, in one go")->excludes(plan);
    AddBuildOptions(app, onnx);
    AddRunOptions(app);
    AddDeviceOptions(app);
    AddReportOptions(app);
    app.footer(
        "Closed loop, one run after another; time is that of the run alone, inputs in place. In "
        "between, a fixed block\n"
        "of arithmetic (the canary) is timed, which tells the machine's noise from the model's.\n"
        "Examples:\n"
        "  fusee bench digits.plan\n"
        "  fusee bench bert.cuda.plan --device cuda:0 --noDataTransfers --streams=2\n"
        "  fusee bench --loadEngine=digits.plan --shapes=image:8x1x8x8 --iterations=10000 "
        "--duration=0 --json\n"
        "  fusee bench --onnx=m.onnx --minShapes=x:1x8 --optShapes=x:4x8 --maxShapes=x:16x8 "
        "--dumpProfile");
  }

  Result<ExitCode> Run() override {
    if (plan_.empty() == model_.empty()) {
      return PrintUsageError(
          InvalidArgument("say what to time: a plan (PLAN, --loadEngine) or a model (--onnx)"),
          json_);
    }
    if (const Status status = ParseTexts(); !status.ok()) return PrintUsageError(status, json_);
    std::unique_ptr<Session> session;
    if (!model_.empty()) {
      FUSEE_TRY(session, BuildAndOpen());
      ShapesInPlanOrder(*session);
    } else {
      auto opened = Session::Open(plan_, session_options_);
      if (!opened.ok()) return PrintPlanError(opened.status(), json_);
      session = std::move(*opened);
    }
    if (const Status status = CheckDeviceOptions(*session); !status.ok())
      return PrintUsageError(status, json_);
    FUSEE_TRY(SetInputs(*session));
    FUSEE_TRY(BackgroundStreams others, OtherStreams(*session));
    std::optional<BitCheck> bits;
    if (check_bits_) bits.emplace(*session);
    FUSEE_TRY(Measurement measured, Time({session.get(), bits ? &*bits : nullptr}));
    BenchReport report = Describe(*session);
    FUSEE_TRY(report.device_ns,
              TimeOnDevice({session.get(), bits ? &*bits : nullptr}, measured.latency_ns.size()));
    FUSEE_TRY(others.Stop());
    report.streams = streams_;
    report.other_runs = others.runs();
    report.other_seconds = streams_ > 1 ? others.seconds() : 0;
    if (bits) {
      report.bits = bits->report();
      FUSEE_TRY(report.bits.positions, CheckPositions(*session));
    }
    FUSEE_TRY(const std::optional<StepProfile> profile, Profile(*session, measured));
    if (session->on_device() && watch_driver_) {  // last, because it makes all that follows slower
      FUSEE_TRY(report.driver,
                WatchDriverDuringRuns(*session,
                                      SeparateRuns(measured, kWatchedSeconds, kMaxWatchedRuns)));
    }
    report.measured = std::move(measured);
    std::fputs((json_ ? BenchJson(report) : BenchText(report)).c_str(), stdout);
    FUSEE_TRY(Extras(*session, report.measured, profile));
    return report.bits.all_same() ? ExitCode::kOk : ExitCode::kVerificationFailed;
  }

 private:
  // What is run again and again; bits is null when nobody asked for them.
  struct Timed {
    Session* session;
    BitCheck* bits;
  };

  void AddBuildOptions(CLI::App& app, CLI::Option* onnx) {
    shapes_.Add(app);
    for (const char* name :
         {"--shape-profile", "--minShapes", "--optShapes", "--maxShapes", "--pin"}) {
      app.get_option(name)->needs(onnx);
    }
    app.get_option("--shapes")
        ->description(
            "NAME:SHAPE[,NAME:SHAPE...]: the shapes to time; default: the plan's optimum");
    app.add_option("--save-plan,--saveEngine", save_plan_,
                   "with --onnx: keep the plan in this file, its lockfile beside it")
        ->needs(onnx);
    limits_.Add(app, onnx);
    app.add_flag("--no-verify", no_verify_,
                 "with --onnx: time a plan that was not compared with the reference")
        ->needs(onnx);
  }

  void AddRunOptions(CLI::App& app) {
    app.add_option("--input", inputs_,
                   "NAME=FILE: .npy, .pb, else raw bytes; default: seeded random values")
        ->allow_extra_args(false);
    app.add_option("--loadInputs", load_inputs_, "trtexec: NAME:FILE[,NAME:FILE...]");
    app.add_option("--iterations", iterations_, "time at least so many runs")
        ->check(CLI::Range(size_t{1}, kMaxRuns))
        ->capture_default_str();
    app.add_option("--warmUp", warm_up_ms_, "run untimed for so many milliseconds before")
        ->check(CLI::Range(0.0, 1e6))
        ->capture_default_str();
    app.add_option("--duration", duration_s_, "time runs for at least so many seconds")
        ->check(CLI::Range(0.0, 1e5))
        ->capture_default_str();
    app.add_option("--threads", session_options_.threads, "threads to use; 0: all this process may")
        ->check(CLI::Range(0, ThreadPool::kMaxWidth))
        ->capture_default_str();
    app.add_flag(
        "--check-bits", check_bits_,
        "compare the outputs of all runs, and of a row in every position of the batch, bit "
        "by bit; exit code 7 when they differ");
    app.add_option("--canary-every", canary_every_ms_,
                   "milliseconds between noise canaries; 0: none")
        ->check(CLI::Range(0.0, 1e6))
        ->capture_default_str();
  }

  void AddDeviceOptions(CLI::App& app) {
    app.add_option("--device", session_options_.device,
                   std::string(kDeviceHelp) + "; with --onnx: what to build for, default cpu");
    graphs_option_ =
        app.add_flag("--useCudaGraph,!--no-cuda-graph", use_graphs_,
                     "of a plan on a GPU: launch one captured graph a run (the default), or with "
                     "--no-cuda-graph step by step");
    device_options_ = {
        graphs_option_,
        app.add_flag("--noDataTransfers", session_options_.no_transfers,
                     "of a plan on a GPU: leave inputs and outputs where they are, so that the "
                     "time is the steps' alone")};
    device_options_.push_back(app.add_flag("--watch-driver,!--no-watch-driver", watch_driver_,
                                           "of a plan on a GPU: count in runs of their own what "
                                           "the driver is asked for (the default)"));
    device_options_.push_back(
        app.add_flag("--nvtx,!--no-nvtx", session_options_.marks,
                     "of a plan on a GPU: name runs and steps for Nsight Systems (the default)"));
    app.add_option("--streams,--infStreams", streams_,
                   "contexts that run at once, each from a thread of its own; the first is timed "
                   "(for example --streams=4)")
        ->check(CLI::Range(1, kMaxStreams))
        ->capture_default_str();
  }

  void AddReportOptions(CLI::App& app) {
    app.add_option("--avgRuns", average_runs_, "also print the mean of every so many runs")
        ->check(CLI::Range(size_t{1}, kMaxRuns));
    app.add_option("--percentile", percentiles_, "further percentiles, comma-separated")
        ->delimiter(',')
        ->check(CLI::Range(0.0, 100.0));
    app.add_flag("--dumpProfile", dump_profile_,
                 "print the time of every step, from runs of their own");
    app.add_flag("--trace-allocations", trace_allocations_,
                 "when timed runs ask the heap for memory, print where from");
    app.add_option("--exportProfile", export_profile_, "write it to this file as JSON");
    app.add_flag("--dumpLayerInfo", dump_layers_, "print the plan's steps");
    app.add_option("--exportLayerInfo", export_layers_,
                   "write what the plan holds to this file as JSON");
    app.add_option("--exportTimes", export_times_,
                   "write the time of every run to this file as JSON");
    app.add_flag("--json", json_, "print as JSON");
  }

  // Everything the parser took as text.
  Status ParseTexts() {
    if (json_ && (dump_profile_ || dump_layers_)) {
      return InvalidArgument(fmt::format("{} has no effect beside --json; use {} FILE",
                                         dump_profile_ ? "--dumpProfile" : "--dumpLayerInfo",
                                         dump_profile_ ? "--exportProfile" : "--exportLayerInfo"));
    }
    FUSEE_TRY(CheckDeviceName(session_options_.device));
    session_options_.no_graphs = graphs_option_->count() > 0 && !use_graphs_;
    FUSEE_TRY(files_, ParseInputFiles(inputs_, load_inputs_));
    if (!shapes_.fixed.empty()) {
      auto named = compiler::ParseNamedShapes(shapes_.fixed);
      if (!named.ok()) return std::move(named).status().Annotate("--shapes");
      run_shapes_ = std::move(*named);
    }
    if (model_.empty()) return OkStatus();
    if (!session_options_.device.empty()) build_.device = session_options_.device;
    FUSEE_TRY(limits_.Prepare(&build_));
    // As trtexec: --shapes alone is also the shape to build for; beside a profile it is only the
    // shape to time.
    ShapeOptions profile = shapes_;
    if (!profile.profiles.empty() || !profile.min.empty() || !profile.opt.empty() ||
        !profile.max.empty()) {
      profile.fixed.clear();
    }
    return profile.Apply(&build_);
  }

  // What was asked of a GPU's plan has no effect on the CPU's, which is an error.
  Status CheckDeviceOptions(const Session& session) const {
    if (session.on_device()) return OkStatus();
    for (const CLI::Option* option : device_options_) {
      if (option->count() == 0) continue;
      return InvalidArgument(fmt::format("{} has no effect on a plan for the CPU; leave it out",
                                         option->get_name(false, true)));
    }
    return OkStatus();
  }

  Result<std::unique_ptr<Session>> BuildAndOpen() {
    build_.verify = !no_verify_;
    build_.threads = session_options_.threads;
    build_.progress = [](std::string_view phase) {
      std::fprintf(stderr, "fusee bench: build: %.*s ...\n", static_cast<int>(phase.size()),
                   phase.data());
    };
    // What is kept must serve later builds and servers, which want the latency table too.
    build_.measure = limits_.writes_cache() || !save_plan_.empty();
    FUSEE_TRY(compiler::BuildResult built, compiler::Build(model_, build_));
    FUSEE_TRY(limits_.Finish(built));
    if (!save_plan_.empty()) {
      FUSEE_TRY(WriteFileAtomically(save_plan_, std::span<const std::byte>(built.bytes)));
      FUSEE_TRY(WriteFileAtomically(save_plan_ + ".lock", std::string_view(built.lockfile)));
    }
    return Session::OpenBytes(built.bytes, session_options_);
  }

  // Beside --onnx a shape has the model's order of axes, for which it was also built.
  void ShapesInPlanOrder(const Session& session) {
    for (auto& [name, dims] : run_shapes_) {
      const auto port = std::ranges::find(session.inputs(), name, &IoPort::name);
      if (port != session.inputs().end() && port->channels_last && dims.size() > 2)
        std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
    }
  }

  // Files where given, at their shapes; the rest at --shapes or the optimum, with seeded values.
  Status SetInputs(Session& session) {
    NamedShapes raw_shapes, other_shapes;
    for (const auto& named : run_shapes_) {
      const bool from_file =
          std::ranges::any_of(files_, [&](const NamedFile& f) { return f.name == named.first; });
      (from_file ? raw_shapes : other_shapes).push_back(named);
    }
    for (const auto& [name, dims] : other_shapes) {
      FUSEE_TRY(size_t input, session.FindInput(name));
      FUSEE_TRY(session.SetShape(input, Shape(dims)));
    }
    FUSEE_TRY(LoadInputs(session, files_, raw_shapes));
    for (size_t i = 0; i < session.inputs().size(); ++i) {
      const IoPort& port = session.inputs()[i];
      const bool from_file =
          std::ranges::any_of(files_, [&](const NamedFile& f) { return f.name == port.name; });
      if (from_file || port.pinned) continue;
      FUSEE_TRY(TensorView memory, session.Input(i));
      // Integers are 0 or 1: they may index any table.
      FillRandom(memory, Fill::kUniform, kInputSeed, i, 0, 1);
    }
    return session.MoveInputs();  // with --noDataTransfers no run does
  }

  Result<BackgroundStreams> OtherStreams(Session& session) const {
    return BackgroundStreams::Start(session, session_options_, streams_ - 1);
  }

  // The same inputs again, timed by the device; nothing on the CPU.
  static Result<std::vector<int64_t>> TimeOnDevice(const Timed& timed, size_t runs) {
    std::vector<int64_t> times;
    if (!timed.session->on_device()) return times;
    for (size_t i = 0; i < std::min(runs, kMaxDeviceRuns); ++i) {
      FUSEE_TRY(const double us, timed.session->RunDeviceTimed());
      if (timed.bits != nullptr) FUSEE_TRY(timed.bits->AfterRun());
      times.push_back(static_cast<int64_t>(us * 1e3));
    }
    return times;
  }

  Result<Measurement> Time(Timed timed) const {
    MeasureOptions options;
    options.min_runs = iterations_;
    options.duration = Milliseconds(duration_s_ * 1e3);
    options.warm_up = Milliseconds(warm_up_ms_);
    options.trace_heap = trace_allocations_;
    options.canary_every = Milliseconds(canary_every_ms_);
    Subject subject{[](void* t) { return static_cast<Timed*>(t)->session->Run(); }, &timed};
    if (timed.bits != nullptr)
      subject.after = [](void* t) { return static_cast<Timed*>(t)->bits->AfterRun(); };
    return Measure(subject, options, SteadyClock());
  }

  BenchReport Describe(Session& session) const {
    const fusee_plan_info& info = session.info();
    const Host host = ReadHost();
    BenchReport report;
    report.subject = model_.empty() ? plan_ : model_;
    report.device = session.on_device() ? session.DeviceName() : host.cpu_brand;
    report.on_device = session.on_device();
    report.transfers = !session_options_.no_transfers;
    report.isa = IsaName(host.isa);
    report.plan_isa = info.isa;
    report.model = info.model_name;
    report.builder_version = info.builder_version;
    report.version = fusee_version();
    report.verified = info.verified != 0;
    report.unverified_reason = info.unverified_reason;
    report.threads = session.threads();
    report.usable_cores = host.usable_cores();
    report.weights_bytes = info.weights_bytes;
    report.context_bytes = info.context_bytes;
    report.load_ms = static_cast<double>(info.load_ns) / 1e6;
    report.context_ms = session.context_ms();
    report.percentiles = ReportedPercentiles(percentiles_);
    report.average_runs = average_runs_;
    for (size_t i = 0; i < session.inputs().size(); ++i) {
      const auto view = session.Input(i);
      if (!view.ok()) continue;
      report.shapes.push_back(fmt::format("{} {}", session.inputs()[i].name,
                                          fusee::Describe(view->dtype, view->shape)));
    }
    return report;
  }

  Result<std::optional<StepProfile>> Profile(Session& session, const Measurement& measured) const {
    std::optional<StepProfile> profile;
    if (dump_profile_ || !export_profile_.empty()) {
      FUSEE_TRY(profile,
                ProfileSteps(session, SeparateRuns(measured, kProfileSeconds, kMaxProfileRuns)));
    }
    return profile;
  }

  // Dumps and exports.
  Status Extras(Session& session, const Measurement& measured,
                const std::optional<StepProfile>& profile) const {
    if (profile) {
      if (dump_profile_) std::fputs(ProfileText(*profile).c_str(), stdout);
      FUSEE_TRY(Export(export_profile_, ProfileJson(*profile)));
    }
    if (dump_layers_) {
      FUSEE_TRY(std::string text, session.Describe(FUSEE_PLAN_TEXT));
      std::fputs(text.c_str(), stdout);
    }
    if (!export_layers_.empty()) {
      FUSEE_TRY(std::string text, session.Describe(FUSEE_PLAN_JSON));
      FUSEE_TRY(Export(export_layers_, text));
    }
    return export_times_.empty() ? OkStatus() : Export(export_times_, TimesJson(measured));
  }

  static Status Export(const std::string& path, std::string_view text) {
    return path.empty() ? OkStatus() : WriteFileAtomically(path, text);
  }

  // As given.
  std::string plan_, model_, load_inputs_, save_plan_;
  TrtexecBuildOptions limits_;
  std::string export_profile_, export_layers_, export_times_;
  std::vector<std::string> inputs_;
  ShapeOptions shapes_;
  SessionOptions session_options_;
  CLI::Option* graphs_option_ = nullptr;
  std::vector<const CLI::Option*> device_options_;  // those without effect on the CPU
  bool use_graphs_ = true, watch_driver_ = true;
  int streams_ = 1;
  size_t iterations_ = 10, average_runs_ = 0;
  double warm_up_ms_ = 200, duration_s_ = 3, canary_every_ms_ = 20;
  std::vector<double> percentiles_;
  bool check_bits_ = false, trace_allocations_ = false;
  bool no_verify_ = false, dump_profile_ = false, dump_layers_ = false, json_ = false;
  // Parsed.
  compiler::BuildOptions build_;
  std::vector<NamedFile> files_;
  NamedShapes run_shapes_;
};

}  // namespace

std::unique_ptr<Command> Make_bench() { return std::make_unique<BenchCommand>(); }

}  // namespace fusee::cli
