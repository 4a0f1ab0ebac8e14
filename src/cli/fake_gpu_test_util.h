// A session on the fake device, for tests of what `fusee bench` does on a GPU.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "capi/handles.h"
#include "cli/session.h"
#include "device/fake_device_test_util.h"
#include "ops/fake_kernels_test_util.h"
#include "plan/encode.h"
#include "runtime/device_plan_test_util.h"

namespace fusee::cli::testing {

// The device outlives the session; inputs are zeros of the optimum shape, f32[4,4].
struct FakeGpu {
  fusee_device handle{std::make_unique<fusee::testing::FakeDevice>(), &ops::FakeKernels()};
  std::unique_ptr<Session> session;

  explicit FakeGpu(SessionOptions options = {},
                   const plan::Plan& plan = runtime::testing::DevicePlan()) {
    options.opened = &handle;
    const auto bytes = plan::Encode(plan);
    EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
    auto opened = Session::OpenBytes(*bytes, options);
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    if (opened.ok()) session = std::move(*opened);
  }
  fusee::testing::FakeDevice& device() {
    return static_cast<fusee::testing::FakeDevice&>(*handle.device);
  }
};

}  // namespace fusee::cli::testing
