// fusee-front: sockets, scheduling, supervision. Takes the flags of `fusee serve`, which becomes
// this program, and starts the workers beside its own binary. Links no kernel, no runtime and no
// CUDA (tests/front_link_test.sh).
#include <fmt/format.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/own_folder.h"
#include "cli/serve_flags.h"
#include "server/repository.h"
#include "server/supervisor.h"

namespace fusee::cli {
namespace {

// A worker of a kind that no model has a plan for would only hold memory.
bool AnyPlanFor(const server::ServeOptions& options, std::string_view kind) {
  const auto scan = server::ScanRepository(options.model_repository, options.device_order);
  if (!scan.ok()) return false;  // the server says why
  for (const server::ModelFolder& model : scan->models) {
    for (const auto& plan : model.plans) {
      if (plan.kind == kind) return true;
    }
  }
  return false;
}

Result<std::unique_ptr<server::Supervisor>> MakeSupervisor(const ServeFlags& flags) {
  server::Supervisor::Options options;
  FUSEE_TRY(options.worker_path, CompanionPath("fusee-worker"));
  options.threads = flags.threads;
  options.slab_bytes = flags.request_memory;
  options.marks = flags.nvtx;
  const auto add = [&](const std::string& kind, int index, std::string open_as) {
    server::WorkerLimits limits = server::LimitsFor(kind);
    limits.probe = std::chrono::milliseconds(flags.golden_probe_ms);
    options.devices.push_back({.info = {fmt::format("{}:{}", kind, index), kind},
                               .open_as = std::move(open_as),
                               .limits = limits,
                               .faults = flags.worker_faults});
  };
  if (AnyPlanFor(flags.options, "cuda")) {
    for (int i = 0; i < flags.cuda_devices; ++i) add("cuda", i, fmt::format("cuda:{}", i));
  }
  for (int i = 0; i < flags.workers; ++i) add("cpu", i, "cpu");
  return server::Supervisor::Create(std::move(options), &SteadyClock());
}

Result<ExitCode> Run(ServeFlags& flags, bool json) {
  if (const Status status = flags.Apply(); !status.ok()) return PrintUsageError(status, json);
  FUSEE_TRY(const auto supervisor, MakeSupervisor(flags));
  FUSEE_TRY(server::Serve(flags.options, *supervisor));
  return ExitCode::kOk;
}

int Main(int argc, char** argv) {
  InitLog("info");
  CLI::App app("The serving process of fusee; start it as `fusee serve`.", "fusee-front");
  ServeFlags flags;
  bool json = false;
  flags.Add(app);
  app.add_flag("--json", json, "print an error that ends the server as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return error.get_exit_code() == 0 ? app.exit(error)
                                      : (app.exit(error), static_cast<int>(ExitCode::kUsage));
  }
  const auto code = Run(flags, json);
  if (code.ok()) return static_cast<int>(*code);
  PrintError(code.status(), json);
  return static_cast<int>(ExitCodeFor(code.status()));
}

}  // namespace
}  // namespace fusee::cli

int main(int argc, char** argv) { return fusee::cli::Main(argc, argv); }
