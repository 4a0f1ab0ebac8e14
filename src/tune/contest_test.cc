#include "tune/contest.h"

#include <gtest/gtest.h>

#include <functional>

namespace fusee::tune {
namespace {

// Takes what a function of the call's number says.
class Scripted final : public Contestant {
 public:
  Scripted(std::function<double(int)> time, int* calls) : time_(std::move(time)), calls_(calls) {}
  Result<double> Microseconds() override { return time_((*calls_)++); }

 private:
  std::function<double(int)> time_;
  int* calls_;
};

struct Field {
  std::vector<std::unique_ptr<Contestant>> contestants;
  std::vector<std::unique_ptr<int>> calls;

  void Add(std::function<double(int)> time) {
    calls.push_back(std::make_unique<int>(0));
    contestants.push_back(std::make_unique<Scripted>(std::move(time), calls.back().get()));
  }
  void AddSteady(double us) {
    Add([us](int) { return us; });
  }
  std::vector<Score> Run() { return RunContest(contestants, 7).value(); }
};

TEST(Contest, NearTiesFallToTheListOrder) {
  Field field;
  for (double us : {10.0, 9.9, 9.85}) field.AddSteady(us);
  EXPECT_EQ(Winner(field.Run()), 0u);
}

TEST(Contest, AChallengerTwoPercentFasterWins) {
  Field field;
  for (double us : {10.0, 9.9, 9.7}) field.AddSteady(us);
  const auto scores = field.Run();
  EXPECT_EQ(Winner(scores), 2u);
  EXPECT_NEAR(scores[2].ratio, 0.97, 1e-12);
  EXPECT_EQ(scores[2].time_us, 9.7);
}

TEST(Contest, AmongNearlyEqualWinnersTheFirstOfTheListWins) {
  Field field;
  for (double us : {10.0, 8.05, 8.0}) field.AddSteady(us);
  EXPECT_EQ(Winner(field.Run()), 1u);
}

TEST(Contest, AFasterMedianWithinItsNoiseDoesNotWin) {
  Field field;
  field.AddSteady(10);
  field.Add([](int call) { return call % 2 == 0 ? 9.0 : 10.4; });
  EXPECT_EQ(Winner(field.Run()), 0u);
}

// The whole machine slows down for some rounds: canary and contestants alike.
TEST(Contest, RoundsWithADisturbedCanaryDoNotCount) {
  Field field;
  int round = 0;
  const auto slowed = [&round](double us) { return round % 5 == 4 ? 3 * us : us; };
  field.Add([&](int call) {
    if (call % 2 == 0) round = call / 2;  // the canary opens a round
    return slowed(10);
  });
  field.Add([&](int) { return round % 5 == 4 ? 1.0 : 10.0; });  // looks fast only there
  const auto scores = field.Run();
  EXPECT_EQ(scores[1].ratio, 1);
  EXPECT_LT(scores[1].rounds, 128);
  EXPECT_EQ(Winner(scores), 0u);
}

TEST(Contest, SlowOnesAreTimedLess) {
  Field field;
  for (int i = 0; i < 16; ++i) field.AddSteady(10 + i);
  const auto scores = field.Run();
  EXPECT_EQ(*field.calls[15], 8);
  EXPECT_EQ(*field.calls[1], 128);
  EXPECT_EQ(*field.calls[0], 256) << "canary and contestant";
  EXPECT_EQ(scores[15].rounds, 8);
}

TEST(Contest, AnErrorOfAContestantEndsIt) {
  class Failing final : public Contestant {
    Result<double> Microseconds() override { return Status(StatusCode::kAborted, "lost"); }
  };
  std::vector<std::unique_ptr<Contestant>> contestants;
  contestants.push_back(std::make_unique<Failing>());
  EXPECT_EQ(RunContest(contestants, 1).status().code(), StatusCode::kAborted);
}

}  // namespace
}  // namespace fusee::tune
