#include "base/descriptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <utility>

namespace fusee {
namespace {

int OpenSomething() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(Descriptor, ClosesWhatItHolds) {
  int fd = -1;
  {
    const Descriptor owner(OpenSomething());
    ASSERT_TRUE(owner.ok());
    fd = owner.get();
    EXPECT_TRUE(IsOpen(fd));
  }
  EXPECT_FALSE(IsOpen(fd));
  EXPECT_FALSE(Descriptor().ok());
  EXPECT_FALSE(Descriptor(-1).ok());
}

TEST(Descriptor, MovesResetsAndReleases) {
  Descriptor a(OpenSomething());
  const int first = a.get();
  Descriptor b(std::move(a));
  EXPECT_EQ(b.get(), first);
  Descriptor c(OpenSomething());
  const int second = c.get();
  c = std::move(b);  // closes the second, takes the first
  EXPECT_EQ(c.get(), first);
  EXPECT_TRUE(IsOpen(first));
  EXPECT_FALSE(IsOpen(second));
  const int given_up = c.Release();
  EXPECT_FALSE(c.ok());
  EXPECT_TRUE(IsOpen(given_up));
  c.Reset(given_up);
  c.Reset();
  EXPECT_FALSE(IsOpen(given_up));
}

}  // namespace
}  // namespace fusee
