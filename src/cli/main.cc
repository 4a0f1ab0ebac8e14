// fusee: the one command-line program.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "cli/command.h"
#include "cli/usage.h"
#include "compiler/build.h"

namespace fusee::cli {
namespace {

struct Entry {
  const char* name;
  const char* summary;
  std::unique_ptr<Command> (*make)();
};

constexpr Entry kCommands[] = {
#define FUSEE_COMMAND(name, summary) {#name, summary, &Make_##name},
#include "cli/commands.inc"
#undef FUSEE_COMMAND
};

bool WantsJson(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) return true;
  }
  return false;
}

int Main(int argc, char** argv) {
  InitLog("info");
  CLI::App app("Fusee: verified, reproducible model plans, served under a service-level agreement.",
               "fusee");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(compiler::BuilderVersion()));
  app.footer(
      "`fusee COMMAND --help` has examples. Exit codes: 0 ok, 1 error, 2 usage, 3 unsupported, 4 "
      "accuracy budget,\n"
      "5 latency budget, 6 incompatible plan, 7 verification failed, 8 resource limit.");
  std::vector<std::unique_ptr<Command>> commands;
  std::vector<CLI::App*> apps;
  for (const Entry& entry : kCommands) {
    CLI::App* sub = app.add_subcommand(entry.name, entry.summary);
    commands.push_back(entry.make());
    commands.back()->AddOptions(*sub);
    apps.push_back(sub);
  }
  if (argc > 1 && argv[1][0] != '-' &&
      std::none_of(std::begin(kCommands), std::end(kCommands),
                   [&](const Entry& e) { return std::strcmp(e.name, argv[1]) == 0; })) {
    PrintError(NoSuchCommand(argv[1], app), WantsJson(argc, argv));
    return static_cast<int>(ExitCode::kUsage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    PrintError(UsageError(error, app), WantsJson(argc, argv));
    return static_cast<int>(ExitCode::kUsage);
  }
  SetArguments({argv + std::min(argc, 2), argv + argc});
  for (size_t i = 0; i < apps.size(); ++i) {
    if (!apps[i]->parsed()) continue;
    auto code = commands[i]->Run();
    if (code.ok()) return static_cast<int>(*code);
    PrintError(code.status(), WantsJson(argc, argv));
    return static_cast<int>(ExitCodeFor(code.status()));
  }
  return static_cast<int>(ExitCode::kUsage);
}

}  // namespace
}  // namespace fusee::cli

int main(int argc, char** argv) { return fusee::cli::Main(argc, argv); }
