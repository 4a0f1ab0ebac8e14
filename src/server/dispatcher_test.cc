// Where requests go, with the clock in the test's hands.
#include "server/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/fake_fleet_test_util.h"

namespace fusee::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kCuda = 0, kCpu0 = 1, kCpu1 = 2;

// As FakeClock, for several threads: the dispatcher's watcher looks at it too.
class SharedFakeClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(Duration(now_.load())); }
  void Advance(Duration d) { now_ += d.count(); }

 private:
  std::atomic<int64_t> now_{0};
};

class DispatcherTest : public testing::Test, public FleetListener {
 protected:
  DispatcherTest() {
    clock_.Advance(std::chrono::hours(1));
    fleet_.Attach(this, &registry_);
    SetModel("identity", "identity");
  }

  // The dispatcher waits for what runs.
  ~DispatcherTest() override {
    for (size_t device : {kCuda, kCpu0, kCpu1}) {
      while (fleet_.Busy(device)) fleet_.Finish(device);
    }
  }

  void SetModel(const std::string& cuda, const std::string& cpu) {
    std::vector<std::pair<std::string, std::shared_ptr<const ipc::Model>>> kinds;
    for (const auto& [kind, behaviour] : {std::pair{"cuda", cuda}, std::pair{"cpu", cpu}}) {
      auto model = std::make_shared<FakeModel>(behaviour, "m", 1);
      fleet_.Hold(kind, model);
      kinds.emplace_back(kind, model);
    }
    auto served =
        dispatcher_.AddModel(kinds, "cuda", registry_.Model("m", 1), std::chrono::hours(1));
    FUSEE_CHECK(served.ok(), "a model");
    model_ = *served;
  }

  void OnDeviceReady(size_t device, std::vector<const ipc::Model*> models,
                     Probation probation) override {
    dispatcher_.OnDeviceReady(device, std::move(models), probation);
  }
  void OnDeviceLost(size_t device) override { dispatcher_.OnDeviceLost(device); }
  void OnModelArrived(size_t, KindModel) override {}

  // What has become of one request.
  struct Asked {
    std::atomic<bool> done = false;  // set last
    Status status;
    bool poisonous = false, refused = false;
    std::string served_by;
    Duration retry_after{};
    Dispatcher::Handle handle;
    std::function<void()> when_done;
    bool ServedBy(std::string_view device) const {
      return done && status.ok() && served_by == device;
    }
  };
  // One row of two numbers.
  std::shared_ptr<Asked> Ask(float value, Duration deadline = seconds(10)) {
    auto asked = std::make_shared<Asked>();
    auto memory = std::make_shared<ipc::Block>(fleet_.request_memory().inputs->Take(8));
    std::fill_n(reinterpret_cast<float*>(memory->data()), 2, value);
    auto call = std::make_unique<InferCall>();
    call->model = model_;
    call->inputs = {{DType::kF32, Shape{1, 2}, memory->data()}};
    call->outputs = {{DType::kF32, Shape{1, 2}, nullptr}};
    call->memory = memory;
    for (const OnKind& kind : model_->kinds)
      call->shapes.push_back(ClassifyShape(kind, call->inputs));
    FUSEE_CHECK(PlaceOutputs(*fleet_.request_memory().outputs, call.get()), "memory");
    call->bytes = 16;
    call->arrival = clock_.Now();
    call->deadline = clock_.Now() + deadline;
    call->done = [asked](std::unique_ptr<InferCall> call, Status status) {
      EXPECT_FALSE(asked->done) << "answered twice";
      asked->status = std::move(status);
      asked->poisonous = call->poisonous;
      asked->served_by = call->served_by;
      asked->retry_after = call->retry_after;
      asked->done = true;
      if (asked->when_done) asked->when_done();
    };
    auto admission = dispatcher_.Submit(std::move(call));
    if (auto* refused = std::get_if<Dispatcher::Refused>(&admission)) {
      asked->status = std::move(refused->status);
      asked->poisonous = refused->poisonous();
      asked->refused = true;
      asked->retry_after = refused->retry_after;
      asked->done = true;
    } else {
      asked->handle = std::get<Dispatcher::Admitted>(admission).handle;
    }
    return asked;
  }
  // Asks and lets whoever has it answer.
  std::string ServedBy() {
    const auto asked = Ask(1);
    for (size_t device : {kCuda, kCpu0, kCpu1}) {
      if (fleet_.Busy(device)) fleet_.Finish(device);
    }
    EXPECT_TRUE(asked->done && asked->status.ok()) << asked->status.message();
    return asked->served_by;
  }
  // Requests of these values in one batch on the device, which runs something else before.
  std::vector<std::shared_ptr<Asked>> AskInOneBatch(size_t device, std::vector<float> values) {
    const auto before = Ask(-1);
    std::vector<std::shared_ptr<Asked>> asked;
    for (const float value : values) asked.push_back(Ask(value));
    fleet_.Finish(device);
    EXPECT_TRUE(before->done);
    EXPECT_EQ(fleet_.Items(device), values.size());
    return asked;
  }
  Probation Fresh() const { return {clock_.Now(), kProbationLength}; }
  uint64_t OfModel(obs::MetricId id) { return registry_.Model("m", 1)->Value(id); }

  SharedFakeClock clock_;
  obs::Registry registry_;
  FakeFleet fleet_{{{"cuda:0", "cuda"}, {"cpu:0", "cpu"}, {"cpu:1", "cpu"}}};
  Dispatcher dispatcher_{sched::Limits{}, &fleet_, &registry_, &clock_};
  std::shared_ptr<const ServedModel> model_;
};

// ---- probation ----

TEST_F(DispatcherTest, ADeviceOnProbationTakesAGrowingShare) {
  fleet_.Up(kCuda, Fresh());
  fleet_.Up(kCpu0);
  const auto of_hundred = [this] {
    int served = 0;
    for (int i = 0; i < 100; ++i) served += ServedBy() == "cuda:0";
    return served;
  };
  EXPECT_EQ(of_hundred(), 1);
  clock_.Advance(kProbationLength / 2);
  EXPECT_NEAR(of_hundred(), 50, 1);
  clock_.Advance(kProbationLength / 4);
  EXPECT_NEAR(of_hundred(), 75, 1);
  clock_.Advance(kProbationLength / 4);
  EXPECT_EQ(of_hundred(), 100);
}

TEST_F(DispatcherTest, OnProbationAloneItTakesEverything) {
  fleet_.Up(kCuda, Fresh());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ServedBy(), "cuda:0");
  fleet_.Up(kCpu0, Fresh());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ServedBy(), "cuda:0") << "the other is trusted no more";
}

TEST_F(DispatcherTest, AShareIsTakenUpAgainWhenTheFallbackEnds) {
  fleet_.Up(kCuda, Fresh());
  fleet_.Up(kCpu0);
  EXPECT_EQ(ServedBy(), "cpu:0");
  fleet_.Down(kCpu0);
  EXPECT_EQ(ServedBy(), "cuda:0");
}

TEST_F(DispatcherTest, WhatTheTrustedRefuseIsOfferedToTheOther) {
  SetModel("identity", "slow");  // 50 ms a row on the CPU
  fleet_.Up(kCuda, Fresh());
  fleet_.Up(kCpu0);
  const auto asked = Ask(1, milliseconds(20));
  ASSERT_TRUE(fleet_.Busy(kCuda));
  fleet_.Finish(kCuda);
  EXPECT_EQ(asked->served_by, "cuda:0");
}

TEST_F(DispatcherTest, OneOfTwoOfAKindOnProbationTakesItsShareToo) {
  fleet_.Up(kCpu0, Fresh());
  fleet_.Up(kCpu1);
  int served = 0;
  for (int i = 0; i < 200; ++i) served += ServedBy() == "cpu:0";
  EXPECT_EQ(served, 2);
}

TEST_F(DispatcherTest, OnProbationNothingIsTakenFromATrustedNeighbour) {
  fleet_.Up(kCpu1);
  const auto running = Ask(1);
  const auto waiting = Ask(2);
  fleet_.Up(kCpu0, Fresh());
  EXPECT_FALSE(fleet_.Busy(kCpu0));
  fleet_.Finish(kCpu1);
  fleet_.Finish(kCpu1);
  EXPECT_EQ(waiting->served_by, "cpu:1");
}

TEST_F(DispatcherTest, ANewProbationBeginsWithTheFirstShare) {
  for (int crash = 0; crash < 3; ++crash) {
    fleet_.Up(kCuda, Fresh());
    fleet_.Up(kCpu0);
    for (int i = 1; i < 100; ++i) ASSERT_EQ(ServedBy(), "cpu:0") << i;
    EXPECT_EQ(ServedBy(), "cuda:0");
    fleet_.Down(kCuda);
  }
}

// ---- poisonous requests ----

// As drawn in dispatcher.h.
TEST_F(DispatcherTest, TheGuiltyOneOfABatchIsFoundAndTheOthersAreAnswered) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  const auto asked = AskInOneBatch(kCuda, {1, 2, 3});
  fleet_.Down(kCuda);
  EXPECT_EQ(OfModel(obs::MetricId::kSuspectRequests), 3u);
  ASSERT_EQ(fleet_.Items(kCpu0), 1u) << "alone";
  fleet_.Finish(kCpu0);
  EXPECT_TRUE(asked[0]->ServedBy("cpu:0"));
  ASSERT_EQ(fleet_.Items(kCpu0), 1u);
  fleet_.Down(kCpu0);
  EXPECT_TRUE(asked[1]->done && asked[1]->poisonous) << asked[1]->status.message();
  EXPECT_FALSE(asked[2]->done) << "it was not even running";
  fleet_.Up(kCuda);
  ASSERT_EQ(fleet_.Items(kCuda), 1u);
  fleet_.Finish(kCuda);
  EXPECT_TRUE(asked[2]->ServedBy("cuda:0"));
  EXPECT_EQ(OfModel(obs::MetricId::kBrokenPromises), 1u);
  while (OfModel(obs::MetricId::kPoisonousRequests) != 1u) std::this_thread::yield();
}

TEST_F(DispatcherTest, TheSameBytesAreRefusedFromThenOnAndOthersAreNot) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  Ask(7);
  fleet_.Down(kCuda);
  fleet_.Down(kCpu0);
  fleet_.Up(kCuda);
  const auto again = Ask(7);
  EXPECT_TRUE(again->refused && again->poisonous);
  EXPECT_EQ(again->retry_after, Duration(0));
  EXPECT_EQ(ServedBy(), "cuda:0");
  clock_.Advance(kPoisonKept);
  EXPECT_FALSE(Ask(7)->done) << "not for ever";
}

TEST_F(DispatcherTest, TwinsOfThePoisonousAreNotRunToFindOut) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  const auto asked = AskInOneBatch(kCuda, {5, 5, 5, 6});
  fleet_.Down(kCuda);
  const auto waiting = Ask(5);  // not of the batch, and not yet known
  fleet_.Down(kCpu0);
  for (size_t i : {0u, 1u, 2u}) EXPECT_TRUE(asked[i]->done && asked[i]->poisonous) << i;
  fleet_.Up(kCuda);
  fleet_.Finish(kCuda);
  EXPECT_TRUE(asked[3]->ServedBy("cuda:0"));
  EXPECT_TRUE(waiting->done);
  EXPECT_FALSE(fleet_.Busy(kCuda));
}

// At the very moment in which the first of them is answered, the next twin may come.
TEST_F(DispatcherTest, ATwinThatComesWhileOthersAreAnsweredIsRefused) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  const auto asked = AskInOneBatch(kCuda, {5, 5});
  fleet_.Down(kCuda);
  ASSERT_EQ(fleet_.Items(kCpu0), 1u);
  const auto other = [&] {
    fleet_.Up(kCuda);
    return Ask(9);  // so that nothing is taken from the CPU's queue
  }();
  std::shared_ptr<Asked> twin;
  asked[1]->when_done = [&] { twin = Ask(5); };
  fleet_.Down(kCpu0);
  ASSERT_TRUE(asked[0]->poisonous && asked[1]->poisonous);
  ASSERT_TRUE(twin);
  EXPECT_TRUE(twin->refused && twin->poisonous);
  fleet_.Finish(kCuda);
  EXPECT_TRUE(other->ServedBy("cuda:0"));
}

// It ends every GPU worker, and the CPU answers it: it must not end one with every retry.
TEST_F(DispatcherTest, WhatEndsOneKindOnlyIsFoundToo) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  const auto first = Ask(7);
  fleet_.Down(kCuda);
  fleet_.Finish(kCpu0);
  EXPECT_TRUE(first->ServedBy("cpu:0"));
  fleet_.Up(kCuda);
  const auto before = Ask(-1);
  const auto second = Ask(7);
  const auto third = Ask(8);
  fleet_.Finish(kCuda);
  EXPECT_EQ(fleet_.Items(kCuda), 1u) << "known, so alone";
  fleet_.Down(kCuda);
  EXPECT_TRUE(second->done && second->poisonous);
  fleet_.Finish(kCpu0);
  EXPECT_TRUE(third->ServedBy("cpu:0")) << "and it was not run on the fallback again";
  EXPECT_FALSE(fleet_.Busy(kCpu0));
}

// Workers that are killed from outside, again and again, with the same request in flight.
TEST_F(DispatcherTest, WhatADeviceOfTheKindSurvivesIsInnocent) {
  fleet_.Up(kCpu0);
  fleet_.Up(kCpu1);
  for (int i = 0; i < 5; ++i) {
    const auto asked = Ask(7);
    const size_t victim = fleet_.Busy(kCpu0) ? kCpu0 : kCpu1, other = kCpu0 + kCpu1 - victim;
    fleet_.Down(victim);
    fleet_.Finish(other);
    EXPECT_TRUE(asked->done && asked->status.ok()) << asked->status.message();
    fleet_.Up(victim);
  }
  EXPECT_EQ(OfModel(obs::MetricId::kPoisonousRequests), 0u);
}

TEST_F(DispatcherTest, ASuspectThatItsKindSurvivesIsCleared) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  for (int i = 0; i < 3; ++i) {
    Ask(7);
    fleet_.Down(kCuda);
    fleet_.Finish(kCpu0);
    fleet_.Up(kCuda);
    const auto again = Ask(7);
    fleet_.Finish(kCuda);
    EXPECT_TRUE(again->ServedBy("cuda:0"));
  }
}

TEST_F(DispatcherTest, ABatchThatHadNotBegunIsNotToBlame) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  const auto asked = AskInOneBatch(kCuda, {1, 2});
  fleet_.Down(kCuda, /*blameless=*/true);
  EXPECT_EQ(fleet_.Items(kCpu0), 2u) << "nobody is suspected";
  fleet_.Down(kCpu0, true);
  for (const auto& one : asked) EXPECT_FALSE(one->poisonous);
  EXPECT_EQ(OfModel(obs::MetricId::kSuspectRequests), 0u);
}

TEST_F(DispatcherTest, ABatchThatHadNotBegunKeepsItsReplay) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  fleet_.Up(kCpu1);
  const auto asked = Ask(1);
  fleet_.Down(kCuda, /*blameless=*/true);
  const size_t first = fleet_.Busy(kCpu0) ? kCpu0 : kCpu1, second = kCpu0 + kCpu1 - first;
  fleet_.Down(first);
  ASSERT_TRUE(fleet_.Busy(second)) << asked->status.message();
  fleet_.Finish(second);
  EXPECT_TRUE(asked->done && asked->status.ok());
}

TEST_F(DispatcherTest, ABatchThatNeverBeginsIsGivenUpInTheEnd) {
  fleet_.Up(kCuda);
  fleet_.Up(kCpu0);
  const auto asked = Ask(1);
  for (uint32_t i = 0; i <= kBlamelessReplaysMax; ++i) {
    ASSERT_FALSE(asked->done) << i;
    const size_t device = fleet_.Busy(kCuda) ? kCuda : kCpu0;
    fleet_.Down(device, true);
    fleet_.Up(device);
  }
  EXPECT_EQ(asked->status.code(), StatusCode::kUnavailable);
}

class ParkedTest : public DispatcherTest {
 protected:
  // 1 is poisonous, 2 waits for any device.
  void Park(Duration deadline = seconds(10)) {
    fleet_.Up(kCuda);
    fleet_.Up(kCpu0);
    const auto before = Ask(-1);
    const auto guilty = Ask(1, deadline / 2);
    parked_ = Ask(2, deadline);
    fleet_.Finish(kCuda);
    ASSERT_EQ(fleet_.Items(kCuda), 2u);
    fleet_.Down(kCuda);
    fleet_.Down(kCpu0);
    ASSERT_TRUE(guilty->poisonous);
    ASSERT_EQ(dispatcher_.pending(), 1u);
  }
  std::shared_ptr<Asked> parked_;
};

TEST_F(ParkedTest, ItsClientMayHangUp) {
  Park();
  ASSERT_FALSE(parked_->done);
  EXPECT_TRUE(dispatcher_.Cancel(parked_->handle));
  EXPECT_EQ(parked_->status.code(), StatusCode::kCancelled);
  EXPECT_FALSE(dispatcher_.Cancel(parked_->handle));
  EXPECT_EQ(dispatcher_.pending(), 0u);
}

TEST_F(ParkedTest, StoppingAnswersIt) {
  Park();
  EXPECT_TRUE(dispatcher_.Stop(milliseconds(0)));
  EXPECT_EQ(parked_->status.message(), "Server exiting");
}

TEST_F(ParkedTest, ItsDeadlinePassesWithoutAnyDevice) {
  Park(milliseconds(20));  // the watcher sleeps by a real clock
  clock_.Advance(seconds(1));
  while (!parked_->done) std::this_thread::yield();
  EXPECT_EQ(parked_->status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(dispatcher_.pending(), 0u);
}

}  // namespace
}  // namespace fusee::server
