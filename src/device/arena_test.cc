#include "device/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace fusee {
namespace {

TEST(Arena, GivesZeroedAlignedWritableMemory) {
  constexpr size_t kHuge = size_t{2} << 20;
  for (PageAdvice advice : {PageAdvice::kSmall, PageAdvice::kHuge}) {
    for (size_t bytes :
         {size_t{0}, size_t{1}, size_t{4096}, size_t{4097}, kHuge - 1, kHuge, kHuge + 1}) {
      auto arena = Arena::Allocate(bytes, advice);
      ASSERT_TRUE(arena.ok()) << arena.status().ToString();
      EXPECT_EQ(arena->size(), bytes);
      ASSERT_NE(arena->data(), nullptr);
      const auto address = reinterpret_cast<uintptr_t>(arena->data());
      const bool huge = advice == PageAdvice::kHuge && bytes >= kHuge;
      EXPECT_EQ(address % (huge ? kHuge : 4096), 0u);
      EXPECT_TRUE(
          std::ranges::all_of(arena->bytes(), [](std::byte b) { return b == std::byte{0}; }));
      std::ranges::fill(arena->bytes(), std::byte{0xab});
    }
  }
}

TEST(Arena, RefusesMoreThanTheMachineHas) {
  for (size_t bytes : {size_t{1} << 60, SIZE_MAX}) {
    auto arena = Arena::Allocate(bytes);
    ASSERT_FALSE(arena.ok());
    EXPECT_EQ(arena.status().code(), StatusCode::kResourceExhausted);
    EXPECT_NE(arena.status().message().find("limit"), std::string::npos);
  }
}

TEST(Arena, MovesItsBlock) {
  Arena a = Arena::Allocate(100).value();
  std::byte* data = a.data();
  Arena b = std::move(a);
  EXPECT_EQ(b.data(), data);
  Arena c;
  c = std::move(b);
  EXPECT_EQ(c.data(), data);
  EXPECT_EQ(c.size(), 100u);
}

}  // namespace
}  // namespace fusee
