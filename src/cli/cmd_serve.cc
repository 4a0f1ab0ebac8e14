// fusee serve: a model repository behind HTTP. Checks its flags, then becomes fusee-front: a
// program of its own, because a server's front links no kernel.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/command.h"
#include "cli/own_folder.h"
#include "cli/serve_flags.h"

namespace fusee::cli {
namespace {

class ServeCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    flags_.Add(app);
    app.add_flag("--json", json_, "print an error that ends the server as JSON");
    app.footer(
        "Speaks KServe v2 with Triton's extensions. Models run in worker processes: one that dies "
        "is replaced, and what\n"
        "it was running is run by another. Ends with exit code 0 after SIGTERM or SIGINT, when "
        "what "
        "was in flight is\n"
        "answered.\n"
        "Examples:\n"
        "  fusee serve --model-repository models\n"
        "  fusee serve --model-repository models --workers 2\n"
        "  fusee serve --model-repository models --http-port 0 --metrics-port 0 --port-file port\n"
        "  curl localhost:8000/v2/models/digits");
  }

  Result<ExitCode> Run() override {
    if (const Status status = flags_.Apply(); !status.ok()) return PrintUsageError(status, json_);
    FUSEE_TRY(std::string front, CompanionPath("fusee-front"));
    std::vector<std::string> words = Arguments();
    words.insert(words.begin(), front);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execv(front.c_str(), argv.data());
    return Unavailable(std::string("cannot start '") + front + "': " + std::strerror(errno));
  }

 private:
  ServeFlags flags_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> Make_serve() { return std::make_unique<ServeCommand>(); }

}  // namespace fusee::cli
