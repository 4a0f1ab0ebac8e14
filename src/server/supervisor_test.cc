// The supervisor with processes that behave, misbehave, hang and die: fake_worker_main.cc.
#include "server/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <condition_variable>
#include <cstring>
#include <fstream>
#include <future>
#include <map>
#include <mutex>

#include "base/log.h"

namespace fusee::server {
namespace {

using testing::HasSubstr;

constexpr std::chrono::seconds kPatience{60};  // of a test for what must happen

// Remembers what it was told, and lets a test wait for it.
class Listener final : public FleetListener {
 public:
  void OnDeviceReady(size_t device, std::vector<const ipc::Model*> models,
                     Probation probation) override {
    const std::lock_guard lock(mutex_);
    probation_[device] = probation.length;
    ++ready_[device];
    held_[device] = models.size();
    up_[device] = true;
    changed_.notify_all();
  }
  void OnDeviceLost(size_t device) override {
    const std::lock_guard lock(mutex_);
    ++lost_[device];
    up_[device] = false;
    changed_.notify_all();
  }
  void OnModelArrived(size_t, KindModel) override {
    const std::lock_guard lock(mutex_);
    ++arrived_;
    changed_.notify_all();
  }

  template <typename Condition>
  bool WaitUntil(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }
  bool WaitReady(size_t device, int times) {
    return WaitUntil([&] { return ready_[device] >= times; });
  }
  bool WaitUp(size_t device) {
    return WaitUntil([&] { return up_[device]; });
  }
  bool WaitLost(size_t device, int times) {
    return WaitUntil([&] { return lost_[device] >= times; });
  }
  Duration probation(size_t device) {
    const std::lock_guard lock(mutex_);
    return probation_[device];
  }
  size_t held(size_t device) {
    const std::lock_guard lock(mutex_);
    return held_[device];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<size_t, int> ready_, lost_;
  std::map<size_t, size_t> held_;
  std::map<size_t, Duration> probation_;
  std::map<size_t, bool> up_;
  int arrived_ = 0;
};

class Waiter final : public ipc::BatchListener {
 public:
  void OnBatchDone(ipc::BatchResult result) override { promise_.set_value(std::move(result)); }
  // nullopt: nobody told within a test's patience.
  std::optional<ipc::BatchResult> Wait() {
    auto future = promise_.get_future();
    if (future.wait_for(kPatience) != std::future_status::ready) return std::nullopt;
    return future.get();
  }

 private:
  std::promise<ipc::BatchResult> promise_;
};

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() { spdlog::set_level(spdlog::level::off); }
  ~SupervisorTest() override {
    if (supervisor_) supervisor_->Shutdown();
  }

  // Waits as short as a loaded machine allows.
  static WorkerLimits Limits() {
    WorkerLimits limits;
    limits.pause_first = std::chrono::milliseconds(1);
    limits.pause_max = std::chrono::milliseconds(4);
    limits.quarantine_first = std::chrono::milliseconds(200);
    return limits;
  }
  void Add(std::string mode, std::string kind = "cpu", std::string faults = "",
           WorkerLimits limits = Limits()) {
    const std::string name = kind + ":" + std::to_string(options_.devices.size());
    options_.devices.push_back({{name, kind}, std::move(mode), limits, std::move(faults)});
  }
  void Start() {
    options_.worker_path = FUSEE_FAKE_WORKER;
    options_.slab_bytes = 1 << 20;
    auto supervisor = Supervisor::Create(options_, &SteadyClock());
    ASSERT_TRUE(supervisor.ok()) << supervisor.status().message();
    supervisor_ = std::move(*supervisor);
    supervisor_->Attach(&listener_, &registry_);
    std::vector<ModelSource> sources;
    for (const std::string& name : names_) {
      sources.push_back(
          {.name = name, .version = 1, .plans = {{"cuda", "cuda.plan"}, {"cpu", "cpu.plan"}}});
    }
    supervisor_->LoadAll(sources, [&](size_t model, std::vector<KindModel> kinds) {
      if (names_[model] == "bad")
        bad_ = std::move(kinds);
      else
        kinds_ = std::move(kinds);
      return true;
    });
  }
  const ipc::Model* model() {
    for (const KindModel& k : kinds_) {
      if (k.model.ok()) return k.model->get();
    }
    return nullptr;
  }

  // One request of one row, filled with a value.
  struct Request {
    ipc::Block in, out;
    ConstTensorView input;
    TensorView output;
    ipc::BatchItem item;
    Waiter waiter;
    bool IsAnswer(float value) const {
      for (int i = 0; i < 4; ++i) {
        float got;
        std::memcpy(&got, static_cast<const float*>(output.data) + i, sizeof(got));
        if (got != value) return false;
      }
      return true;
    }
  };
  std::unique_ptr<Request> Send(size_t device, float value,
                                Duration predicted = std::chrono::milliseconds(1)) {
    auto r = std::make_unique<Request>();
    const ipc::RequestMemory memory = supervisor_->request_memory();
    r->in = memory.inputs->Take(16);
    r->out = memory.outputs->Take(16);
    for (size_t i = 0; i < 4; ++i) std::memcpy(r->in.data() + 4 * i, &value, 4);
    std::memset(r->out.data(), 0, 16);
    r->input = {DType::kF32, Shape{1, 4}, r->in.data()};
    r->output = {DType::kF32, Shape{1, 4}, r->out.data()};
    r->item = {.inputs = {&r->input, 1}, .outputs = {&r->output, 1}};
    supervisor_->Execute(
        device,
        {.id = ++batches_, .model = model(), .items = {&r->item, 1}, .predicted = predicted},
        &r->waiter);
    return r;
  }
  void ExpectServes(size_t device, float value = 3) {
    const auto request = Send(device, value);
    const auto result = request->waiter.Wait();
    ASSERT_TRUE(result && result->status.ok()) << (result ? result->status.message() : "no answer");
    EXPECT_TRUE(request->IsAnswer(value));
  }
  uint64_t Metric(size_t device, obs::MetricId id) {
    return registry_.Device(options_.devices[device].info.name)->Value(id);
  }
  uint64_t Deaths(size_t device) {
    return registry_.Device(options_.devices[device].info.name)
        ->Total(obs::MetricId::kWorkerDeaths);
  }
  uint64_t Deaths(size_t device, obs::Reason reason) {
    return registry_.Device(options_.devices[device].info.name)
        ->Value(obs::MetricId::kWorkerDeaths, reason);
  }

  obs::Registry registry_;
  Listener listener_;
  Supervisor::Options options_;
  std::vector<std::string> names_ = {"m"};
  std::vector<KindModel> kinds_, bad_;  // of "m" and of "bad"
  uint64_t batches_ = 0;
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, LoadsModelsAndRunsBatches) {
  Add("echo");
  Add("echo");
  Start();
  ASSERT_NE(model(), nullptr);
  EXPECT_EQ(model()->info().name, "m") << "the name is the front's, not the worker's";
  ASSERT_TRUE(listener_.WaitReady(0, 1) && listener_.WaitReady(1, 1));
  for (int i = 0; i < 20; ++i) ExpectServes(static_cast<size_t>(i) % 2, static_cast<float>(i));
}

TEST_F(SupervisorTest, AKilledWorkerLosesItsBatchAndComesBack) {
  Add("echo", "cpu", "batch:stop@2");
  Start();
  ExpectServes(0);
  const auto request = Send(0, 1, std::chrono::hours(1));  // stopped, but not yet overdue
  kill(supervisor_->pid(0), SIGKILL);
  const auto result = request->waiter.Wait();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->lost);
  ASSERT_TRUE(listener_.WaitReady(0, 2));
  ExpectServes(0);
  EXPECT_EQ(Deaths(0), 1u);
  EXPECT_EQ(Metric(0, obs::MetricId::kWorkerRestarts), 1u);
  EXPECT_EQ(Metric(0, obs::MetricId::kWorkerBatchesLost), 1u);
}

TEST_F(SupervisorTest, ProbationFollowsACrashAndEndsByItself) {
  auto limits = Limits();
  limits.probation = std::chrono::milliseconds(20);
  Add("echo", "cpu", "batch:kill", limits);
  Start();
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  EXPECT_EQ(listener_.probation(0), Duration(0)) << "a first start is trusted";
  supervisor_->SetFaults(0, "");
  ASSERT_TRUE(Send(0, 1)->waiter.Wait());
  ASSERT_TRUE(listener_.WaitReady(0, 2));
  EXPECT_EQ(listener_.probation(0), limits.probation);
  while (supervisor_->state(0) != WorkerState::kReady) ExpectServes(0);
}

TEST_F(SupervisorTest, AStoppedWorkerWithABatchIsOverdueAndReplaced) {
  auto limits = Limits();
  limits.hang_floor = std::chrono::milliseconds(20);
  Add("echo", "cpu", "batch:stop", limits);
  Start();
  const auto request = Send(0, 1);
  const auto result = request->waiter.Wait();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->lost);
  ASSERT_TRUE(listener_.WaitReady(0, 2));
  EXPECT_EQ(Deaths(0, obs::Reason::kHang), 1u);
}

TEST_F(SupervisorTest, AStoppedIdleWorkerDoesNotAnswerAndIsReplaced) {
  auto limits = Limits();
  limits.heartbeat = limits.heartbeat_answer = std::chrono::milliseconds(50);
  Add("echo", "cpu", "", limits);
  Start();
  kill(supervisor_->pid(0), SIGSTOP);
  ASSERT_TRUE(listener_.WaitReady(0, 2));
  EXPECT_GE(Deaths(0, obs::Reason::kSilent), 1u);
  ExpectServes(0);
}

// Finished before it died is finished.
TEST_F(SupervisorTest, AReplyWrittenBeforeDeathCounts) {
  Add("twice");
  Start();
  const auto request = Send(0, 5);
  const auto result = request->waiter.Wait();
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->lost);
  EXPECT_TRUE(request->IsAnswer(5));
  EXPECT_TRUE(listener_.WaitLost(0, 1)) << "the second answer makes it suspect";
}

TEST_F(SupervisorTest, AnswersThatMakeNoSenseReplaceTheWorker) {
  Add("larger");
  Start();
  const auto request = Send(0, 5);
  const auto result = request->waiter.Wait();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->lost);
  EXPECT_TRUE(listener_.WaitReady(0, 2));
  EXPECT_EQ(Deaths(0, obs::Reason::kProtocol), 1u);
}

TEST_F(SupervisorTest, UnknownMessagesReplaceTheWorker) {
  Add("babble");
  Start();
  EXPECT_TRUE(listener_.WaitLost(0, 1));
}

TEST_F(SupervisorTest, RandomBytesInTheRingReplaceTheWorkerAndHurtNobody) {
  auto limits = Limits();
  limits.crash_loop = 20;
  Add("garbage", "cuda", "", limits);
  Add("echo");
  Start();
  ASSERT_TRUE(listener_.WaitReady(1, 1));
  ExpectServes(1);
  EXPECT_GE(Deaths(0), 5u);
}

TEST_F(SupervisorTest, AWorkerThatNeverSaysHelloIsGivenUpOn) {
  auto limits = Limits();
  limits.start = std::chrono::milliseconds(5);
  limits.crash_loop = 2;
  Add("silent", "cpu", "", limits);
  Start();
  ASSERT_EQ(kinds_.size(), 1u);
  EXPECT_EQ(kinds_[0].model.status().code(), StatusCode::kUnavailable);
}

TEST_F(SupervisorTest, ACrashLoopIsQuarantinedAndServesAgainOnceHealed) {
  Add("echo", "cpu", "start:kill");
  Start();
  EXPECT_FALSE(kinds_[0].model.ok());
  EXPECT_THAT(kinds_[0].model.status().message(), HasSubstr("signal 9"));
  EXPECT_EQ(Deaths(0), Limits().crash_loop);
  supervisor_->SetFaults(0, "");
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  EXPECT_EQ(supervisor_->state(0), WorkerState::kProbation);
  EXPECT_EQ(listener_.held(0), 1u);
}

TEST_F(SupervisorTest, AModelThatKillsItsLoaderIsLeftOut) {
  Add("echo", "cpu", "load:kill");
  Start();
  EXPECT_THAT(kinds_[0].model.status().message(), HasSubstr("while loading it"));
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  EXPECT_EQ(listener_.held(0), 0u);
}

// The device is at fault, and not the model: the worker is replaced, in the end left alone for a
// while, and the other device serves.
TEST_F(SupervisorTest, WrongGoldenOutputsQuarantineTheirDeviceWhileTheOtherServes) {
  Add("echo", "cuda", "golden:wrong");
  Add("echo", "cpu");
  Start();
  ASSERT_EQ(kinds_.size(), 2u);
  EXPECT_EQ(kinds_[0].model.status().code(), StatusCode::kUnavailable) << "it may come";
  EXPECT_THAT(kinds_[0].model.status().message(), HasSubstr("output 'OUTPUT', element 3"));
  EXPECT_EQ(Deaths(0, obs::Reason::kGoldenMismatch), Limits().crash_loop);
  ASSERT_TRUE(listener_.WaitReady(1, 1));
  ExpectServes(1);
  supervisor_->SetFaults(0, "");
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  EXPECT_EQ(listener_.held(0), 1u) << "a healed device holds what it computed wrongly before";
}

TEST_F(SupervisorTest, AModelThatCannotBeLoadedLeavesTheOthersBe) {
  names_ = {"bad", "m"};
  Add("damaged");
  Start();
  ASSERT_EQ(bad_.size(), 1u);
  EXPECT_EQ(bad_[0].model.status().message(), "the plan is damaged");
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  ExpectServes(0);
  EXPECT_EQ(Deaths(0), 0u);
}

// One plan must not take a device out of service with every other model on it.
TEST_F(SupervisorTest, AModelWhoseGoldenOutputsAreAlwaysWrongIsLeftOut) {
  names_ = {"bad", "m"};
  Add("mismatch");
  Start();
  ASSERT_EQ(bad_.size(), 1u);
  EXPECT_EQ(bad_[0].model.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(bad_[0].model.status().message(), HasSubstr("output 'OUTPUT', element 3"));
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  EXPECT_EQ(listener_.held(0), 1u);
  ExpectServes(0);
  EXPECT_EQ(Deaths(0, obs::Reason::kGoldenMismatch), kLoadDeathsMax);
}

TEST_F(SupervisorTest, WhatAHealedDeviceLeftOutIsTriedInItsNextLife) {
  names_ = {"bad", "m"};
  Add("echo", "cpu", "golden:wrong");
  Start();
  // Both are wrong on it, each life at the first that it loads.
  ASSERT_FALSE(kinds_[0].model.ok());
  supervisor_->SetFaults(0, "");
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  kill(supervisor_->pid(0), SIGKILL);
  ASSERT_TRUE(listener_.WaitReady(0, 2));
  EXPECT_EQ(listener_.held(0), 2u);
}

TEST_F(SupervisorTest, WrongBitsOfAnIdleWorkerReplaceIt) {
  auto limits = Limits();
  limits.probe = std::chrono::milliseconds(1);
  Add("echo", "cpu", "probe:wrong@3", limits);
  Start();
  ASSERT_TRUE(listener_.WaitReady(0, 2));
  EXPECT_GE(Deaths(0, obs::Reason::kGoldenMismatch), 1u);
  EXPECT_GE(Metric(0, obs::MetricId::kWorkerProbes), 2u);
}

TEST_F(SupervisorTest, ABatchThatWaitedForAProbeSaysSo) {
  auto limits = Limits();
  limits.probe = std::chrono::milliseconds(1);
  limits.heartbeat_answer = limits.hang_floor = limits.hang_ceiling = kPatience;
  Add("echo", "cpu", "probe:stop", limits);
  Start();
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  const pid_t pid = supervisor_->pid(0);
  const auto stopped = [pid] {
    std::string text;
    std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/stat"), text);
    return text.find(") T ") != text.npos;
  };
  while (!stopped()) std::this_thread::yield();
  const auto behind = Send(0, 1);
  kill(pid, SIGCONT);
  const auto result = behind->waiter.Wait();
  ASSERT_TRUE(result && result->status.ok());
  EXPECT_TRUE(result->waited);
  EXPECT_EQ(Deaths(0), 0u);
}

TEST_F(SupervisorTest, AWorkerWithNothingToProbeServesOn) {
  auto limits = Limits();
  limits.probe = std::chrono::milliseconds(1);
  limits.heartbeat = std::chrono::milliseconds(5);
  Add("unprobed", "cpu", "probe:wrong@2", limits);
  Start();
  for (int i = 0; i < 50; ++i) ExpectServes(0);
  EXPECT_EQ(Deaths(0), 0u);
  EXPECT_EQ(Metric(0, obs::MetricId::kWorkerProbes), 0u);
}

TEST_F(SupervisorTest, ARefusedModelSaysWhy) {
  Add("refuse");
  Start();
  EXPECT_EQ(Deaths(0), 0u) << "nothing is wrong with the worker";
  EXPECT_EQ(kinds_[0].model.status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(kinds_[0].model.status().message(), "the plan is damaged");
}

TEST_F(SupervisorTest, AnAbsentDeviceIsNotWaitedFor) {
  Add("absent", "cuda");
  Add("echo");
  Start();
  ASSERT_EQ(kinds_.size(), 2u);
  EXPECT_EQ(kinds_[0].model.status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(kinds_[1].model.ok());
}

TEST_F(SupervisorTest, AnotherPlanInTheSameFileIsNotUsed) {
  Add("other");
  Start();
  ASSERT_TRUE(listener_.WaitReady(0, 1));
  EXPECT_EQ(listener_.held(0), 1u);
  kill(supervisor_->pid(0), SIGKILL);
  ASSERT_TRUE(listener_.WaitReady(0, 2));
  EXPECT_EQ(listener_.held(0), 0u);
}

TEST_F(SupervisorTest, AMissingBinaryIsAnErrorAtOnce) {
  Add("echo");
  options_.worker_path = "/nonexistent/fusee-worker";
  auto supervisor = Supervisor::Create(options_, &SteadyClock());
  ASSERT_TRUE(supervisor.ok());
  (*supervisor)->Attach(&listener_, &registry_);
  const ModelSource source{.name = "m", .version = 1, .plans = {{"cpu", "x"}}};
  Status status;
  (*supervisor)->LoadAll({&source, 1}, [&](size_t, std::vector<KindModel> kinds) {
    status = kinds[0].model.status();
    return true;
  });
  EXPECT_THAT(status.message(), HasSubstr("/nonexistent/fusee-worker"));
}

TEST_F(SupervisorTest, ABatchForADeviceThatIsGoneIsLost) {
  Add("echo", "cpu", "batch:stop");
  Start();
  const auto first = Send(0, 1, std::chrono::hours(1));
  kill(supervisor_->pid(0), SIGKILL);
  ASSERT_TRUE(first->waiter.Wait());
  supervisor_->SetFaults(0, "start:stop");  // no next life for now
  const auto second = Send(0, 1);
  const auto result = second->waiter.Wait();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->lost || result->status.ok()) << "lost, unless it was back already";
}

TEST_F(SupervisorTest, ManyDeathsLoseNothing) {
  auto limits = Limits();
  limits.crash_loop = 1000;
  Add("echo", "cpu", "batch:kill@3", limits);
  Add("echo", "cpu", "reply:kill@4", limits);
  Start();
  int lost = 0;
  for (int i = 0; i < 100; ++i) {
    const size_t device = static_cast<size_t>(i) % 2;
    ASSERT_TRUE(listener_.WaitUp(device));
    const auto request = Send(device, static_cast<float>(i));
    const auto result = request->waiter.Wait();
    ASSERT_TRUE(result) << "request " << i;
    lost += result->lost;
    ASSERT_TRUE(result->lost || request->IsAnswer(static_cast<float>(i)));
  }
  EXPECT_GE(lost, 20);
}

TEST_F(SupervisorTest, ShutdownEndsHungWorkersToo) {
  Add("echo", "cpu", "batch:stop");
  Start();
  const auto request = Send(0, 1, std::chrono::hours(1));
  const pid_t pid = supervisor_->pid(0);
  supervisor_->Shutdown();
  EXPECT_NE(kill(pid, 0), 0);
}

}  // namespace
}  // namespace fusee::server
