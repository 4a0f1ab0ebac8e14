// The device that a command was asked to use, by name.
#pragma once

#include <string>

#include "base/status.h"

namespace fusee::cli {

// "of --device" for every command: the names it takes.
inline constexpr char kDeviceHelp[] =
    "cpu, cuda or cuda:N (for example --device cuda:1); default: what the plan is for";

// ok for an empty name. Errors: kInvalidArgument naming what is allowed.
Status CheckDeviceName(const std::string& name);

}  // namespace fusee::cli
