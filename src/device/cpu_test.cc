#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/test_folder.h"
#include "device/cpu_features.h"
#include "device/cpu_limits.h"

namespace fusee {
namespace {

TEST(CpuFeatures, AgreesWithTheCompilersDetection) {
  const CpuFeatures& cpu = HostCpu();
  EXPECT_EQ(cpu.supported, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  if (std::getenv("FUSEE_MAX_ISA") == nullptr) {
    EXPECT_EQ(cpu.isa >= Isa::kAvx512,
              __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"));
  }
  EXPECT_FALSE(cpu.brand.empty());
  EXPECT_EQ(IsaName(Isa::kVnni), "vnni");
}

class CgroupLimit : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  TestFolder folder_;
  const std::filesystem::path& root_ = folder_.path();
};

TEST_F(CgroupLimit, UnlimitedOrUnknownIsZero) {
  EXPECT_EQ(CgroupCpuLimit(root_.string(), ""), 0);
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "0::/a\n"), 0);
  Write("a/cpu.max", "max 100000\n");
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "0::/a\n"), 0);
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "nonsense\n::\n"), 0);
}

TEST_F(CgroupLimit, RoundsUpAndTakesTheTightestAncestor) {
  Write("a/b/cpu.max", "350000 100000\n");
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "0::/a/b\n"), 4);
  Write("a/cpu.max", "150000 100000\n");
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "0::/a/b\n"), 2);
  Write("cpu.max", "10000 100000\n");
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "0::/a/b\n"), 1);
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "0::/\n"), 1);
}

TEST_F(CgroupLimit, ReadsVersionOne) {
  Write("cpu/c/cpu.cfs_quota_us", "200000\n");
  Write("cpu/c/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "5:memory:/c\n4:cpu,cpuacct:/c\n"), 2);
  Write("cpu/c/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(CgroupCpuLimit(root_.string(), "4:cpu,cpuacct:/c\n"), 0);
}

TEST(UsableCpus, IsAtLeastOne) { EXPECT_GE(UsableCpus(), 1); }

}  // namespace
}  // namespace fusee
