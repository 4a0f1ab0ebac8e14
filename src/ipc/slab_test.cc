#include "ipc/slab.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <random>

namespace fusee::ipc {
namespace {

constexpr size_t kPage = Slab::kBlockBytesMin;

std::shared_ptr<Slab> Make(size_t pages) {
  auto slab = Slab::Create("slab-test", pages * kPage);
  EXPECT_TRUE(slab.ok()) << slab.status().message();
  return *slab;
}

TEST(Slab, BlocksAreWholePagesAndDoNotOverlap) {
  const auto slab = Make(8);
  std::vector<Block> blocks;
  for (size_t bytes : {size_t{0}, size_t{1}, kPage, kPage + 1}) blocks.push_back(slab->Take(bytes));
  std::vector<uint64_t> offsets;
  for (const Block& b : blocks) {
    ASSERT_TRUE(b);
    offsets.push_back(slab->OffsetOf(b.data()));
  }
  EXPECT_EQ(slab->taken_bytes(), 5 * kPage);
  std::sort(offsets.begin(), offsets.end());
  EXPECT_EQ(std::unique(offsets.begin(), offsets.end()), offsets.end());
}

TEST(Slab, ASizeIsRoundedDownToAPowerOfTwo) { EXPECT_EQ(Make(7)->memory().size(), 4 * kPage); }

TEST(Slab, WhatDoesNotFitIsEmpty) {
  const auto slab = Make(4);
  EXPECT_FALSE(slab->Take(4 * kPage + 1));
  const Block half = slab->Take(2 * kPage), one = slab->Take(1), two = slab->Take(1);
  EXPECT_TRUE(half && one && two);
  EXPECT_FALSE(slab->Take(1));
}

TEST(Slab, GivenBackBlocksBecomeOneAgain) {
  const auto slab = Make(16);
  {
    std::vector<Block> pages;
    for (int i = 0; i < 16; ++i) pages.push_back(slab->Take(1));
    EXPECT_TRUE(pages.back());
  }
  EXPECT_EQ(slab->taken_bytes(), 0u);
  EXPECT_TRUE(slab->Take(16 * kPage));
}

TEST(Slab, ABlockOutlivesItsOwnersHandle) {
  Block block;
  {
    auto slab = Make(4);
    block = slab->Take(10);
  }
  block.data()[9] = std::byte{1};
  block.Reset();
}

TEST(Slab, HoldsItsOwnBytesOnly) {
  const auto slab = Make(4);
  const std::byte* base = slab->memory().data();
  EXPECT_TRUE(slab->Holds(base, 4 * kPage));
  EXPECT_FALSE(slab->Holds(base, 4 * kPage + 1));
  EXPECT_FALSE(slab->Holds(base + 1, 4 * kPage));
  EXPECT_FALSE(slab->Holds(base, SIZE_MAX));
  const std::byte other{};
  EXPECT_FALSE(slab->Holds(&other, 1));
}

TEST(Slab, RandomTakingAndGivingNeverOverlaps) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto slab = Make(256);
  std::map<uint64_t, Block> held;  // by offset
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0 && !held.empty()) {
      held.erase(std::next(held.begin(), static_cast<long>(random() % held.size())));
      continue;
    }
    Block block = slab->Take(random() % (8 * kPage));
    if (!block) continue;
    const uint64_t begin = slab->OffsetOf(block.data());
    const auto after = held.lower_bound(begin);
    if (after != held.end()) {
      ASSERT_GE(after->first, begin + block.bytes());
    }
    if (after != held.begin()) {
      const auto& [offset, before] = *std::prev(after);
      ASSERT_LE(offset + before.bytes(), begin);
    }
    held.emplace(begin, std::move(block));
  }
  held.clear();
  EXPECT_EQ(slab->taken_bytes(), 0u);
  EXPECT_TRUE(slab->Take(256 * kPage));
}

TEST(SharedMemory, ItsSizeCannotChange) {
  auto memory = SharedMemory::Create("sealed", kPage);
  ASSERT_TRUE(memory.ok());
  EXPECT_NE(ftruncate(memory->fd(), 0), 0);
  EXPECT_NE(ftruncate(memory->fd(), 2 * kPage), 0);
}

TEST(SharedMemory, MemoryOfUnsealedSizeIsRefused) {
  Descriptor fd(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(fd.get(), kPage), 0);
  EXPECT_EQ(SharedMemory::Map(std::move(fd), Access::kReadWrite).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(SharedMemory, AReadOnlyDescriptorCannotBeMappedForWriting) {
  auto memory = SharedMemory::Create("read-only", kPage);
  ASSERT_TRUE(memory.ok());
  memory->data()[0] = std::byte{42};
  auto fd = memory->ReadOnlyDescriptor();
  ASSERT_TRUE(fd.ok()) << fd.status().message();
  EXPECT_FALSE(SharedMemory::Map(Descriptor(dup(fd->get())), Access::kReadWrite).ok());
  auto view = SharedMemory::Map(std::move(*fd), Access::kRead);
  ASSERT_TRUE(view.ok()) << view.status().message();
  EXPECT_EQ(view->data()[0], std::byte{42});
}

}  // namespace
}  // namespace fusee::ipc
