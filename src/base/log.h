// Process log: one logger, to standard error, so that standard output stays for results and --json.
// Rooms below cli and server return a Status instead of logging; the runtime and kernels never log.
// Not for headers that nvcc sees.
#pragma once

#include <spdlog/spdlog.h>

namespace fusee {

// Installs the logger; call once at the start of main. level: "error", "warn", "info", "debug".
void InitLog(const char* level);

}  // namespace fusee
