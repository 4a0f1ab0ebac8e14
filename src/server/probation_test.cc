#include "server/probation.h"

#include <gtest/gtest.h>

namespace fusee::server {
namespace {

constexpr TimePoint kStart{std::chrono::hours(7)};

TEST(Probation, GrowsFromOnePercentToAllInAStraightLine) {
  const Probation p{kStart, kProbationLength};
  EXPECT_EQ(p.Share(kStart), kShareFirst);
  EXPECT_EQ(p.Share(kStart + kProbationLength / 2), (kShareFirst + kShareFull) / 2);
  EXPECT_LT(p.Share(p.end() - Duration(1)), kShareFull);
  EXPECT_EQ(p.Share(p.end()), kShareFull);
  int64_t last = 0;
  for (Duration d{0}; d <= kProbationLength; d += kProbationLength / 100) {
    EXPECT_GT(p.Share(kStart + d), last);
    last = p.Share(kStart + d);
  }
}

TEST(Probation, WithoutLengthThereIsNone) {
  EXPECT_TRUE(Probation{}.over(kStart));
  EXPECT_EQ(Probation{}.Share(kStart), kShareFull);
  EXPECT_TRUE((Probation{kStart, Duration(0)}.over(kStart)));
}

TEST(Probation, AClockReadALittleEarlierGivesTheFirstShare) {
  const Probation p{kStart, kProbationLength};
  EXPECT_EQ(p.Share(kStart - Duration(1)), kShareFirst);
}

TEST(ShareSpreader, EveryFourthOfAQuarter) {
  ShareSpreader spreader;
  for (int i = 1; i <= 40; ++i) EXPECT_EQ(spreader.Take(kShareFull / 4), i % 4 == 0) << i;
}

TEST(ShareSpreader, OnePercentIsOneInAHundredAndAllIsAll) {
  ShareSpreader spreader;
  int taken = 0;
  for (int i = 0; i < 1000; ++i) taken += spreader.Take(kShareFirst);
  EXPECT_EQ(taken, 10);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(spreader.Take(kShareFull));
}

}  // namespace
}  // namespace fusee::server
