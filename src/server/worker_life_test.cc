#include "server/worker_life.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

namespace fusee::server {
namespace {

using Action = WorkerLife::Action;
using End = WorkerLife::End;
using std::chrono::milliseconds;
using std::chrono::seconds;

class WorkerLifeTest : public testing::Test {
 protected:
  TimePoint now() const { return clock_.Now(); }
  void Pass(Duration d) { clock_.Advance(d); }
  Action Poll() { return life_.Poll(now()); }
  void Restart(WorkerLimits limits) {
    limits_ = limits;
    life_.~WorkerLife();
    new (&life_) WorkerLife(limits_);
  }

  void Spawn() {
    ASSERT_EQ(Poll(), Action::kSpawn);
    life_.OnSpawned(now());
  }
  void MakeReady() {
    Spawn();
    life_.OnHello(now());
    life_.OnAllLoaded(now());
    ASSERT_TRUE(life_.ready());
  }
  void Answer() {
    life_.OnBatchSent(now(), milliseconds(1));
    life_.OnBatchDone(now());
  }
  // A life that ends before it counts.
  void ShortLife() {
    Pass(std::max(Duration(0), life_.next_wake().value_or(now()) - now()));
    MakeReady();
    life_.OnExit(now(), End::kCrashed);
  }

  FakeClock clock_;
  WorkerLimits limits_;
  WorkerLife life_{limits_};
};

TEST_F(WorkerLifeTest, FromTheFirstSpawnToReady) {
  EXPECT_EQ(life_.state(), WorkerState::kRestarting);
  EXPECT_FALSE(life_.alive());
  Spawn();
  EXPECT_EQ(life_.state(), WorkerState::kStarting);
  EXPECT_TRUE(life_.alive());
  life_.OnHello(now());
  EXPECT_EQ(life_.state(), WorkerState::kWarming);
  life_.OnModelLoaded(now());
  EXPECT_EQ(life_.state(), WorkerState::kWarming);
  life_.OnAllLoaded(now());
  EXPECT_TRUE(life_.ready());
  EXPECT_EQ(Poll(), Action::kNone);
}

TEST_F(WorkerLifeTest, EventsOutOfTurnChangeNothing) {
  life_.OnHello(now());
  life_.OnAllLoaded(now());
  life_.OnFault(now(), "x");
  EXPECT_EQ(life_.state(), WorkerState::kRestarting);
  Spawn();
  life_.OnAllLoaded(now());
  EXPECT_EQ(life_.state(), WorkerState::kStarting);
}

TEST_F(WorkerLifeTest, WithoutHelloInTimeItIsKilledOnce) {
  Spawn();
  Pass(limits_.start - Duration(1));
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(Duration(1));
  EXPECT_EQ(Poll(), Action::kKill);
  EXPECT_EQ(life_.state(), WorkerState::kSuspect);
  EXPECT_FALSE(life_.why().empty());
  EXPECT_EQ(Poll(), Action::kNone);
  EXPECT_EQ(life_.next_wake(), std::nullopt);
}

TEST_F(WorkerLifeTest, EachModelHasItsOwnTimeToLoad) {
  Spawn();
  life_.OnHello(now());
  Pass(limits_.load - Duration(1));
  life_.OnModelLoaded(now());
  Pass(limits_.load - Duration(1));
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(Duration(1));
  EXPECT_EQ(Poll(), Action::kKill);
}

TEST_F(WorkerLifeTest, ABatchMayTakeTheMultipleOfItsPrediction) {
  MakeReady();
  life_.OnBatchSent(now(), milliseconds(500));
  EXPECT_EQ(*life_.batch_limit() - now(), milliseconds(5000));
  Pass(milliseconds(4999));
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(milliseconds(1));
  EXPECT_EQ(Poll(), Action::kKill);
  EXPECT_THAT(life_.why(), testing::HasSubstr("overdue"));
}

TEST_F(WorkerLifeTest, HangLimitsHaveFloorAndCeiling) {
  const std::pair<Duration, Duration> cases[] = {
      {milliseconds(1), limits_.hang_floor},   {milliseconds(100), seconds(1)},
      {milliseconds(101), milliseconds(1010)}, {seconds(3), seconds(30)},
      {seconds(10), limits_.hang_ceiling},     {seconds(60), seconds(120)},
      {Duration(0), limits_.hang_ceiling}};
  for (const auto& [predicted, limit] : cases) {
    SCOPED_TRACE(predicted.count());
    Restart(limits_);
    MakeReady();
    life_.OnBatchSent(now(), predicted);
    EXPECT_EQ((*life_.batch_limit() - now()).count(), limit.count());
  }
}

TEST_F(WorkerLifeTest, ADoneBatchIsNotOverdue) {
  MakeReady();
  life_.OnBatchSent(now(), milliseconds(1));
  life_.OnBatchDone(now());
  EXPECT_EQ(life_.batch_limit(), std::nullopt);
  EXPECT_EQ(Poll(), Action::kNone);
}

TEST_F(WorkerLifeTest, SilenceIsAnsweredByAPingAndThenByDeath) {
  MakeReady();
  Pass(limits_.heartbeat - Duration(1));
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(Duration(1));
  EXPECT_EQ(Poll(), Action::kPing);
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(limits_.heartbeat_answer - Duration(1));
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(Duration(1));
  EXPECT_EQ(Poll(), Action::kKill);
}

TEST_F(WorkerLifeTest, APongStartsTheSilenceAnew) {
  limits_.probe = Duration(0);
  Restart(limits_);
  MakeReady();
  for (int i = 0; i < 3; ++i) {
    Pass(limits_.heartbeat);
    ASSERT_EQ(Poll(), Action::kPing);
    Pass(limits_.heartbeat_answer - Duration(1));
    life_.OnPong(now());
    ASSERT_EQ(Poll(), Action::kNone);
  }
}

// A front that was itself held up for long must not blame the worker for its own silence.
TEST_F(WorkerLifeTest, ALatePollPingsBeforeItKills) {
  MakeReady();
  Pass(seconds(100));
  EXPECT_EQ(Poll(), Action::kPing);
  EXPECT_EQ(Poll(), Action::kNone);
}

TEST_F(WorkerLifeTest, ABusyWorkerIsNotPinged) {
  MakeReady();
  life_.OnBatchSent(now(), seconds(2));
  Pass(seconds(10));
  EXPECT_EQ(Poll(), Action::kNone);
}

// Idle for `probe` by the state machine's own pings, up to the moment of the probe.
TEST_F(WorkerLifeTest, AnIdleWorkerIsProbed) {
  limits_.heartbeat = seconds(100);
  Restart(limits_);
  MakeReady();
  Pass(limits_.probe - Duration(1));
  EXPECT_EQ(Poll(), Action::kNone);
  EXPECT_EQ(*life_.next_wake() - now(), Duration(1));
  Pass(Duration(1));
  EXPECT_EQ(Poll(), Action::kProbe);
  EXPECT_EQ(Poll(), Action::kNone);
  life_.OnProbed(now(), /*again=*/true);
  EXPECT_EQ(*life_.next_wake() - now(), limits_.probe);
}

TEST_F(WorkerLifeTest, WorkPutsTheProbeOff) {
  limits_.heartbeat = seconds(100);
  Restart(limits_);
  MakeReady();
  for (int i = 0; i < 5; ++i) {
    Pass(limits_.probe - Duration(1));
    ASSERT_EQ(Poll(), Action::kNone);
    life_.OnBatchSent(now(), milliseconds(1));
    Pass(milliseconds(1));
    ASSERT_EQ(Poll(), Action::kNone);
    life_.OnBatchDone(now());
  }
}

TEST_F(WorkerLifeTest, ProbesTakeTheirShareOfTheTimeOnly) {
  limits_.heartbeat = seconds(100);
  limits_.probe = milliseconds(1);
  Restart(limits_);
  MakeReady();
  Pass(limits_.probe);
  ASSERT_EQ(Poll(), Action::kProbe);
  Pass(milliseconds(10));
  life_.OnProbed(now(), true);
  EXPECT_EQ(*life_.next_wake() - now(), kProbeShare * milliseconds(10));
}

TEST_F(WorkerLifeTest, ALifeWithNothingToProbeIsNotAskedAgain) {
  MakeReady();
  Pass(limits_.probe);
  ASSERT_EQ(Poll(), Action::kPing);
  life_.OnPong(now());
  ASSERT_EQ(Poll(), Action::kProbe);
  life_.OnProbed(now(), /*again=*/false);
  Pass(limits_.probe);
  EXPECT_EQ(Poll(), Action::kPing);
  life_.OnPong(now());
  EXPECT_EQ(Poll(), Action::kNone);
}

TEST_F(WorkerLifeTest, WithoutAnIntervalNothingIsProbed) {
  limits_.probe = Duration(0);
  Restart(limits_);
  MakeReady();
  Pass(limits_.heartbeat);
  ASSERT_EQ(Poll(), Action::kPing);
  life_.OnPong(now());
  EXPECT_EQ(Poll(), Action::kNone);
}

TEST_F(WorkerLifeTest, AProbeThatDoesNotEndKills) {
  limits_.heartbeat = seconds(100);
  Restart(limits_);
  MakeReady();
  Pass(limits_.probe);
  ASSERT_EQ(Poll(), Action::kProbe);
  EXPECT_EQ(*life_.next_wake() - now(), limits_.heartbeat_answer);
  Pass(limits_.heartbeat_answer - Duration(1));
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(Duration(1));
  EXPECT_EQ(Poll(), Action::kKill);
  EXPECT_THAT(life_.why(), testing::HasSubstr("golden run"));
  EXPECT_TRUE(life_.probing()) << "until its end, so that no batch is blamed";
}

TEST_F(WorkerLifeTest, AProbeThatABatchWaitsForHasLittleTime) {
  limits_ = LimitsFor("cuda");
  limits_.heartbeat = seconds(100);
  Restart(limits_);
  MakeReady();
  Pass(limits_.probe);
  ASSERT_EQ(Poll(), Action::kProbe);
  Pass(milliseconds(500));  // a busy machine, and nobody waits
  ASSERT_EQ(Poll(), Action::kNone);
  life_.OnBatchSent(now(), milliseconds(1));
  EXPECT_EQ(*life_.next_wake() - now(), milliseconds(100));
  Pass(milliseconds(100) - Duration(1));
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(Duration(1));
  EXPECT_EQ(Poll(), Action::kKill);
}

TEST_F(WorkerLifeTest, ABatchBehindAProbeHasItsWholeTime) {
  limits_.heartbeat = seconds(100);
  Restart(limits_);
  MakeReady();
  Pass(limits_.probe);
  ASSERT_EQ(Poll(), Action::kProbe);
  life_.OnBatchSent(now(), milliseconds(1));
  EXPECT_EQ(*life_.batch_limit() - now(), 2 * limits_.hang_floor);
  EXPECT_TRUE(life_.probing()) << "it has not begun";
  Pass(milliseconds(8));
  life_.OnProbed(now(), true);
  EXPECT_EQ(*life_.batch_limit() - now(), limits_.hang_floor);
  EXPECT_FALSE(life_.probing());
  Pass(limits_.hang_floor);
  EXPECT_EQ(Poll(), Action::kKill);
}

TEST_F(WorkerLifeTest, AFaultKills) {
  MakeReady();
  life_.OnFault(now(), "nonsense");
  EXPECT_EQ(life_.state(), WorkerState::kSuspect);
  EXPECT_EQ(*life_.next_wake(), TimePoint{});
  EXPECT_EQ(Poll(), Action::kKill);
  EXPECT_EQ(life_.why(), "nonsense");
  life_.OnFault(now(), "more");
  EXPECT_EQ(Poll(), Action::kNone);
  EXPECT_EQ(life_.why(), "nonsense");
}

TEST_F(WorkerLifeTest, AfterAGoodLifeTheNextStartsAtOnce) {
  for (int i = 0; i < 20; ++i) {
    MakeReady();
    Answer();
    Pass(limits_.proven);
    life_.OnExit(now(), End::kCrashed);
    EXPECT_EQ(life_.state(), WorkerState::kRestarting);
    EXPECT_FALSE(life_.alive());
  }
}

TEST_F(WorkerLifeTest, ShortLivesPauseLongerEachTime) {
  limits_.crash_loop = 100;
  limits_.pause_max = milliseconds(500);
  Restart(limits_);
  for (int64_t pause : {50, 100, 200, 400, 500, 500}) {
    ShortLife();
    EXPECT_EQ(*life_.next_wake() - now(), milliseconds(pause));
    EXPECT_EQ(Poll(), Action::kNone);
  }
}

TEST_F(WorkerLifeTest, AGoodLifeForgetsTheShortOnes) {
  ShortLife();
  ShortLife();
  EXPECT_EQ(life_.short_lives(), 2u);
  Pass(*life_.next_wake() - now());
  MakeReady();
  Answer();
  Pass(limits_.proven);
  life_.OnExit(now(), End::kCrashed);
  EXPECT_EQ(life_.short_lives(), 0u);
  EXPECT_EQ(Poll(), Action::kSpawn);
}

TEST_F(WorkerLifeTest, TooManyShortLivesInARowAreQuarantined) {
  for (uint32_t i = 0; i + 1 < limits_.crash_loop; ++i) {
    ShortLife();
    ASSERT_EQ(life_.state(), WorkerState::kRestarting) << i;
  }
  ShortLife();
  EXPECT_EQ(life_.state(), WorkerState::kQuarantined);
  EXPECT_EQ(*life_.next_wake() - now(), limits_.quarantine_first);
  Pass(limits_.quarantine_first - Duration(1));
  EXPECT_EQ(Poll(), Action::kNone);
  Pass(Duration(1));
  EXPECT_EQ(Poll(), Action::kSpawn);
}

TEST_F(WorkerLifeTest, OneMoreShortLifeDoublesTheQuarantine) {
  for (uint32_t i = 0; i < limits_.crash_loop; ++i) ShortLife();
  Duration expected = limits_.quarantine_first;
  for (int i = 0; i < 8; ++i) {
    ShortLife();
    expected = std::min(2 * expected, limits_.quarantine_max);
    EXPECT_EQ(life_.state(), WorkerState::kQuarantined);
    EXPECT_EQ(*life_.next_wake() - now(), expected);
  }
  EXPECT_EQ(expected, limits_.quarantine_max);
}

TEST_F(WorkerLifeTest, WrongBitsAreNeverAGoodLife) {
  for (uint32_t i = 0; i < limits_.crash_loop; ++i) {
    Pass(std::max(Duration(0), life_.next_wake().value_or(now()) - now()));
    MakeReady();
    Pass(seconds(60));
    life_.OnExit(now(), End::kWrong);
  }
  EXPECT_EQ(life_.state(), WorkerState::kQuarantined);
}

TEST_F(WorkerLifeTest, WrongBitsLongAfterOthersStandAlone) {
  for (uint32_t i = 0; i < 2 * limits_.crash_loop; ++i) {
    Pass(std::max(Duration(0), life_.next_wake().value_or(now()) - now()));
    MakeReady();
    Pass(limits_.forget);
    life_.OnExit(now(), End::kWrong);
    ASSERT_EQ(life_.state(), WorkerState::kRestarting);
    ASSERT_EQ(life_.short_lives(), 1u) << "and yet it pauses";
  }
}

TEST_F(WorkerLifeTest, AHealedWorkerLeavesQuarantineForGood) {
  for (uint32_t i = 0; i < limits_.crash_loop; ++i) ShortLife();
  Pass(limits_.quarantine_first);
  MakeReady();
  Answer();
  Pass(limits_.proven);
  life_.OnExit(now(), End::kCrashed);
  EXPECT_EQ(life_.state(), WorkerState::kRestarting);
  EXPECT_EQ(life_.short_lives(), 0u);
}

TEST_F(WorkerLifeTest, ALifeAfterACrashBeginsOnProbation) {
  MakeReady();
  ASSERT_EQ(life_.state(), WorkerState::kReady) << "a first start is trusted";
  Pass(limits_.proven);
  life_.OnExit(now(), End::kCrashed);
  MakeReady();
  EXPECT_EQ(life_.state(), WorkerState::kProbation);
  EXPECT_EQ(life_.probation().Share(now()), kShareFirst);
  const TimePoint end = life_.probation().end();
  EXPECT_EQ((end - now()).count(), limits_.probation.count());
  while (now() < end) {
    ASSERT_EQ(life_.state(), WorkerState::kProbation);
    Pass(*life_.next_wake() - now());
    if (Poll() == Action::kPing) life_.OnPong(now());
    if (Poll() == Action::kProbe) life_.OnProbed(now(), true);
  }
  EXPECT_EQ(now(), end) << "it wakes for it";
  EXPECT_EQ(life_.state(), WorkerState::kReady);
}

TEST_F(WorkerLifeTest, ProbationEndsWhileABatchRuns) {
  limits_.hang_floor = seconds(10);
  Restart(limits_);
  MakeReady();
  life_.OnExit(now(), End::kCrashed);
  Pass(limits_.pause_first);
  MakeReady();
  life_.OnBatchSent(now(), milliseconds(1));
  EXPECT_EQ(*life_.next_wake() - now(), limits_.probation);
  Pass(limits_.probation);
  EXPECT_EQ(Poll(), Action::kNone);
  EXPECT_EQ(life_.state(), WorkerState::kReady);
}

TEST_F(WorkerLifeTest, OnProbationAWorkerMustAnswerToCount) {
  for (uint32_t i = 0; i + 1 < limits_.crash_loop; ++i) ShortLife();
  Pass(*life_.next_wake() - now());
  MakeReady();
  Pass(limits_.proven);
  life_.OnExit(now(), End::kCrashed);
  EXPECT_EQ(life_.state(), WorkerState::kQuarantined);
}

TEST_F(WorkerLifeTest, AfterProbationAnIdleLifeCountsToo) {
  ShortLife();
  Pass(*life_.next_wake() - now());
  MakeReady();
  Pass(limits_.probation);
  life_.OnExit(now(), End::kCrashed);
  EXPECT_EQ(life_.short_lives(), 0u);
}

TEST_F(WorkerLifeTest, ADeviceThatWasAbsentIsTrusted) {
  Spawn();
  life_.OnExit(now(), End::kAbsent);
  Pass(limits_.absent_first);
  MakeReady();
  EXPECT_EQ(life_.state(), WorkerState::kReady);
}

TEST_F(WorkerLifeTest, OneThatCrashedAndThenWasAbsentIsNot) {
  MakeReady();
  Pass(limits_.proven);
  life_.OnExit(now(), End::kCrashed);
  Spawn();
  life_.OnExit(now(), End::kAbsent);
  Pass(limits_.absent_first);
  MakeReady();
  EXPECT_EQ(life_.state(), WorkerState::kProbation);
}

TEST_F(WorkerLifeTest, AProcessThatCannotBeStartedIsAShortLife) {
  ASSERT_EQ(Poll(), Action::kSpawn);
  life_.OnExit(now(), End::kCrashed);
  EXPECT_EQ(life_.short_lives(), 1u);
}

TEST_F(WorkerLifeTest, AnAbsentDeviceIsLookedForAgainForEver) {
  Duration expected = limits_.absent_first;
  for (int i = 0; i < 50; ++i) {
    Spawn();
    life_.OnExit(now(), End::kAbsent);
    ASSERT_EQ(life_.state(), WorkerState::kRestarting);
    ASSERT_EQ(*life_.next_wake() - now(), expected);
    Pass(expected);
    expected = std::min(2 * expected, limits_.absent_max);
  }
  EXPECT_EQ(life_.short_lives(), 0u);
}

TEST_F(WorkerLifeTest, DrainingLetsTheBatchFinishAndStartsNoNewLife) {
  MakeReady();
  life_.OnBatchSent(now(), milliseconds(1));
  life_.Drain(now());
  EXPECT_EQ(life_.state(), WorkerState::kDraining);
  EXPECT_EQ(Poll(), Action::kNone);
  life_.OnBatchDone(now());
  life_.OnExit(now(), End::kCrashed);
  EXPECT_EQ(life_.state(), WorkerState::kStopped);
  Pass(seconds(1000));
  EXPECT_EQ(Poll(), Action::kNone);
}

TEST_F(WorkerLifeTest, DrainingStillKillsWhatHangs) {
  MakeReady();
  life_.OnBatchSent(now(), milliseconds(1));
  life_.Drain(now());
  Pass(limits_.hang_floor);
  EXPECT_EQ(Poll(), Action::kKill);
  life_.OnExit(now(), End::kCrashed);
  EXPECT_EQ(life_.state(), WorkerState::kStopped);
}

TEST_F(WorkerLifeTest, DrainingBetweenLivesStopsAtOnce) {
  life_.Drain(now());
  EXPECT_EQ(life_.state(), WorkerState::kStopped);
  EXPECT_EQ(Poll(), Action::kNone);
}

// Every sequence of six events from the start, with time passing between them: the states keep
// their promises whatever comes.
TEST_F(WorkerLifeTest, EverySequenceOfEventsKeepsTheInvariants) {
  const std::function<void()> events[] = {
      [&] { life_.OnHello(now()); },
      [&] { life_.OnAllLoaded(now()); },
      [&] { life_.OnBatchSent(now(), milliseconds(1)); },
      [&] { life_.OnBatchDone(now()); },
      [&] { life_.OnFault(now(), "x"); },
      [&] { life_.OnProbed(now(), true); },
      [&] {
        if (life_.alive()) life_.OnExit(now(), End::kCrashed);
      },
      [&] { life_.Drain(now()); },
      [&] { Pass(seconds(40)); },
  };
  constexpr int kLength = 6;
  const int count = static_cast<int>(std::size(events));
  int total = 1;
  for (int i = 0; i < kLength; ++i) total *= count;
  for (int sequence = 0; sequence < total; ++sequence) {
    Restart(limits_);
    bool kill_asked = false;
    for (int i = 0, rest = sequence; i < kLength; ++i, rest /= count) {
      events[rest % count]();
      if (!life_.alive()) kill_asked = false;
      for (int polls = 0;; ++polls) {
        ASSERT_LT(polls, 5) << "sequence " << sequence << " never comes to rest";
        const Action action = Poll();
        if (action == Action::kNone) break;
        if (action == Action::kSpawn) {
          ASSERT_FALSE(life_.alive()) << sequence;
          life_.OnSpawned(now());
        }
        if (action == Action::kKill) {
          ASSERT_TRUE(life_.alive() && !kill_asked) << sequence;
          kill_asked = true;
        }
      }
      // A suspect is to die; only what is alive can be ready; rest means a later wake or none.
      ASSERT_EQ(life_.state() == WorkerState::kSuspect, kill_asked) << sequence;
      ASSERT_TRUE(!life_.ready() || life_.alive()) << sequence;
      ASSERT_TRUE(!life_.next_wake() || *life_.next_wake() > now()) << sequence;
    }
  }
}

}  // namespace
}  // namespace fusee::server
