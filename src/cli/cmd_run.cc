// fusee run: one run of a plan on given inputs, through the C ABI alone.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/device_choice.h"
#include "cli/json_text.h"
#include "cli/plan_file.h"
#include "cli/session.h"
#include "cli/tensor_io.h"
#include "compiler/profile.h"
#include "device/thread_pool.h"
#include "tensor/tensor_file.h"

namespace fusee::cli {
namespace {

class RunCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    app.add_option("plan,--plan,--loadEngine", plan_, "the plan")->required();
    app.add_option("--input", inputs_,
                   "NAME=FILE: .npy, .pb (a serialised TensorProto), else raw bytes; one per input")
        ->allow_extra_args(false);
    app.add_option("--loadInputs", load_inputs_, "trtexec: NAME:FILE[,NAME:FILE...]");
    app.add_option("--shapes", shapes_,
                   "NAME:SHAPE[,NAME:SHAPE...]: shapes of inputs that come from raw files");
    app.add_option("--output", outputs_,
                   "NAME=FILE: write an output, in the form its suffix says; repeat for several")
        ->allow_extra_args(false);
    app.add_option(
        "--output-dir", output_dir_,
        "write every output to this folder as NAME.npy, or NAME.pb where .npy has no such type");
    app.add_option("--threads", session_.threads, "threads to use; 0: all this process may")
        ->check(CLI::Range(0, ThreadPool::kMaxWidth));
    app.add_option("--device", session_.device, kDeviceHelp);
    app.add_flag("--skip-golden", session_.skip_golden,
                 "do not replay the plan's golden inputs before");
    app.add_flag("--json", json_, "print as JSON");
    app.footer(
        "Prints each output's shape, type, smallest, largest and mean value, and its first "
        "values.\n"
        "Examples:\n"
        "  fusee run digits.plan --input image=pixels.npy\n"
        "  fusee run digits.plan --input image=pixels.bin --shapes image:4x1x8x8 --output "
        "logits=logits.npy\n"
        "  fusee run m.cuda.plan --device cuda:1 --input x=x.npy\n"
        "  fusee run --loadEngine=m.plan --loadInputs=a:a.npy,b:b.pb --output-dir=results");
  }

  Result<ExitCode> Run() override {
    if (const Status status = CheckDeviceName(session_.device); !status.ok())
      return PrintUsageError(status, json_);
    auto files = ParseInputFiles(inputs_, load_inputs_);
    if (!files.ok()) return PrintUsageError(files.status(), json_);
    NamedShapes shapes;
    if (!shapes_.empty()) {
      auto parsed = compiler::ParseNamedShapes(shapes_);
      if (!parsed.ok())
        return PrintUsageError(std::move(parsed).status().Annotate("--shapes"), json_);
      shapes = std::move(*parsed);
    }
    auto opened = Session::Open(plan_, session_);
    if (!opened.ok()) return PrintPlanError(opened.status(), json_);
    Session& session = **opened;
    if (const Status status = PlanOutputs(session); !status.ok())
      return PrintUsageError(status, json_);
    FUSEE_TRY(CheckAllGiven(session, *files));
    FUSEE_TRY(LoadInputs(session, *files, shapes));

    const TimePoint start = SteadyClock().Now();
    FUSEE_TRY(session.Run());
    const double ms =
        std::chrono::duration<double, std::milli>(SteadyClock().Now() - start).count();
    FUSEE_TRY(WriteOutputs(session));
    FUSEE_TRY(Print(session, ms));
    return ExitCode::kOk;
  }

 private:
  // Which file each output goes to; before the run, so that a mistake costs no run.
  Status PlanOutputs(const Session& session) {
    for (const std::string& text : outputs_) {
      FUSEE_TRY(NamedFile named, ParseNamedFile(text, "--output"));
      FUSEE_TRY(session.FindOutput(named.name));
      if (!files_.emplace(named.name, named.file).second) {
        return InvalidArgument(fmt::format("--output names '{}' twice", named.name));
      }
    }
    for (const IoPort& port : session.outputs()) {
      const auto it = files_.find(port.name);
      if (it == files_.end() || FormatOf(it->second) != TensorFormat::kNpy) continue;
      if (!HasNpyType(port.dtype)) {
        return InvalidArgument(fmt::format(
            "--output {}: .npy has no type {}; name a .pb file (TensorProto), or a raw one",
            port.name, DTypeName(port.dtype)));
      }
    }
    if (output_dir_.empty()) return OkStatus();
    if (!files_.empty()) return InvalidArgument("--output and --output-dir exclude each other");
    std::map<std::string, std::string> taken;  // file names by the output that has them
    for (const IoPort& port : session.outputs()) {
      const std::string file = FileNameOf(port.name) + (HasNpyType(port.dtype) ? ".npy" : ".pb");
      const auto [it, fresh] = taken.emplace(file, port.name);
      if (!fresh) {
        return InvalidArgument(
            fmt::format("outputs '{}' and '{}' would both be {}; name files with --output",
                        it->second, port.name, file));
      }
      files_[port.name] = output_dir_ + "/" + file;
    }
    return OkStatus();
  }

  static Status CheckAllGiven(const Session& session, const std::vector<NamedFile>& files) {
    std::string missing;
    for (const IoPort& port : session.inputs()) {
      const bool given =
          std::ranges::any_of(files, [&](const NamedFile& f) { return f.name == port.name; });
      if (!given && !port.pinned) {
        missing += fmt::format("{}'{}' {}{}", missing.empty() ? "" : ", ", port.name,
                               DTypeName(port.dtype), port.shape_text);
      }
    }
    if (missing.empty()) return OkStatus();
    return InvalidArgument(
        fmt::format("no file given for input {}; say --input NAME=FILE", missing));
  }

  Status WriteOutputs(const Session& session) const {
    if (!output_dir_.empty() && ::mkdir(output_dir_.c_str(), 0777) != 0 && errno != EEXIST) {
      return Unavailable(
          fmt::format("cannot make the folder '{}': {}", output_dir_, std::strerror(errno)));
    }
    for (size_t i = 0; i < session.outputs().size(); ++i) {
      const auto it = files_.find(session.outputs()[i].name);
      if (it == files_.end()) continue;
      FUSEE_TRY(ConstTensorView view, session.Output(i));
      FUSEE_TRY(WriteTensor(it->second, view, it->first));
    }
    return OkStatus();
  }

  Status Print(const Session& session, double ms) const {
    JsonText json;
    json.Object()
        .Field("plan", plan_)
        .Field("model", session.info().model_name)
        .Field("run_ms", ms)
        .Array("outputs");
    if (!json_) fmt::print("run        {:.3f} ms (a first run; `fusee bench` measures)\n", ms);
    for (size_t i = 0; i < session.outputs().size(); ++i) {
      const std::string& name = session.outputs()[i].name;
      FUSEE_TRY(ConstTensorView view, session.Output(i));
      const TensorSummary s = Summarise(view);
      const auto file = files_.find(name);
      if (json_) {
        json.Object().Field("name", name).Field("dtype", DTypeName(view.dtype)).Array("shape");
        for (int64_t d : view.shape.dims()) json.Value(d);
        json.EndArray()
            .Field("min", s.min)
            .Field("max", s.max)
            .Field("mean", s.mean)
            .Field("nans", s.nans);
        json.Array("first");
        for (double v : s.first) json.Value(v);
        json.EndArray();
        if (file != files_.end()) json.Field("file", file->second);
        json.EndObject();
        continue;
      }
      fmt::print("{:<10} {}: min {:.6g}, max {:.6g}, mean {:.6g}{}\n", name,
                 Describe(view.dtype, view.shape), s.min, s.max, s.mean,
                 s.nans > 0 ? fmt::format(", {} NaN", s.nans) : "");
      const bool more = s.elements > static_cast<int64_t>(s.first.size());
      fmt::print("           {:.6g}{}\n", fmt::join(s.first, " "), more ? " ..." : "");
      if (file != files_.end()) fmt::print("           written to {}\n", file->second);
    }
    json.EndArray().EndObject();
    if (json_) json.Print();
    return OkStatus();
  }

  std::string plan_, load_inputs_, shapes_, output_dir_;
  std::vector<std::string> inputs_, outputs_;
  std::map<std::string, std::string> files_;  // output name to file
  SessionOptions session_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> Make_run() { return std::make_unique<RunCommand>(); }

}  // namespace fusee::cli
