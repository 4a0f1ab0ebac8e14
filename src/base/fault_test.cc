#include "base/fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fusee::fault {
namespace {

using testing::HasSubstr;

class FaultTest : public testing::Test {
 protected:
  ~FaultTest() override { Disarm(); }
};

TEST_F(FaultTest, NothingHappensUnlessArmed) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Hit(Point::kScatter), Effect::kNone);
}

TEST_F(FaultTest, HappensFromThePassageGivenAndAsOftenAsGiven) {
  ASSERT_TRUE(Arm("scatter:wrong@3x2").ok());
  std::vector<Effect> seen;
  for (int i = 0; i < 6; ++i) seen.push_back(Hit(Point::kScatter));
  const auto none = Effect::kNone, wrong = Effect::kWrong;
  EXPECT_THAT(seen, testing::ElementsAre(none, none, wrong, wrong, none, none));
}

TEST_F(FaultTest, ZeroTimesIsForEver) {
  ASSERT_TRUE(Arm("run:stickyx0").ok());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Hit(Point::kRun), Effect::kSticky);
}

TEST_F(FaultTest, OtherPointsAreUntouched) {
  ASSERT_TRUE(Arm("run:sticky").ok());
  EXPECT_EQ(Hit(Point::kReply), Effect::kNone);
}

TEST_F(FaultTest, SeveralAtOnce) {
  ASSERT_TRUE(Arm("run:sticky,scatter:wrong,batch:slow=0").ok());
  EXPECT_EQ(Hit(Point::kBatch), Effect::kNone);
  EXPECT_EQ(Hit(Point::kRun), Effect::kSticky);
  EXPECT_EQ(Hit(Point::kScatter), Effect::kWrong);
}

TEST_F(FaultTest, DisarmForgetsAll) {
  ASSERT_TRUE(Arm("run:stickyx0").ok());
  Disarm();
  EXPECT_EQ(Hit(Point::kRun), Effect::kNone);
}

TEST_F(FaultTest, KillKillsTheProcess) {
  EXPECT_EXIT(
      {
        (void)Arm("run:kill@2");
        Hit(Point::kRun);
        Hit(Point::kRun);
        _exit(0);
      },
      testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FaultTest, WhatIsNotAFaultIsRefusedByName) {
  for (const char* spec :
       {"run", "nowhere:kill", "run:explode", "run:kill@", "run:kill@x", "run:slow=601000", ","}) {
    const Status status = Arm(spec);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << spec;
    EXPECT_THAT(status.message(), HasSubstr("fault '")) << spec;
  }
  EXPECT_EQ(Hit(Point::kRun), Effect::kNone) << "a refused list arms nothing";
}

}  // namespace
}  // namespace fusee::fault
