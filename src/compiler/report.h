// The builder's final screen, for a person and for a program.
#pragma once

#include <string>

#include "compiler/build.h"

namespace fusee::compiler {

std::string ReportText(const BuildResult& result);
// One JSON object; keys are stable.
std::string ReportJson(const BuildResult& result);

// "1.2 MiB", "640 B".
std::string FormatBytes(uint64_t bytes);

}  // namespace fusee::compiler
