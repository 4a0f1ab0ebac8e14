// What plan::Check asks of a GPU, by what the opened device says of itself.
#pragma once

#include "device/device.h"
#include "plan/check.h"

namespace fusee::runtime {

plan::GpuFacts FactsOf(const DeviceInfo& info);

}  // namespace fusee::runtime
