#include "worker/library_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace fusee::worker {
namespace {

TEST(LibraryEnvironment, WhatChangesBitsIsClearedAndTheRestStays) {
  const std::vector<std::string> bad = {"CUBLASLT_WORKSPACE_SIZE", "CUBLAS_WORKSPACE_CONFIG",
                                        "CUDNN_CONV_WSCAP_DBG", "NVIDIA_TF32_OVERRIDE"};
  const std::vector<std::string> good = {"CUBLASLT_LOG_LEVEL", "CUDNN_LOGINFO_DBG",
                                         "CUDNN_LOGLEVEL_DBG", "CUDA_VISIBLE_DEVICES"};
  for (const auto& names : {bad, good}) {
    for (const std::string& name : names) setenv(name.c_str(), "1", 1);
  }
  EXPECT_EQ(ClearLibraryEnvironment(), bad);
  for (const std::string& name : bad) EXPECT_EQ(getenv(name.c_str()), nullptr) << name;
  for (const std::string& name : good) {
    EXPECT_NE(getenv(name.c_str()), nullptr) << name;
    unsetenv(name.c_str());
  }
  EXPECT_THAT(ClearLibraryEnvironment(), testing::IsEmpty());
}

}  // namespace
}  // namespace fusee::worker
