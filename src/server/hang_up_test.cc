// A peer that hangs up while its request waits: the request leaves the queue, and nothing else
// changes. The executor is held throughout, so that whatever waits can go only by being cancelled.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "obs/metrics.h"
#include "server/service.h"
#include "server/test_util.h"

namespace fusee::server {
namespace {

using testing::HasSubstr;

std::string Request(int id) {
  const std::string body = fmt::format(
      R"({{"id":"{}","inputs":[{{"name":"INPUT","datatype":"FP32","shape":[1,1],"data":[1]}}]}})",
      id);
  return fmt::format(
      "POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
}

class HangUp : public ServerTest {
 protected:
  HangUp() { AddPlan("identity", "identity"); }

  // Starts, and fills the device with a request that stays in it until the executor is released.
  void StartBusy() {
    ASSERT_NO_FATAL_FAILURE(Start());
    executor_.Hold();
    running_ = Ask(0);
    executor_.WaitForBatch();
  }
  std::unique_ptr<Client> Ask(int id) {
    auto client = std::make_unique<Client>(port());
    client->Send(Request(id));
    return client;
  }
  void WaitForPending(uint32_t wanted) {
    while (server_->service().dispatcher().pending() != wanted) std::this_thread::yield();
  }
  uint64_t Value(obs::MetricId id) { return metrics().Value(id); }
  obs::Metrics& metrics() { return *server_->service().registry().Model("identity", 1); }

  std::unique_ptr<Client> running_;
};

TEST_F(HangUp, TakesAWaitingRequestOutOfTheQueue) {
  StartBusy();
  auto waiting = Ask(1);
  WaitForPending(2);
  waiting.reset();
  WaitForPending(1);
  EXPECT_EQ(metrics().Value(obs::MetricId::kRequestFailure, obs::Reason::kCanceled), 1u);
  EXPECT_EQ(Value(obs::MetricId::kBrokenPromises), 0u);
  EXPECT_EQ(Value(obs::MetricId::kPendingRequests), 1u);
  executor_.Release();
  EXPECT_EQ(running_->Read().status, 200);
  EXPECT_EQ(executor_.batch_sizes(), (std::vector<size_t>{1}));
}

TEST_F(HangUp, GivesTheFreePlaceToTheNextRequest) {
  options_.queue.requests = 2;
  StartBusy();
  auto waiting = Ask(1);
  WaitForPending(2);
  EXPECT_EQ(Ask(2)->Read().status, 503);
  waiting.reset();
  WaitForPending(1);
  const auto next = Ask(3);
  WaitForPending(2);
  executor_.Release();
  EXPECT_EQ(next->Read().status, 200);
}

TEST_F(HangUp, DoesNotInterruptWhatRuns) {
  StartBusy();
  running_.reset();
  const auto other = Ask(1);  // its batch comes after the one whose client is gone
  WaitForPending(2);
  executor_.Release();
  EXPECT_EQ(other->Read().status, 200);
  EXPECT_EQ(executor_.batch_sizes(), (std::vector<size_t>{1, 1}));
  EXPECT_EQ(Value(obs::MetricId::kRequestSuccess), 2u);
}

TEST_F(HangUp, LeavesTheOthersOfItsBatchAlone) {
  StartBusy();
  const auto before = Ask(1);
  WaitForPending(2);
  auto leaving = Ask(2);
  WaitForPending(3);
  const auto after = Ask(3);
  WaitForPending(4);
  leaving.reset();
  WaitForPending(3);
  executor_.Release();
  EXPECT_THAT(before->Read().body, HasSubstr(R"("id":"1")"));
  EXPECT_THAT(after->Read().body, HasSubstr(R"("id":"3")"));
  EXPECT_EQ(executor_.batch_sizes(), (std::vector<size_t>{1, 2}));
}

TEST_F(HangUp, IsNotMistakenForPipelining) {
  StartBusy();
  const auto client = Ask(1);
  WaitForPending(2);
  client->Send(Request(2));
  client->Send(Request(3));
  executor_.Release();
  for (int id = 1; id <= 3; ++id)
    EXPECT_THAT(client->Read().body, HasSubstr(fmt::format(R"("id":"{}")", id)));
}

TEST_F(HangUp, IsSeenBehindPipelinedRequests) {
  StartBusy();
  auto client = Ask(1);
  WaitForPending(2);
  client->Send(Request(2));
  client.reset();
  WaitForPending(1);
  // The second one comes to be read when the first one's answer is out, and goes the same way.
  while (metrics().Value(obs::MetricId::kRequestFailure, obs::Reason::kCanceled) < 2)
    std::this_thread::yield();
  WaitForPending(1);
}

// The connection's buffer is bounded: what it does not hold stays in the socket and is answered
// when its turn comes.
TEST_F(HangUp, AFloodOfPipelinedRequestsIsNoHangUp) {
  StartBusy();
  constexpr int kFlood = 5000;
  constexpr int kMoreThanTheBuffer = 600;
  const auto client = Ask(1);
  WaitForPending(2);
  std::atomic<int> sent{0};
  std::thread flood([&] {
    for (; sent < kFlood && client->Send(Request(2)); ++sent) {
    }
  });
  while (sent < kMoreThanTheBuffer) std::this_thread::yield();
  executor_.Release();
  for (int i = 0; i <= kFlood; ++i) ASSERT_EQ(client->Read().status, 200) << i;
  flood.join();
}

TEST_F(HangUp, AStreamEndedAfterTheRequestIsStillAnswered) {
  StartBusy();
  const auto client = Ask(1);
  WaitForPending(2);
  client->EndSending();
  const Reply reply = client->Read();
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("closed the connection while its request waited"));
  EXPECT_TRUE(client->Closed());
}

TEST_F(HangUp, OfManyAtOnceFreesEveryPlace) {
  StartBusy();
  constexpr int kClients = 100;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kClients; ++i) clients.push_back(Ask(i));
  WaitForPending(1 + kClients);
  clients.clear();
  WaitForPending(1);
  executor_.Release();
  EXPECT_EQ(running_->Read().status, 200);
  EXPECT_EQ(executor_.batch_sizes(), (std::vector<size_t>{1}));
}

TEST_F(HangUp, DuringShutdownIsHarmless) {
  StartBusy();
  auto waiting = Ask(1);
  WaitForPending(2);
  std::thread stop([this] { server_->Shutdown(std::chrono::seconds(60)); });
  waiting.reset();
  executor_.Release();
  stop.join();
  EXPECT_EQ(server_->service().dispatcher().pending(), 0u);
}

}  // namespace
}  // namespace fusee::server
