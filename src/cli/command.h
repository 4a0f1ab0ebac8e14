// The command line: `fusee COMMAND [options]`. Each command is one file cmd_<name>.cc with one
// function, and one line in commands.inc. Results go to standard output (and are JSON with --json),
// everything else to standard error.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fusee::cli {

// What the process returns. Stable: scripts depend on them.
enum class ExitCode : int {
  kOk = 0,
  kError = 1,        // anything not named below
  kUsage = 2,        // the command line is wrong
  kUnsupported = 3,  // the model holds something Fusee does not support
  kAccuracyBudget = 4,
  kLatencyBudget = 5,
  kIncompatiblePlan = 6,    // the plan does not fit this machine or build, or is damaged
  kVerificationFailed = 7,  // the result differs from the reference
  kResourceLimit = 8,       // a limit on memory, size or time was reached
};

// A command: adds its options to app, which main parses; then Run does the work.
class Command {
 public:
  virtual ~Command() = default;
  virtual void AddOptions(CLI::App& app) = 0;
  // Prints its own results; errors are returned and printed by main.
  virtual Result<ExitCode> Run() = 0;
};

// The exit code of a failed command: by status code, except where a command maps it itself.
ExitCode ExitCodeFor(const Status& status);

// Prints "error: message" to standard error, or {"error": {"code": ..., "message": ...}} to
// standard output as JSON.
void PrintError(const Status& status, bool json);

// An error in what the command line says, printed; for what the parser cannot see (values that do
// not parse, options without effect). kUsage for kInvalidArgument, else as ExitCodeFor (a named
// file that does not exist).
ExitCode PrintUsageError(const Status& status, bool json);

// The words after the command's name, as main was given them: for a command that hands over to
// another program. Set by main before Run.
void SetArguments(std::vector<std::string> arguments);
const std::vector<std::string>& Arguments();

// One factory per command, defined in cmd_<name>.cc.
#define FUSEE_COMMAND(name, summary) std::unique_ptr<Command> Make_##name();
#include "cli/commands.inc"
#undef FUSEE_COMMAND

}  // namespace fusee::cli
