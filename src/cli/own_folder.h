// Where this program's binary lies: its companions lie beside it.
#pragma once

#include <string>

#include "base/status.h"

namespace fusee::cli {

// The path of the program `name` in the folder of the running binary. Errors: kUnavailable (no
// /proc), kNotFound.
Result<std::string> CompanionPath(const std::string& name);

}  // namespace fusee::cli
