#include "device/memory_limits.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/test_folder.h"

namespace fusee {
namespace {

TEST(MemoryLimitTexts, AreReadOrLeftAlone) {
  EXPECT_EQ(MeminfoBytes("MemTotal:  16 kB\nMemAvailable:   8 kB\n", "MemAvailable"), 8192u);
  EXPECT_EQ(MeminfoBytes("XMemTotal: 1 kB\n", "MemTotal"), 0u);
  EXPECT_EQ(MeminfoBytes("MemTotal:", "MemTotal"), 0u);
  EXPECT_EQ(MeminfoBytes("MemTotal: 99999999999999999999 kB", "MemTotal"), 0u);
  EXPECT_EQ(MeminfoCount("HugePages_Total:  4\nHugePages_Free:  3\n", "HugePages_Free"), 3u);
  EXPECT_EQ(ParseMemoryLimit("1048576\n"), uint64_t{1} << 20);
  EXPECT_EQ(ParseMemoryLimit("max\n"), std::nullopt);
  EXPECT_EQ(ParseMemoryLimit("9223372036854771712"), std::nullopt);
  EXPECT_EQ(ParseMemoryLimit(""), std::nullopt);
}

class MemoryFiles : public ::testing::Test {
 protected:
  MemoryFiles() {
    Write("proc/meminfo", "MemTotal: 4000 kB\nMemFree: 10 kB\nMemAvailable: 1000 kB\n");
  }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  MemoryLimits Read() { return ReadMemoryLimits(root_.string()); }
  TestFolder folder_;
  const std::filesystem::path& root_ = folder_.path();
};

TEST_F(MemoryFiles, WithoutGroupsTheAvailableMemoryCounts) {
  EXPECT_EQ(Read().total_bytes, 4000u * 1024);
  EXPECT_EQ(Read().usable_bytes(), 1000u * 1024);
  EXPECT_TRUE(Read().known());
  std::filesystem::remove_all(root_ / "proc");
  EXPECT_FALSE(Read().known());
  EXPECT_EQ(Read().usable_bytes(), 0u);
}

TEST_F(MemoryFiles, TheGroupWithTheLeastLeftCounts) {
  Write("proc/self/cgroup", "0::/pod/container\n");
  Write("sys/fs/cgroup/pod/container/memory.max", "max\n");
  EXPECT_EQ(Read().cgroup_limit_bytes, std::nullopt);
  Write("sys/fs/cgroup/pod/container/memory.max", "800000\n");
  Write("sys/fs/cgroup/pod/container/memory.current", "100000\n");
  EXPECT_EQ(Read().usable_bytes(), 700'000u);
  // The ancestor allows more, but its other children have used it.
  Write("sys/fs/cgroup/pod/memory.max", "900000\n");
  Write("sys/fs/cgroup/pod/memory.current", "850000\n");
  EXPECT_EQ(Read().usable_bytes(), 50'000u);
  EXPECT_EQ(Read().cgroup_limit_bytes, 900'000u);
  Write("sys/fs/cgroup/pod/memory.current", "950000\n");  // above its limit, for a moment
  EXPECT_EQ(Read().usable_bytes(), 0u);
  EXPECT_TRUE(Read().known()) << "nothing is left, which is not the same as nothing known";
}

TEST_F(MemoryFiles, TheFileCacheIsNotUse) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "800000\n");
  Write("sys/fs/cgroup/memory.current", "700000\n");
  Write("sys/fs/cgroup/memory.stat", "anon 100000\ninactive_file 400000\nactive_file 200000\n");
  EXPECT_EQ(Read().cgroup_used_bytes, 100'000u);
  EXPECT_EQ(Read().usable_bytes(), 700'000u);
}

TEST_F(MemoryFiles, VersionOneIsRead) {
  Write("proc/self/cgroup", "5:cpu:/c\n4:memory:/c\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "500000\n");
  Write("sys/fs/cgroup/memory/c/memory.usage_in_bytes", "300000\n");
  Write("sys/fs/cgroup/memory/c/memory.stat", "total_inactive_file 100000\n");
  EXPECT_EQ(Read().usable_bytes(), 300'000u);
}

TEST_F(MemoryFiles, AHiddenOrForeignGroupFallsBackToTheMount) {
  Write("sys/fs/cgroup/memory.max", "600000\n");
  EXPECT_EQ(Read().usable_bytes(), 600'000u);
  Write("proc/self/cgroup", "0::/../../elsewhere\n");
  EXPECT_EQ(Read().usable_bytes(), 600'000u);
  Write("proc/self/cgroup", "nonsense\n::\n");
  EXPECT_EQ(Read().usable_bytes(), 600'000u);
}

TEST(UsableMemory, IsKnownHere) { EXPECT_GT(UsableMemoryBytes(), 0u); }

}  // namespace
}  // namespace fusee
