// fusee check: will this plan run here? Reads the plan's first page only.
#include <fmt/format.h>

#include <cstdio>

#include "cli/command.h"
#include "cli/device_choice.h"
#include "cli/host.h"
#include "cli/plan_file.h"
#include "ops/module.h"
#include "plan/check.h"
#include "plan/plan.h"
#include "runtime/gpu_facts.h"

namespace fusee::cli {
namespace {

class CheckCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    app.add_option("plan,--plan,--loadEngine", plan_, "the plan")->required();
    app.add_flag("--json", json_, "print as JSON");
    app.add_option("--device", device_,
                   std::string("of a plan for a GPU, the one to judge by: ") + kDeviceHelp);
    app.footer(
        "Prints ok, ok-but-retune or incompatible, then each finding: field, need, have, remedy.\n"
        "Exit code 6 when incompatible. Reads 4 KiB; `fusee verify` reads and runs the whole "
        "plan.\n"
        "Examples:\n"
        "  fusee check digits.plan\n"
        "  fusee check --json digits.plan\n"
        "  fusee check bert.cuda.plan --device cuda:1");
  }

  Result<ExitCode> Run() override {
    auto header = ReadPlanHeader(plan_);
    if (!header.ok()) return PrintPlanError(header.status(), json_);
    if (!device_.empty() && header->device == "cpu") {
      return PrintUsageError(
          InvalidArgument("--device has no effect: the plan is for the CPU; leave it out"), json_);
    }
    const Host host = ReadHost();
    plan::HostFacts facts;
    facts.cpu_supported = host.cpu_supported;
    facts.isa = static_cast<uint8_t>(host.isa);
    facts.memory_bytes = host.memory.usable_bytes();
    facts.format_version = plan::kFormatVersion;
    if (header->device != "cpu") {
      auto opened = ops::OpenDevice(device_.empty() ? header->device : device_);
      if (opened.ok() && opened->device != nullptr) {
        facts.gpu = runtime::FactsOf(opened->device->info());
      } else if (!opened.ok()) {
        facts.no_gpu_reason = opened.status().message();
      }
    }
    const plan::CheckReport report = plan::Check(*header, facts);
    std::fputs((json_ ? plan::CheckJson(report) : plan::CheckText(report)).c_str(), stdout);
    return report.verdict == plan::Verdict::kIncompatible ? ExitCode::kIncompatiblePlan
                                                          : ExitCode::kOk;
  }

 private:
  std::string plan_, device_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> Make_check() { return std::make_unique<CheckCommand>(); }

}  // namespace fusee::cli
