// One poisonous request against a whole server: processes that die of it, and clients that send it
// again and again.
#include <gmock/gmock.h>

#include "server/service.h"
#include "server/supervisor.h"
#include "server/test_util.h"

namespace fusee::server {
namespace {

using testing::HasSubstr;

constexpr int kPoison = 666;  // fake_worker_main.cc
constexpr std::chrono::seconds kPatience{60};
constexpr int kTriesMax = 100;  // of an innocent request that is told to come again

class PoisonServerTest : public ServerTest {
 protected:
  ~PoisonServerTest() override {
    if (server_) server_->Shutdown(std::chrono::milliseconds(100));
  }
  // cuda:0 and cpu:0, both of which die of it.
  void StartWorkers() {
    std::filesystem::create_directories(root_ / "m" / "1");
    for (const char* plan : {"model.cuda.plan", "model.cpu.plan"})
      std::ofstream(root_ / "m" / "1" / plan) << "x";
    WorkerLimits limits;
    limits.pause_first = limits.pause_max = std::chrono::milliseconds(1);
    limits.crash_loop = 100;
    auto supervisor = Supervisor::Create({.worker_path = FUSEE_FAKE_WORKER,
                                          .devices = {{{"cuda:0", "cuda"}, "poison", limits, ""},
                                                      {{"cpu:0", "cpu"}, "poison", limits, ""}},
                                          .slab_bytes = 1 << 20},
                                         &SteadyClock());
    ASSERT_TRUE(supervisor.ok()) << supervisor.status().message();
    supervisor_ = std::move(*supervisor);
    auto server = Server::Start(options_, supervisor_.get());
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
    const Status loaded = server_->LoadModels();
    ASSERT_TRUE(loaded.ok()) << loaded.message();
    for (size_t device : {0u, 1u}) ASSERT_TRUE(WaitServing({device}));
  }
  bool Serves(size_t device) {
    const WorkerState state = supervisor_->state(device);
    return state == WorkerState::kReady || state == WorkerState::kProbation;
  }
  // Until any of them does.
  bool WaitServing(std::vector<size_t> devices) {
    const TimePoint give_up = SteadyClock().Now() + kPatience;
    while (std::ranges::none_of(devices, [this](size_t d) { return Serves(d); })) {
      if (SteadyClock().Now() > give_up) return false;
      std::this_thread::yield();
    }
    return true;
  }
  static std::string Body(int value) {
    return fmt::format(
        R"({{"inputs":[{{"name":"INPUT","datatype":"FP32","shape":[1,4],"data":[{},2,3,4]}}]}})",
        value);
  }
  Reply Ask(int value) { return Client(port()).Post("/v2/models/m/infer", Body(value)); }
  uint64_t Deaths() {
    uint64_t deaths = 0;
    for (const char* name : {"cuda:0", "cpu:0"}) {
      deaths += server_->service().registry().Device(name)->Total(obs::MetricId::kWorkerDeaths);
    }
    return deaths;
  }

  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(PoisonServerTest, TakesEveryDeviceDownOnceAndIsRefusedFromThenOn) {
  ASSERT_NO_FATAL_FAILURE(StartWorkers());
  const Reply first = Ask(kPoison);
  EXPECT_EQ(first.status, 422) << first.body;
  EXPECT_THAT(first.body, HasSubstr("this request is not run"));
  for (size_t device : {0u, 1u}) ASSERT_TRUE(WaitServing({device}));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(kPoison).status, 422);
  EXPECT_EQ(Ask(1).status, 200);
  EXPECT_EQ(Deaths(), 2u);
  EXPECT_THAT(
      Client(port()).Get("/metrics").body,
      HasSubstr(
          "fusee_rejected_requests_total{model=\"m\",version=\"1\",reason=\"poisonous\"} 20\n"));
}

// Among others, from many clients at once: at most as many deaths as it takes to be sure, which is
// two alone, and every innocent is answered.
TEST_F(PoisonServerTest, AmongOthersOnlyItIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartWorkers());
  constexpr int kClients = 8, kRounds = 25;
  std::atomic<int> wrong{0}, refused{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] {
      Client client(port());
      for (int i = 0; i < kRounds; ++i) {
        const bool poison = c == 0 && i % 5 == 2;
        const int value = poison ? kPoison : 1000 * c + i;
        Reply reply = client.Post("/v2/models/m/infer", Body(value));
        // Behind the fallback, with the other not yet back, an ordinary request is told to retry.
        for (int tries = 1; !poison && reply.status == 503 && tries < kTriesMax; ++tries) {
          if (!reply.headers.contains("retry-after") || !WaitServing({0, 1})) break;
          reply = client.Post("/v2/models/m/infer", Body(value));
        }
        refused += reply.status == 422;
        const bool right =
            poison ? reply.status == 422
                   : reply.status == 200 &&
                         reply.body.find(fmt::format("\"data\":[{}.0,", value)) != reply.body.npos;
        wrong += !right;
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(refused, kRounds / 5);
  EXPECT_EQ(Deaths(), 2u);
}

}  // namespace
}  // namespace fusee::server
