// A plan for the fake device and its kernels.
#pragma once

#include "device/device.h"
#include "plan/plan_test_util.h"

namespace fusee::runtime::testing {

// SmallPlan for the fake device: y = neg(abs(x) + w), x f32[batch,4]; tuned at batch 1 and the
// largest.
inline plan::Plan DevicePlan(int64_t max_batch = 8) {
  plan::Plan plan = plan::testing::SmallPlan(max_batch);
  plan.target.device = "cuda";
  plan.target.gpu.compute_capability = 90;
  for (plan::Step& step : plan.steps) {
    step.kernel = "fake_" + step.kernel;
    step.device = static_cast<uint8_t>(DeviceKind::kCuda);
  }
  return plan;
}

}  // namespace fusee::runtime::testing
