#include "tune/timing_cache.h"

#include <gtest/gtest.h>

#include "tensor/random.h"

namespace fusee::tune {
namespace {

TimingCache Sample() {
  TimingCache cache;
  cache.Put("cuda NVIDIA H200, driver 13000", "MatMul(f16[128,768];)->(f16[128,768];)",
            {{"matmul_cuda.1", {{4.5, 1, 0.99, 1.01, 128}, ""}},
             {"matmul_lt_cuda.1#0123456789abcdef", {{0.1 + 0.2, 1.0 / 3, 0.3, 0.4, 32}, ""}},
             {"matmul_lt_cuda.1#fedcba9876543210", {{}, "two runs\ngive different bits"}}});
  cache.Put("cpu", "Relu(f32[4];)->(f32[4];)", {{"relu_ref.1", {{1, 1, 1, 1, 8}, ""}}});
  return cache;
}

TEST(TimingCache, ReadsBackExactlyWhatItWrote) {
  const std::string text = Sample().Text();
  auto cache = TimingCache::Parse(text);
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  EXPECT_EQ(cache->Text(), text);
  const Timings* timings =
      cache->Find("cuda NVIDIA H200, driver 13000", "MatMul(f16[128,768];)->(f16[128,768];)");
  ASSERT_NE(timings, nullptr);
  EXPECT_EQ(timings->at("matmul_lt_cuda.1#0123456789abcdef").score.ratio, 1.0 / 3);
  EXPECT_EQ(timings->at("matmul_lt_cuda.1#fedcba9876543210").refusal,
            "two runs give different bits");
}

TEST(TimingCache, KnowsNothingOfOtherDevicesAndSteps) {
  const TimingCache cache = Sample();
  EXPECT_EQ(cache.Find("cpu", "Relu(f32[8];)->(f32[8];)"), nullptr);
  EXPECT_EQ(cache.Find("cpu 2", "Relu(f32[4];)->(f32[4];)"), nullptr);
}

TEST(TimingCache, NamesTheLineThatIsWrong) {
  for (const char* bad :
       {"time x 1 2 3 4 5", "problem a", "device a\ntime k 1 1 1 1 1",
        "device a\nproblem p\ntime k 1 1 1 1", "device a\nproblem p\ntime k 1 1 1 1 x",
        "device a\nproblem p\ntime k nan 1 1 1 1", "nonsense"}) {
    const auto cache = TimingCache::Parse(std::string("fusee_timings 1\n") + bad + "\n");
    ASSERT_FALSE(cache.ok()) << bad;
    EXPECT_NE(cache.status().message().find("line "), std::string::npos);
  }
  EXPECT_FALSE(TimingCache::Parse("{}").ok());
  EXPECT_FALSE(TimingCache::IsOne("{\n \"fusee_lock\": 1"));
  EXPECT_TRUE(TimingCache::IsOne("fusee_timings 1\n"));
}

// Any bytes: an answer or an error, and what is read is written in the same form again.
TEST(TimingCache, DamageNeverCrashes) {
  const std::string text = Sample().Text();
  for (uint64_t i = 0; i < 5000; ++i) {
    std::string damaged = text.substr(0, 1 + RandomBits(21, 0, i) % text.size());
    damaged[RandomBits(21, 1, i) % damaged.size()] = static_cast<char>(RandomBits(21, 2, i));
    auto cache = TimingCache::Parse(damaged);
    if (!cache.ok()) continue;
    EXPECT_TRUE(TimingCache::Parse(cache->Text()).ok()) << "seed 21, case " << i;
  }
}

}  // namespace
}  // namespace fusee::tune
