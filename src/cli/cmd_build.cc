// fusee build: ONNX in, verified plan, its lockfile and a report out.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/file.h"
#include "cli/command.h"
#include "cli/shape_options.h"
#include "cli/trtexec_build_options.h"
#include "compiler/build.h"
#include "compiler/report.h"
#include "device/thread_pool.h"
#include "ops/module.h"

namespace fusee::cli {
namespace {

class BuildCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    app.add_option("model,--onnx", model_, "the ONNX model")->required();
    app.add_option("-o,--save-plan,--saveEngine", plan_,
                   "plan file to write; default: the model's name with .plan");
    shapes_.Add(app);
    app.add_option("--locked", locked_,
                   "rebuild from this PLAN.lock: same tactics, same figures, same bytes");
    CLI::Option* budget =
        app.add_option("--verify-budget", options_.verify_budget_s,
                       "seconds for whole comparisons; what does not fit is verified step by step")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
    app.add_flag("--no-verify", no_verify_,
                 "skip the comparison with the reference; the plan says so, and servers refuse it")
        ->excludes(budget);
    app.add_option("--isa", isa_,
                   "use kernels up to this level: avx2, avx512, vnni, bf16, amx; "
                   "default: what this CPU has")
        ->check(CLI::IsMember({"avx2", "avx512", "vnni", "bf16", "amx"}));
    app.add_option(
           "--precision", precision_,
           "compute in fp32, fp16 or bf16 where that is safe; sums, norms and softmax "
           "accumulate in fp32 always; inputs and outputs keep their types, or have those of "
           "--inputIOFormats and --outputIOFormats")
        ->check(CLI::IsMember({"fp32", "fp16", "bf16"}));
    app.add_flag_callback(
        "--fp16", [this] { precision_ = "fp16"; }, "the same as --precision fp16");
    app.add_flag_callback(
        "--bf16", [this] { precision_ = "bf16"; }, "the same as --precision bf16");
    app.add_option(
           "--device", options_.device,
           "what the plan is for: cpu, cuda or cuda:N (for example --device cuda:1); a plan "
           "for a GPU is measured on it, or rebuilt with --locked")
        ->capture_default_str();
    app.add_flag("--allow-cpu-steps", options_.allow_cpu_steps,
                 "with --device cuda: steps that no kernel of the GPU takes run on the CPU, with "
                 "copies there and back; the report lists them");
    // Callbacks, because an option for both would count as given, as false, when neither is.
    app.add_flag_callback(
        "--tune", [this] { tune_ = true; },
        "time the ways every step can run and take the fastest; the default for a GPU");
    app.add_flag_callback(
        "--no-tune", [this] { tune_ = false; },
        "take the first way of the list (for example --device cuda --no-tune); the default for the "
        "CPU");
    limits_.Add(app);
    app.add_option("--disable-pass", options_.disabled_passes,
                   "a pass not to run, to bisect; repeat for several")
        ->allow_extra_args(false);
    app.add_flag("--reference-tactics", options_.reference_tactics,
                 "every step by its plain reference kernel");
    app.add_option("--dump-dir", options_.dump_dir,
                   "write the graph after every pass to this folder");
    app.add_option("--threads", options_.threads, "threads to use; 0: all this process may")
        ->check(CLI::Range(0, ThreadPool::kMaxWidth));
    app.add_option("--report", report_file_,
                   "also write the report (JSON) to this file; default: PLAN.report.json");
    app.add_flag("--json", json_, "print the report as JSON");
    app.add_flag("--quiet", quiet_, "no progress on standard error");
    app.footer(
        "Examples:\n"
        "  fusee build digits.onnx --shape-profile image:1x1x8x8,8x1x8x8,32x1x8x8\n"
        "  fusee build --onnx=m.onnx --saveEngine=m.plan --minShapes=x:1x8 --optShapes=x:4x8 "
        "--maxShapes=x:16x8\n"
        "  fusee build m.onnx -o m.plan --locked m.plan.lock\n"
        "  fusee build detector.onnx --bound nms/selected:0=300\n"
        "  fusee build resnet50.onnx --device cuda --fp16 --inputIOFormats=fp16:hwc "
        "--outputIOFormats=fp16:chw\n"
        "  fusee build m.onnx -o m.cuda.plan --device cuda --timingCacheFile=m.timings");
  }

  Result<ExitCode> Run() override {
    if (Status status = ApplyOptions(); !status.ok()) return PrintUsageError(status, json_);
    if (plan_.empty()) plan_ = DefaultPlanPath();
    if (report_file_.empty()) report_file_ = plan_ + ".report.json";
    if (Status status = CheckFolder(plan_); !status.ok()) return PrintUsageError(status, json_);
    if (!quiet_) {
      options_.progress = [](std::string_view phase) {
        std::fprintf(stderr, "fusee build: %.*s ...\n", static_cast<int>(phase.size()),
                     phase.data());
      };
    }
    FUSEE_TRY(compiler::BuildResult result, compiler::Build(model_, options_));
    FUSEE_TRY(limits_.Finish(result));
    FUSEE_TRY(WriteFileAtomically(plan_, std::span<const std::byte>(result.bytes)));
    FUSEE_TRY(WriteFileAtomically(plan_ + ".lock", std::string_view(result.lockfile)));
    FUSEE_TRY(WriteFileAtomically(report_file_, std::string_view(compiler::ReportJson(result))));
    if (json_) {
      std::fputs(compiler::ReportJson(result).c_str(), stdout);
    } else {
      std::fputs(compiler::ReportText(result).c_str(), stdout);
      fmt::print("written      {0}, {0}.lock, {1}\n", plan_, report_file_);
    }
    return ExitCode::kOk;
  }

 private:
  Status ApplyOptions() {
    FUSEE_TRY(shapes_.Apply(&options_));
    options_.verify = !no_verify_;
    for (Isa isa : {Isa::kAvx2, Isa::kAvx512, Isa::kVnni, Isa::kBf16, Isa::kAmx}) {
      if (IsaName(isa) == isa_) options_.max_isa = isa;
    }
    if (precision_ == "fp16") options_.precision = DType::kF16;
    if (precision_ == "bf16") options_.precision = DType::kBF16;
    FUSEE_TRY(const ops::DeviceName device, ops::ParseDeviceName(options_.device));
    if (device.kind == DeviceKind::kCpu && options_.allow_cpu_steps) {
      return InvalidArgument(
          "--allow-cpu-steps has no effect on a plan for the CPU; leave it out, or add --device "
          "cuda");
    }
    options_.tune = tune_;
    if (!locked_.empty() && tune_.value_or(false))
      return InvalidArgument("--tune has no effect beside --locked, which says what was chosen");
    if (!locked_.empty()) {
      FUSEE_TRY(options_.lockfile, ReadSmallFile(locked_));
    }
    return limits_.Prepare(&options_);
  }

  // Before the work, not after it.
  static Status CheckFolder(const std::string& file) {
    const size_t slash = file.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : file.substr(0, slash + 1);
    if (::access(folder.c_str(), W_OK | X_OK) == 0) return OkStatus();
    return InvalidArgument(
        fmt::format("cannot write '{}': folder '{}': {}; create it or choose another with -o", file,
                    folder, std::strerror(errno)));
  }

  std::string DefaultPlanPath() const {
    const size_t dot = model_.rfind('.');
    const size_t slash = model_.rfind('/');
    const bool has_suffix =
        dot != std::string::npos && (slash == std::string::npos || dot > slash + 1);
    return (has_suffix ? model_.substr(0, dot) : model_) + ".plan";
  }

  std::string model_, plan_, locked_, report_file_, isa_, precision_;
  ShapeOptions shapes_;
  TrtexecBuildOptions limits_;
  compiler::BuildOptions options_;
  std::optional<bool> tune_;
  bool no_verify_ = false, json_ = false, quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> Make_build() { return std::make_unique<BuildCommand>(); }

}  // namespace fusee::cli
