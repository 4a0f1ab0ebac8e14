// fusee serve: a model repository behind HTTP.
#include "cli/command.h"
#include "cli/serve_flags.h"
#include "device/thread_pool.h"
#include "server/serve.h"
#include "worker/in_process_executor.h"

namespace fusee::cli {
namespace {

class ServeCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    flags_.Add(app);
    app.add_flag("--json", json_, "print an error that ends the server as JSON");
    app.footer(
        "Speaks KServe v2 with Triton's extensions. Ends with exit code 0 after SIGTERM or SIGINT, "
        "when what was in\n"
        "flight is answered.\n"
        "Examples:\n"
        "  fusee serve --model-repository models\n"
        "  fusee serve --model-repository models --http-port 0 --metrics-port 0 --port-file port\n"
        "  curl localhost:8000/v2/models/digits");
  }

  Result<ExitCode> Run() override {
    if (const Status status = flags_.Apply(); !status.ok()) return PrintUsageError(status, json_);
    ThreadPool pool({.width = flags_.threads});
    worker::InProcessExecutor executor({.parallel = &pool});
    FUSEE_TRY(server::Serve(flags_.options, executor));
    return ExitCode::kOk;
  }

 private:
  ServeFlags flags_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> Make_serve() { return std::make_unique<ServeCommand>(); }

}  // namespace fusee::cli
