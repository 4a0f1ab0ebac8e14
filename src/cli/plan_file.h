// Plan files as the commands take them: read whole or by header, and the exit code when they will
// not do.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "cli/command.h"
#include "plan/header.h"
#include "plan/plan.h"

namespace fusee::cli {

// The header alone: one page is read, the file's size compared. Errors: of the file; as
// plan/decode.h.
Result<plan::Header> ReadPlanHeader(const std::string& path);
// The whole plan, every check but the kernels'. Errors: of the file; as plan/decode.h.
Result<std::shared_ptr<const plan::Plan>> ReadPlan(const std::string& path);

// The error of opening a plan, printed; returns the exit code: a file that is no plan, or a damaged
// one, is an incompatible plan, whatever its first broken byte was; a missing file is an error.
ExitCode PrintPlanError(const Status& status, bool json);

}  // namespace fusee::cli
