// What doctor says of GPUs: the module, the driver, every device, the libraries. Nothing of it is
// bad: a machine without a GPU runs plans for the CPU.
#pragma once

#include <vector>

#include "cli/host.h"

namespace fusee::cli {

// Opens every device, which takes a fraction of a second each.
std::vector<Examined> ExamineCuda();

}  // namespace fusee::cli
