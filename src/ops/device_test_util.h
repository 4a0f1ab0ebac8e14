// For tests that only a device under test (FUSEE_TEST_DEVICE) gives something to do.
#pragma once

#include <gtest/gtest.h>

#include "ops/kernel_test_util.h"

// Skips the test that says it, with the reason, where there is no device under test.
#define FUSEE_NEEDS_DEVICE()                                            \
  if (::fusee::ops::TestDevice() == nullptr) {                          \
    GTEST_SKIP() << "no FUSEE_TEST_DEVICE: only the reference is here"; \
  }
