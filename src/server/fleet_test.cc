// Routing over several devices, fallback and replay, over HTTP with a fleet that a test holds in
// its hands.
#include <gmock/gmock.h>

#include "server/fake_fleet_test_util.h"
#include "server/service.h"
#include "server/test_util.h"

namespace fusee::server {
namespace {

using obs::MetricId;
using testing::HasSubstr;

const std::string kInfer =
    R"({"inputs":[{"name":"INPUT","datatype":"FP32","shape":[1,2],"data":[1,2]}]})";

class FleetTest : public ServerTest {
 protected:
  ~FleetTest() override {
    if (server_) server_->Shutdown(std::chrono::milliseconds(100));
  }
  void AddPlans(const std::string& model, const std::string& cuda, const std::string& cpu) {
    std::filesystem::create_directories(root_ / model / "1");
    if (!cuda.empty()) std::ofstream(root_ / model / "1" / "model.cuda.plan") << cuda;
    if (!cpu.empty()) std::ofstream(root_ / model / "1" / "model.cpu.plan") << cpu;
  }
  // cuda:0, cpu:0, cpu:1, none of them up.
  void StartFleet() {
    fleet_ = std::make_unique<FakeFleet>(
        std::vector<DeviceInfo>{{"cuda:0", "cuda"}, {"cpu:0", "cpu"}, {"cpu:1", "cpu"}});
    auto server = Server::Start(options_, fleet_.get());
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
    const Status loaded = server_->LoadModels();
    ASSERT_TRUE(loaded.ok()) << loaded.message();
  }
  void StartBoth() {
    AddPlans("m", "identity", "identity");
    StartFleet();
  }
  // A client that has sent one request.
  std::unique_ptr<Client> Ask(const std::string& headers = "") {
    auto client = std::make_unique<Client>(port());
    client->Send(
        fmt::format("POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n{}",
                    kInfer.size(), headers, kInfer));
    return client;
  }
  void WaitPending(uint32_t n) {
    while (server_->service().dispatcher().pending() != n) std::this_thread::yield();
  }
  void ExpectServedBy(Client& client, const std::string& device) {
    const Reply reply = client.Read();
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_THAT(reply.body, HasSubstr(fmt::format(R"("parameters":{{"served_by":"{}"}})", device)));
    EXPECT_THAT(reply.body, HasSubstr(R"("data":[1.0,2.0])"));
  }
  uint64_t OfModel(MetricId id) { return server_->service().registry().Model("m", 1)->Value(id); }
  uint64_t OfDevice(const std::string& name, MetricId id) {
    return server_->service().registry().Device(name)->Value(id);
  }

  std::unique_ptr<FakeFleet> fleet_;
};

constexpr size_t kCuda = 0, kCpu0 = 1, kCpu1 = 2;

TEST_F(FleetTest, TheFirstKindOfTheOrderServes) {
  StartBoth();
  for (size_t d : {kCpu0, kCpu1, kCuda}) fleet_->Up(d);
  const auto client = Ask();
  fleet_->Finish(kCuda);
  ExpectServedBy(*client, "cuda:0");
  EXPECT_EQ(OfDevice("cuda:0", MetricId::kDeviceRequests), 1u);
  EXPECT_EQ(OfModel(MetricId::kFallbackRequests), 0u);
}

TEST_F(FleetTest, AnotherOrderIsTheOperatorsChoice) {
  options_.device_order = {"cpu", "cuda"};
  StartBoth();
  for (size_t d : {kCpu0, kCpu1, kCuda}) fleet_->Up(d);
  const auto client = Ask();
  fleet_->Finish(kCpu0);
  ExpectServedBy(*client, "cpu:0");
}

TEST_F(FleetTest, TheModelsOwnOrderComesBeforeTheServers) {
  AddPlans("m", "identity", "identity");
  std::ofstream(root_ / "m" / "config.pbtxt")
      << R"(parameters { key: "device_order" value { string_value: "cpu" } })";
  StartFleet();
  for (size_t d : {kCuda, kCpu0}) fleet_->Up(d);
  const auto client = Ask();
  fleet_->Finish(kCpu0);
  ExpectServedBy(*client, "cpu:0");
}

TEST_F(FleetTest, AModelWithOnePlanRunsWhereItCan) {
  options_.device_order = {"cuda"};
  AddPlans("m", "", "identity");
  StartFleet();
  for (size_t d : {kCuda, kCpu0}) fleet_->Up(d);
  const auto client = Ask();
  fleet_->Finish(kCpu0);
  ExpectServedBy(*client, "cpu:0");
}

TEST_F(FleetTest, WithoutTheFirstKindTheNextServesAndIsCounted) {
  StartBoth();
  fleet_->Up(kCpu0);
  const auto client = Ask();
  fleet_->Finish(kCpu0);
  ExpectServedBy(*client, "cpu:0");
  EXPECT_EQ(OfModel(MetricId::kFallbackRequests), 1u);
}

TEST_F(FleetTest, WithoutAnyDeviceTheAnswerIsARetryAtOnce) {
  StartBoth();
  const Reply reply = Ask()->Read();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.at("retry-after"), "1");
  EXPECT_THAT(reply.body, HasSubstr("no device"));
  EXPECT_EQ(Client(port()).Get("/v2/health/ready").status, 400);
}

TEST_F(FleetTest, DevicesOfOneKindShareTheWork) {
  AddPlans("m", "", "identity");
  StartFleet();
  fleet_->Up(kCpu0);
  fleet_->Up(kCpu1);
  const auto first = Ask(), second = Ask();
  WaitPending(2);
  fleet_->Finish(kCpu0);
  fleet_->Finish(kCpu1);
  EXPECT_EQ(first->Read().status, 200);
  EXPECT_EQ(second->Read().status, 200);
}

TEST_F(FleetTest, AClientThatHangsUpIsFoundWhereItsRequestHasMoved) {
  AddPlans("m", "", "identity");
  StartFleet();
  fleet_->Up(kCpu0);
  std::vector<std::unique_ptr<Client>> clients;
  for (int length = 1; length <= 5; ++length) {  // so that none shares a batch
    const std::string body = fmt::format(
        R"({{"inputs":[{{"name":"INPUT","datatype":"FP32","shape":[1,{}],"data":[{}]}}]}})", length,
        fmt::join(std::vector<int>(static_cast<size_t>(length), 7), ","));
    clients.push_back(std::make_unique<Client>(port()));
    clients.back()->Send(
        fmt::format("POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body));
    WaitPending(static_cast<uint32_t>(length));
  }
  // One runs and four wait; the new device takes two of them, runs one, and the other waits there.
  fleet_->Up(kCpu1);
  fleet_->WaitForBatch(kCpu1);
  clients[2].reset();
  WaitPending(4);
  EXPECT_EQ(server_->service().registry().Model("m", 1)->Value(MetricId::kRequestFailure,
                                                               obs::Reason::kCanceled),
            1u);
  for (size_t device : {kCpu0, kCpu1, kCpu0, kCpu1}) fleet_->Finish(device);
  for (size_t i : {0u, 1u, 3u, 4u}) EXPECT_EQ(clients[i]->Read().status, 200) << i;
}

TEST_F(FleetTest, ALostBatchIsRunAgainElsewhereInFreshMemory) {
  StartBoth();
  fleet_->Up(kCuda);
  fleet_->Up(kCpu0);
  const auto client = Ask();
  fleet_->WaitForBatch(kCuda);
  const void* old_output = fleet_->OutputOf(kCuda);
  fleet_->Down(kCuda);
  fleet_->WaitForBatch(kCpu0);
  EXPECT_NE(fleet_->OutputOf(kCpu0), old_output);
  EXPECT_EQ(fleet_->kept(), 1u) << "what the lost device may still write to";
  fleet_->Finish(kCpu0);
  ExpectServedBy(*client, "cpu:0");
  EXPECT_EQ(OfModel(MetricId::kReplayedRequests), 1u);
  EXPECT_EQ(OfModel(MetricId::kBrokenPromises), 0u);
}

TEST_F(FleetTest, ABatchIsRunAgainOnceOnly) {
  StartBoth();
  for (size_t d : {kCuda, kCpu0, kCpu1}) fleet_->Up(d);
  const auto client = Ask();
  fleet_->WaitForBatch(kCuda);
  fleet_->Down(kCuda);
  const size_t second = fleet_->Busy(kCpu0) ? kCpu0 : kCpu1;
  fleet_->WaitForBatch(second);
  fleet_->Down(second);
  const Reply reply = client->Read();
  EXPECT_EQ(reply.status, 422) << "it is what both were running";
  EXPECT_EQ(reply.headers.count("retry-after"), 0u);
  EXPECT_THAT(reply.body, HasSubstr(R"({"error":"this request is not run)"));
  EXPECT_EQ(OfModel(MetricId::kBrokenPromises), 1u);
  while (OfModel(MetricId::kPoisonousRequests) != 1u) std::this_thread::yield();
  const size_t third = kCpu0 + kCpu1 - second;
  const Reply again = Ask()->Read();
  EXPECT_EQ(again.status, 422);
  EXPECT_FALSE(fleet_->Busy(third));
  EXPECT_EQ(server_->service().registry().Model("m", 1)->Value(MetricId::kRejections,
                                                               obs::Reason::kPoisonous),
            1u);
}

TEST_F(FleetTest, WithoutAnotherDeviceALostBatchIsARetryAtOnce) {
  StartBoth();
  fleet_->Up(kCuda);
  const auto client = Ask();
  fleet_->WaitForBatch(kCuda);
  fleet_->Down(kCuda);
  const Reply reply = client->Read();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.at("retry-after"), "1");
}

// The fallback's own plan says that it takes longer than the deadline allows.
TEST_F(FleetTest, ALostBatchThatTheFallbackCannotAnswerInTimeIsARetryAtOnce) {
  AddPlans("m", "identity", "slow");
  StartFleet();
  fleet_->Up(kCuda);
  fleet_->Up(kCpu0);
  const auto client = Ask("Fusee-Timeout-Us: 40000\r\n");
  fleet_->WaitForBatch(kCuda);
  fleet_->Down(kCuda);
  const Reply reply = client->Read();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.count("retry-after"), 1u);
  EXPECT_FALSE(fleet_->Busy(kCpu0));
}

TEST_F(FleetTest, WhatWaitsMovesWhenItsDeviceEnds) {
  StartBoth();
  fleet_->Up(kCuda);
  std::vector<std::unique_ptr<Client>> clients;
  clients.push_back(Ask());
  fleet_->WaitForBatch(kCuda);
  for (int i = 0; i < 3; ++i) clients.push_back(Ask());
  WaitPending(4);
  fleet_->Up(kCpu0);
  fleet_->Down(kCuda);
  while (server_->service().dispatcher().pending() > 0) {
    if (fleet_->Busy(kCpu0)) fleet_->Finish(kCpu0);
  }
  for (const auto& client : clients) ExpectServedBy(*client, "cpu:0");
  EXPECT_EQ(OfDevice("cuda:0", MetricId::kWorkerRequestsMoved), 4u);
  EXPECT_EQ(OfModel(MetricId::kReplayedRequests), 1u) << "the others had not begun";
}

TEST_F(FleetTest, AnIdleDeviceTakesFromABusyOneOfItsKind) {
  AddPlans("m", "", "identity");
  StartFleet();
  fleet_->Up(kCpu0);
  std::vector<std::unique_ptr<Client>> clients;
  clients.push_back(Ask());
  fleet_->WaitForBatch(kCpu0);
  for (int i = 0; i < 4; ++i) clients.push_back(Ask());
  WaitPending(5);
  fleet_->Up(kCpu1);
  fleet_->Finish(kCpu1);
  EXPECT_EQ(OfDevice("cpu:1", MetricId::kDeviceRequests), 2u) << "half of four";
  while (server_->service().dispatcher().pending() > 0) {
    for (size_t d : {kCpu0, kCpu1}) {
      if (fleet_->Busy(d)) fleet_->Finish(d);
    }
  }
  for (const auto& client : clients) EXPECT_EQ(client->Read().status, 200);
}

TEST_F(FleetTest, AnAbsentKindIsTakenInWhenItComes) {
  AddPlans("m", "absent", "identity");
  StartFleet();
  fleet_->Up(kCpu0);
  const auto before = Ask();
  fleet_->Finish(kCpu0);
  ExpectServedBy(*before, "cpu:0");
  fleet_->Arrive(0, "cuda");
  fleet_->Up(kCuda);
  const auto after = Ask();
  fleet_->Finish(kCuda);
  ExpectServedBy(*after, "cuda:0");
}

TEST_F(FleetTest, AModelForAnAbsentKindOnlyBecomesReadyWhenItComes) {
  AddPlans("m", "absent", "");
  StartFleet();
  EXPECT_EQ(Client(port()).Get("/v2/models/m/ready").status, 400);
  fleet_->Arrive(0, "cuda");
  fleet_->Up(kCuda);
  EXPECT_EQ(Client(port()).Get("/v2/models/m/ready").status, 200);
  EXPECT_EQ(Client(port()).Get("/v2/health/ready").status, 200);
}

TEST_F(FleetTest, PlansThatDoNotFitEachOtherAreNotMixed) {
  AddPlans("m", "simple", "identity");
  StartFleet();
  fleet_->Up(kCpu0);
  const Reply reply = Client(port()).Get("/v2/models/m");
  EXPECT_THAT(reply.body, HasSubstr("INPUT0")) << "the first choice's";
  EXPECT_EQ(Ask()->Read().status, 400);
}

TEST_F(FleetTest, BinaryAnswersSayWhoServedToo) {
  StartBoth();
  fleet_->Up(kCuda);
  const std::string json =
      R"({"inputs":[{"name":"INPUT","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}],)"
      R"("parameters":{"binary_data_output":true}})";
  const float values[] = {1, 2};
  Client client(port());
  const std::string body =
      json + std::string(reinterpret_cast<const char*>(values), sizeof(values));
  client.Send(
      fmt::format("POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n"
                  "Inference-Header-Content-Length: {}\r\n\r\n{}",
                  body.size(), json.size(), body));
  fleet_->Finish(kCuda);
  const Reply reply = client.Read();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(reply.body, HasSubstr(R"("served_by":"cuda:0")"));
  EXPECT_EQ(reply.body.substr(reply.body.size() - 8),
            std::string(reinterpret_cast<const char*>(values), 8));
}

TEST_F(FleetTest, DeviceMetricsCarryTheDevice) {
  StartBoth();
  fleet_->Up(kCuda);
  const auto client = Ask();
  fleet_->Finish(kCuda);
  client->Read();
  EXPECT_THAT(Client(port()).Get("/metrics").body,
              HasSubstr("fusee_device_requests_total{device=\"cuda:0\"} 1\n"));
}

}  // namespace
}  // namespace fusee::server
