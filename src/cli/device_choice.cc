#include "cli/device_choice.h"

#include "ops/module.h"

namespace fusee::cli {

Status CheckDeviceName(const std::string& name) {
  return name.empty() ? OkStatus() : ops::ParseDeviceName(name).status();
}

}  // namespace fusee::cli
