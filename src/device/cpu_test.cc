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

class CpuQuota : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::optional<double> Read() { return CgroupCpuQuota(root_.string()); }
  TestFolder folder_;
  const std::filesystem::path& root_ = folder_.path();
};

TEST_F(CpuQuota, IsNoneWhereUnlimitedOrUnreadable) {
  EXPECT_EQ(Read(), std::nullopt);
  Write("proc/self/cgroup", "0::/a\n");
  EXPECT_EQ(Read(), std::nullopt);
  for (const char* text : {"", "max 100000", "200000", "1 0", "0 1", "x y"}) {
    Write("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_EQ(Read(), std::nullopt) << text;
  }
  Write("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  Write("proc/self/cgroup", "nonsense\n::\n");
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(CpuQuota, IsThatOfTheTightestAncestor) {
  Write("proc/self/cgroup", "0::/a/b\n");
  Write("sys/fs/cgroup/a/b/cpu.max", "350000 100000\n");
  EXPECT_EQ(Read(), 3.5);
  Write("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(Read(), 1.5);
  Write("sys/fs/cgroup/cpu.max", "10000 100000\n");
  EXPECT_EQ(Read(), 0.1);
}

TEST_F(CpuQuota, IsReadFromTheMountWhereTheGroupIsHidden) {
  Write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(Read(), 2.0);
  Write("proc/self/cgroup", "0::/../../elsewhere\n");
  EXPECT_EQ(Read(), 2.0);
}

TEST_F(CpuQuota, ReadsVersionOne) {
  Write("proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/c\n");
  Write("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "200000\n");
  Write("sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Read(), 2.0);
  Write("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(Read(), std::nullopt);
}

TEST(UsableCpus, IsAtLeastOne) { EXPECT_GE(UsableCpus(), 1); }

}  // namespace
}  // namespace fusee
