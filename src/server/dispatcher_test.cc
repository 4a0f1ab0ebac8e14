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

class DispatcherTest : public testing::Test, public FleetListener {
 protected:
  DispatcherTest() {
    clock_.Advance(std::chrono::hours(1));
    fleet_.Attach(this, &registry_);
    SetModel("identity", "identity");
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
    bool done = false;
    Status status;
    std::string served_by;
    Duration retry_after{};
    Dispatcher::Handle handle;
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
      asked->done = true;
      asked->status = std::move(status);
      asked->served_by = call->served_by;
      asked->retry_after = call->retry_after;
    };
    auto admission = dispatcher_.Submit(std::move(call));
    if (auto* refused = std::get_if<Dispatcher::Refused>(&admission)) {
      asked->done = true;
      asked->status = std::move(refused->status);
      asked->retry_after = refused->retry_after;
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
  Probation Fresh() const { return {clock_.Now(), kProbationLength}; }
  uint64_t OfModel(obs::MetricId id) { return registry_.Model("m", 1)->Value(id); }

  FakeClock clock_;
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

}  // namespace
}  // namespace fusee::server
