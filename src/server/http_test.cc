// The HTTP layer against peers that are wrong, slow, many or gone; health, metadata, drain.
#include <gmock/gmock.h>

#include "obs/metrics.h"
#include "server/compression.h"
#include "server/http_server.h"
#include "server/router.h"
#include "server/service.h"
#include "server/test_util.h"

namespace fusee::server {
namespace {

using testing::HasSubstr;

const std::string kIdentity =
    R"({"inputs":[{"name":"INPUT","datatype":"FP32","shape":[1,2],"data":[1,2]}]})";

std::string Request(const std::string& body = kIdentity, const std::string& headers = "") {
  return fmt::format(
      "POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n{}",
      body.size(), headers, body);
}

class HttpTest : public ServerTest {
 protected:
  HttpTest() {
    AddPlan("simple", "simple");
    AddPlan("identity", "identity");
    AddPlan("slow", "slow");
    AddPlan("fail", "fail");
  }
  // Sends bytes, ends the stream, returns the first reply.
  Reply Raw(std::string_view bytes) {
    Client client(port());
    client.Send(bytes);
    client.EndSending();
    return client.Read();
  }
  void ExpectAlive() { EXPECT_EQ(Client(port()).Get("/v2/health/live").status, 200); }
  obs::Metrics& metrics(const std::string& model) {
    return *server_->service().registry().Model(model, 1);
  }
};

TEST_F(HttpTest, AnswersHealthFromTheFirstMoment) {
  Listen();
  Client client(port());
  EXPECT_EQ(client.Get("/v2/health/live").status, 200);
  const Reply loading = client.Get("/v2/health/ready");
  EXPECT_EQ(loading.status, 400);
  EXPECT_EQ(loading.body, "");
  ASSERT_TRUE(server_->LoadModels().ok());
  EXPECT_EQ(client.Get("/v2/health/ready").status, 200);
  EXPECT_EQ(client.Get("/v2/models/simple/ready").status, 200);
  EXPECT_EQ(client.Get("/v2/models/simple/versions/1/ready").status, 200);
  server_->BeginDrain();
  const Reply draining = client.Get("/v2/health/ready");
  EXPECT_EQ(draining.status, 503);
  EXPECT_EQ(draining.body, R"({"error":"Server exiting"})");
}

TEST_F(HttpTest, DescribesServerModelsAndRepository) {
  Start();
  Client client(port());
  EXPECT_THAT(client.Get("/v2").body, HasSubstr(R"("name":"triton")"));
  EXPECT_EQ(
      client.Get("/v2/models/simple").body,
      R"({"name":"simple","versions":["1"],"platform":"fusee_plan","inputs":[{"name":"INPUT0","datatype":"INT32","shape":[-1,16]},)"
      R"({"name":"INPUT1","datatype":"INT32","shape":[-1,16]}],"outputs":[{"name":"OUTPUT0","datatype":"INT32","shape":[-1,16]},)"
      R"({"name":"OUTPUT1","datatype":"INT32","shape":[-1,16]}]})");
  EXPECT_THAT(
      client.Get("/v2/models/simple/config").body,
      HasSubstr(
          R"("max_batch_size":8,"input":[{"name":"INPUT0","data_type":"TYPE_INT32","format":"FORMAT_NONE","dims":[16],)"));
  const Reply unknown = client.Get("/v2/models/nope");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.body, R"({"error":"Request for unknown model: 'nope' is not found"})");
  const Reply index = client.Post("/v2/repository/index", R"({"ready":true})");
  EXPECT_THAT(index.body, HasSubstr(R"({"name":"simple","version":"1","state":"READY"})"));
  client.Post("/v2/models/identity/infer", kIdentity);
  EXPECT_THAT(
      client.Get("/v2/models/identity/stats").body,
      HasSubstr(
          R"("inference_count":1,"execution_count":1,"inference_stats":{"success":{"count":1,)"));
  EXPECT_THAT(client.Get("/v2/models/stats").body, HasSubstr(R"("name":"slow")"));
}

TEST_F(HttpTest, UnknownPathsAndWrongMethodsAnswerAsTriton) {
  Start();
  Client client(port());
  for (const char* path :
       {"/", "/v2/", "/v3", "/v2/health", "/v2/models", "/v2/models/", "/v2/models/simple/nope",
        "/v2//health/live", "/v2/models/simple/versions//infer",
        "/v2/models/simple/versions/1/versions/1"}) {
    const Reply reply = client.Get(path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(reply.body, R"({"error":"Not Found"})") << path;
  }
  for (const char* path : {"/v2/models/simple/infer", "/v2/repository/index"}) {
    const Reply reply = client.Get(path);
    EXPECT_EQ(reply.status, 405) << path;
    EXPECT_EQ(reply.body, R"({"error":"Method Not Allowed"})") << path;
  }
  EXPECT_EQ(client.Post("/v2/health/live", "").status, 405);
  client.Send("HEAD /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.Read(/*head=*/true).status, 405);
  EXPECT_EQ(client.Get("/v2/health/live?x=1").status, 200) << "and the connection is still in step";
}

TEST_F(HttpTest, RouteTableHasNoDuplicates) {
  for (const Route& a : Routes()) {
    for (const Route& b : Routes()) {
      EXPECT_FALSE(&a != &b && a.method == b.method && a.pattern == b.pattern) << a.pattern;
    }
    EXPECT_FALSE(a.help.empty());
  }
}

TEST_F(HttpTest, ServesMetricsOnBothPorts) {
  Start();
  Client(port()).Post("/v2/models/identity/infer", kIdentity);
  for (uint16_t p : {port(), server_->metrics_port()}) {
    const Reply reply = Client(p).Get("/metrics");
    EXPECT_EQ(reply.status, 200);
    EXPECT_TRUE(reply.headers.at("content-type").starts_with("text/plain; version=0.0.4"));
    EXPECT_THAT(reply.body,
                HasSubstr("nv_inference_request_success{model=\"identity\",version=\"1\"} 1\n"));
    EXPECT_THAT(reply.body,
                HasSubstr("fusee_goodput_requests_total{model=\"identity\",version=\"1\"} 1\n"));
    EXPECT_THAT(
        reply.body,
        HasSubstr("nv_inference_pending_request_count{model=\"identity\",version=\"1\"} 0\n"));
  }
  EXPECT_EQ(Client(server_->metrics_port()).Get("/v2").status, 404);
  EXPECT_EQ(Client(server_->metrics_port()).Get("/v2/health/live").status, 200);
}

TEST_F(HttpTest, KeepsConnectionsAndAnswersPipelinedRequestsInOrder) {
  Start();
  Client client(port());
  std::string many;
  for (int i = 0; i < 20; ++i) {
    many += Request(fmt::format(
        R"({{"id":"{}","inputs":[{{"name":"INPUT","datatype":"FP32","shape":[1,1],"data":[{}]}}]}})",
        i, i));
  }
  client.Send(many);
  for (int i = 0; i < 20; ++i)
    EXPECT_THAT(client.Read().body, HasSubstr(fmt::format("{{\"id\":\"{}\"", i)));
  client.Send("GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.Read().headers.at("connection"), "close");
  EXPECT_TRUE(client.Closed());
  Client old(port());
  old.Send("GET /v2 HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Read().status, 200);
  EXPECT_TRUE(old.Closed());
}

TEST_F(HttpTest, EveryPrefixOfARequestIsAnsweredOrClosed) {
  Start();
  const std::string whole = Request(kIdentity, "Accept-Encoding: identity\r\n");
  for (size_t n = 0; n < whole.size(); ++n) {
    const Reply reply = Raw(whole.substr(0, n));
    EXPECT_TRUE(reply.status == 0 || reply.status == 400)
        << "prefix of " << n << ": " << reply.status;
  }
  EXPECT_EQ(Raw(whole).status, 200);
}

TEST_F(HttpTest, EveryPrefixOfTheJsonIsAnError) {
  Start();
  Client client(port());
  for (size_t n = 0; n < kIdentity.size(); ++n) {
    const Reply reply = client.Post("/v2/models/identity/infer", kIdentity.substr(0, n));
    EXPECT_GE(reply.status, 400) << kIdentity.substr(0, n);
  }
}

TEST_F(HttpTest, ARequestMayArriveByteByByte) {
  Start();
  Client client(port());
  for (char c : Request()) client.Send(std::string_view(&c, 1));
  EXPECT_EQ(client.Read().status, 200);
}

TEST_F(HttpTest, RefusesMalformedMessages) {
  Start();
  for (const char* bytes : {
           "nonsense\r\n\r\n",
           "GET\r\n\r\n",
           "GET / HTTP/9.9\r\n\r\n",
           "GET /v2 HTTP/1.1\r\n: empty name\r\n\r\n",
           "GET /v2 HTTP/1.1\r\nbad name: x\r\n\r\n",
           "GET /v2 HTTP/1.1\r\nNoColon\r\n\r\n",
           "POST /v2/models/simple/infer HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
           "POST /v2/models/simple/infer HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
           "POST /v2/models/simple/infer HTTP/1.1\r\nContent-Length:\r\n\r\n",
           "POST /v2/models/simple/infer HTTP/1.1\r\nContent-Length: "
           "99999999999999999999999\r\n\r\n",
           "POST /v2/models/simple/infer HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: "
           "2\r\n\r\nab",
           "POST /v2/models/simple/infer HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: "
           "chunked\r\n\r\n0\r\n\r\n",
           "POST /v2/models/simple/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
           "POST /v2/models/simple/infer HTTP/1.1\r\nTransfer-Encoding: "
           "chunked\r\n\r\nffffffffffffffffff\r\n",
           "GET /v2 HTTP/1.1\r\n\0\r\n\r\n",
       }) {
    const Reply reply = Raw(bytes);
    EXPECT_TRUE(reply.status == 0 || reply.status == 400) << reply.status << " for " << bytes;
  }
  ExpectAlive();
}

TEST_F(HttpTest, BoundsHeaders) {
  Start();
  const Reply reply = Raw("GET /v2 HTTP/1.1\r\nX: " + std::string(64 << 10, 'a') + "\r\n\r\n");
  EXPECT_EQ(reply.status, 431);
  EXPECT_THAT(reply.body, HasSubstr("exceed 16384 bytes, the limit"));
  EXPECT_EQ(Raw("GET /" + std::string(64 << 10, 'a') + " HTTP/1.1\r\n\r\n").status, 431);
  std::string many = "GET /v2 HTTP/1.1\r\n";
  for (int i = 0; i < 20000; ++i) many += "a: b\r\n";
  EXPECT_EQ(Raw(many + "\r\n").status, 431);
}

TEST_F(HttpTest, BoundsBodiesBeforeReadingThem) {
  options_.http.body_bytes = 1000;
  Start();
  // Nothing of the body is sent: the answer comes from the header alone.
  Client client(port());
  client.Send("POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  const Reply reply = client.Read();
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(
      reply.body,
      R"({"error":"request JSON size of 1001 bytes exceeds the maximum allowed input size of 1000 bytes. )"
      R"(Use --http-max-input-size to increase the limit."})");
  EXPECT_EQ(reply.headers.at("connection"), "close");
  // Chunked: the sum of the chunks counts.
  std::string chunked =
      "POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) chunked += "64\r\n" + std::string(100, ' ') + "\r\n";
  EXPECT_EQ(Raw(chunked + "0\r\n\r\n").status, 400);
}

TEST_F(HttpTest, BoundsBytesInFlight) {
  options_.http.body_bytes = 60'000;
  options_.http.body_bytes_in_flight = 120'000;
  Start();
  Client holder(port()), other(port());
  for (Client* client : {&holder, &other}) {
    client->Send(
        "POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\nExpect: "
        "100-continue\r\n\r\n");
    EXPECT_EQ(client->Read().status, 100) << "its bytes are reserved now";
  }
  const Reply reply = Client(port()).Post("/v2/models/identity/infer", std::string(60'000, ' '));
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.at("retry-after"), "1");
  holder.Send(std::string(60'000, ' '));
  EXPECT_EQ(holder.Read().status, 500) << "blanks are no JSON";
  // Free again as soon as the response is out, which the peer may see a moment earlier.
  int status = 503;
  while (status == 503)
    status = Client(port()).Post("/v2/models/identity/infer", std::string(60'000, ' ')).status;
  EXPECT_EQ(status, 500);
}

constexpr size_t kFullBytes = 8 * 1000 * 4;

// The largest tensor that identity takes, as raw bytes behind their JSON.
std::string FullBinary() {
  const std::string json = fmt::format(
      R"({{"inputs":[{{"name":"INPUT","datatype":"FP32","shape":[8,1000],"parameters":{{"binary_data_size":{}}}}}]}})",
      kFullBytes);
  return json + std::string(kFullBytes, '\0');
}
std::string FullHeaders() {
  return fmt::format("Inference-Header-Content-Length: {}\r\n", FullBinary().size() - kFullBytes);
}

TEST_F(HttpTest, BoundsInflatedBytesInFlight) {
  options_.http.body_bytes = 50'000;
  options_.http.body_bytes_in_flight = 100'000;
  Start();
  executor_.Hold();
  const std::string plain = FullBinary();
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(plain))};
  const std::string packed = *Compress(parts, ContentEncoding::kGzip);
  ASSERT_LT(packed.size(), 1000u);
  const std::string headers = FullHeaders() + "Content-Encoding: gzip\r\n";
  Client first(port());
  first.Send(Request(packed, headers));
  executor_.WaitForBatch();
  const Reply reply = Client(port()).Post("/v2/models/identity/infer", packed, headers);
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.at("retry-after"), "1");
  executor_.Release();
  EXPECT_EQ(first.Read().status, 200);
}

TEST_F(HttpTest, ABodyThatNoInputLiesInIsDropped) {
  options_.http.body_bytes = 30'000;
  options_.http.body_bytes_in_flight = 60'000;
  Start();
  executor_.Hold();
  const std::string padded = kIdentity + std::string(25'000, ' ');
  std::vector<std::unique_ptr<Client>> clients;
  for (uint32_t i = 0; i < 5; ++i) {  // together above the limit, one after another below it
    clients.push_back(std::make_unique<Client>(port()));
    clients.back()->Send(Request(padded));
    if (i == 0) executor_.WaitForBatch();
    while (server_->service().dispatcher().pending() <= i) std::this_thread::yield();
  }
  executor_.Release();
  for (auto& client : clients) EXPECT_EQ(client->Read().status, 200);
}

TEST_F(HttpTest, OutputsCountAsQueuedBytes) {
  options_.queue.bytes = 3 * kFullBytes;
  Start();
  executor_.Hold();
  Client first(port());
  first.Send(Request(FullBinary(), FullHeaders()));
  executor_.WaitForBatch();
  const Reply reply = Client(port()).Post("/v2/models/identity/infer", FullBinary(), FullHeaders());
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, R"({"error":"Exceeds maximum queue size"})");
  executor_.Release();
  EXPECT_EQ(first.Read().status, 200);
}

TEST_F(HttpTest, ARequestLargerThanTheQueueIsToldSo) {
  options_.queue.bytes = 2 * kFullBytes - 1;
  Start();
  const Reply reply = Client(port()).Post("/v2/models/identity/infer", FullBinary(), FullHeaders());
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("inputs and outputs take 64000 bytes"));
}

TEST_F(HttpTest, RefusesALargeRequestAfterItsHeaders) {
  Start();
  Client large(port());
  large.Send("POST /v2/models/nope/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n");
  EXPECT_EQ(large.Read().status, 404) << "without any of its body";
  Client small(port());
  EXPECT_EQ(small.Post("/v2/models/nope/infer", kIdentity).status, 404);
  EXPECT_EQ(small.Get("/v2").status, 200) << "a small one does not cost the connection";
}

std::string Chunked(int count, const std::string& body) {
  std::string s =
      "POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < count; ++i)
    s += fmt::format("1\r\n{}\r\n",
                     i < static_cast<int>(body.size()) ? body[static_cast<size_t>(i)] : ' ');
  return s + "0\r\n\r\n";
}

TEST_F(HttpTest, ReadsChunkedBodiesAndBoundsTheirChunks) {
  Start();
  EXPECT_EQ(Raw(Chunked(1000, kIdentity)).status, 200);
  EXPECT_EQ(Raw(Chunked(65536, kIdentity)).status, 200);
  for (int chunks : {65537, 100'000, 1'000'000}) {
    Client client(port());
    client.Send(Chunked(chunks, kIdentity));
    const Reply reply = client.Read();
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(
        reply.body,
        R"({"error":"Chunked request body exceeds maximum of 65536 non-empty chunks. Send fewer or larger HTTP chunks."})");
    EXPECT_TRUE(client.Closed());
  }
}

TEST_F(HttpTest, SlowPeersAreCutOff) {
  options_.http.header_timeout = std::chrono::milliseconds(50);
  options_.http.body_timeout = std::chrono::milliseconds(50);
  options_.http.idle_timeout = std::chrono::milliseconds(50);
  Start();
  Client idle(port()), header(port()), body(port());
  header.Send("GET /v2 HT");
  body.Send(
      "POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
  EXPECT_TRUE(idle.Closed());
  EXPECT_TRUE(header.Closed());
  EXPECT_TRUE(body.Closed());
  ExpectAlive();
}

TEST_F(HttpTest, BoundsConnections) {
  options_.http.connections = 2;
  Start();
  Client a(port()), b(port());
  EXPECT_EQ(a.Get("/v2").status, 200);
  EXPECT_EQ(b.Get("/v2").status, 200);
  Client c(port());
  EXPECT_TRUE(c.Closed());
  EXPECT_EQ(a.Get("/v2").status, 200);
}

TEST_F(HttpTest, APeerThatGoesAwayHurtsNobody) {
  Start();
  executor_.Hold();
  for (int i = 0; i < 50; ++i) {
    Client client(port());
    client.Send(Request());
  }  // closed before any answer
  executor_.WaitForBatch();
  executor_.Release();
  EXPECT_EQ(Client(port()).Post("/v2/models/identity/infer", kIdentity).status, 200);
}

TEST_F(HttpTest, BatchesWhatArrivesWhileAnotherRuns) {
  Start();
  executor_.Hold();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>(port()));
    clients.back()->Send(Request());
    if (i == 0) executor_.WaitForBatch();
  }
  while (server_->service().dispatcher().pending() < 4) std::this_thread::yield();
  executor_.Release();
  for (auto& client : clients) EXPECT_EQ(client->Read().status, 200);
  EXPECT_EQ(executor_.batch_sizes(), (std::vector<size_t>{1, 3}));
  EXPECT_EQ(metrics("identity").Value(obs::MetricId::kInferenceCount), 4u);
  EXPECT_EQ(metrics("identity").Value(obs::MetricId::kExecCount), 2u);
}

TEST_F(HttpTest, RefusesWhatCannotBeAnsweredInTime) {
  Start();
  Client client(port());
  const std::string path = "/v2/models/slow/infer";  // 50 ms a row
  const Reply never = client.Post(path, kIdentity, "Fusee-Timeout-Us: 20000\r\n");
  EXPECT_EQ(never.status, 503);
  EXPECT_EQ(never.headers.count("retry-after"), 0u);
  EXPECT_THAT(never.body, HasSubstr("the model alone takes 50.5 ms"));
  EXPECT_EQ(metrics("slow").Value(obs::MetricId::kRejections, obs::Reason::kImpossible), 1u);

  executor_.Hold();
  Client first(port());
  first.Send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}", path,
                         kIdentity.size(), kIdentity));
  executor_.WaitForBatch();
  const std::string with_timeout = R"({"parameters":{"timeout":90000},)" + kIdentity.substr(1);
  const Reply busy = client.Post(path, with_timeout);
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.headers.at("retry-after"), "1");
  EXPECT_EQ(metrics("slow").Value(obs::MetricId::kRejections, obs::Reason::kLate), 1u);
  executor_.Release();
  EXPECT_EQ(first.Read().status, 200);
  EXPECT_EQ(client.Post(path, kIdentity, "Fusee-Timeout-Us: soon\r\n").status, 400);
}

TEST_F(HttpTest, AnAdmittedRequestHearsWhenItsDeadlinePasses) {
  Start();
  executor_.Hold();  // a device that hangs
  Client first(port()), second(port());
  first.Send(Request());
  executor_.WaitForBatch();
  second.Send(Request(kIdentity, "Fusee-Timeout-Us: 30000\r\n"));
  const Reply reply = second.Read();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, R"({"error":"Request timeout expired"})");
  EXPECT_EQ(metrics("identity").Value(obs::MetricId::kBrokenPromises), 1u);
  EXPECT_EQ(metrics("identity").Value(obs::MetricId::kDeadlineMisses), 1u);
  executor_.Release();
  EXPECT_EQ(first.Read().status, 200);
}

TEST_F(HttpTest, AFullQueueAnswers503) {
  options_.queue.requests = 2;
  Start();
  executor_.Hold();
  Client a(port()), b(port());
  a.Send(Request());
  executor_.WaitForBatch();
  b.Send(Request());
  while (server_->service().dispatcher().pending() < 2) std::this_thread::yield();
  const Reply reply = Client(port()).Post("/v2/models/identity/infer", kIdentity);
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, R"({"error":"Exceeds maximum queue size"})");
  EXPECT_EQ(reply.headers.at("retry-after"), "1");
  executor_.Release();
  EXPECT_EQ(a.Read().status, 200);
  EXPECT_EQ(b.Read().status, 200);
}

TEST_F(HttpTest, AFailedRunIs500AndCounted) {
  Start();
  const Reply reply = Client(port()).Post("/v2/models/fail/infer", kIdentity);
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body, R"({"error":"the fake was told to fail"})");
  EXPECT_EQ(metrics("fail").Value(obs::MetricId::kRequestFailure, obs::Reason::kBackend), 1u);
}

TEST_F(HttpTest, ShutdownFinishesWhatIsInFlight) {
  Start();
  executor_.Hold();
  Client busy(port()), idle(port());
  EXPECT_EQ(idle.Get("/v2").status, 200);
  busy.Send(Request());
  executor_.WaitForBatch();
  const uint16_t old_port = port();
  std::thread shutdown([&] { EXPECT_TRUE(server_->Shutdown(std::chrono::seconds(30))); });
  EXPECT_TRUE(idle.Closed());
  executor_.Release();
  const Reply reply = busy.Read();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("connection"), "close");
  shutdown.join();
  EXPECT_FALSE(Client(old_port).connected());
}

TEST_F(HttpTest, ShutdownDoesNotWaitForEverForAHungDevice) {
  Start();
  executor_.Hold();
  Client running(port()), queued(port());
  running.Send(Request());
  executor_.WaitForBatch();
  queued.Send(Request());
  while (server_->service().dispatcher().pending() < 2) std::this_thread::yield();
  EXPECT_FALSE(server_->Shutdown(std::chrono::milliseconds(20)));
  EXPECT_TRUE(running.Closed());
}

// ---- repository ----

TEST_F(HttpTest, ServesTheHighestVersion) {
  AddPlan("simple", "simple", "2");
  AddPlan("simple", "simple", "10");
  AddPlan("simple", "simple", "x");
  std::filesystem::create_directories(root_ / ".hidden");
  Start();
  EXPECT_THAT(Client(port()).Get("/v2/models/simple").body, HasSubstr(R"("versions":["10"])"));
}

TEST_F(HttpTest, RefusesUnverifiedPlansUnlessTold) {
  AddPlan("loose", "unverified");
  Listen();
  const Status status = server_->LoadModels();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), testing::StartsWith("model 'loose' version 1: the plan is "));
  EXPECT_THAT(status.message(), HasSubstr("--allow-unverified"));
  options_.allow_unverified = true;
  Start();
  EXPECT_EQ(Client(port()).Get("/v2/models/loose/ready").status, 200);
}

TEST_F(HttpTest, ABrokenModelIsUnavailableWhenTheServerGoesOn) {
  AddPlan("bad", "broken");
  options_.exit_on_error = false;
  Start();
  Client client(port());
  EXPECT_EQ(client.Get("/v2/health/ready").status, 400) << "strict readiness";
  const Reply reply = client.Get("/v2/models/bad/ready");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body, R"({"error":"Model version not ready"})");
  EXPECT_EQ(client.Post("/v2/models/bad/infer", "{}").status, 503)
      << "worth retrying, unlike Triton's 404";
  EXPECT_THAT(client.Post("/v2/repository/index", "").body,
              HasSubstr(R"("state":"UNAVAILABLE","reason":"the plan is damaged")"));
  EXPECT_EQ(client.Post("/v2/models/identity/infer", kIdentity).status, 200);
}

TEST_F(HttpTest, ABadModelFolderIsUnavailableWhenTheServerGoesOn) {
  std::filesystem::create_directories(root_ / "empty");
  std::filesystem::create_directories(root_ / "has space" / "1");
  std::filesystem::create_directories(root_ / "planless" / "3");
  Listen();
  const Status status = server_->LoadModels();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("has no version folder"));
  options_.exit_on_error = false;
  Start();
  Client client(port());
  EXPECT_EQ(client.Get("/v2/health/ready").status, 400) << "strict readiness";
  const std::string index = client.Post("/v2/repository/index", "").body;
  EXPECT_THAT(index, HasSubstr(R"({"name":"empty","state":"UNAVAILABLE","reason":"folder)"));
  EXPECT_THAT(index, HasSubstr(R"({"name":"has space","state":"UNAVAILABLE","reason":"folder)"));
  EXPECT_THAT(index, HasSubstr(R"({"name":"planless","version":"3","state":"UNAVAILABLE")"));
  EXPECT_EQ(client.Post("/v2/models/planless/infer", "{}").status, 503);
  EXPECT_EQ(client.Post("/v2/models/identity/infer", kIdentity).status, 200);
}

TEST(Repository, NamesWhatIsMissing) {
  EXPECT_EQ(ScanRepository("/nonexistent").status().code(), StatusCode::kNotFound);
  const auto root =
      std::filesystem::temp_directory_path() / fmt::format("fusee_repository_test_{}", getpid());
  std::filesystem::create_directories(root / "m");
  const auto fault = [&] { return ScanRepository(root.string())->models.at(0).fault; };
  EXPECT_THAT(fault().message(), HasSubstr("m/1/model.plan"));
  std::filesystem::create_directories(root / "m" / "1");
  EXPECT_THAT(fault().message(), HasSubstr("no file"));
  std::ofstream(root / "m" / "1" / "model.plan") << "x";
  std::ofstream(root / "m" / "config.pbtxt") << "x";
  const auto scan = ScanRepository(root.string());
  ASSERT_TRUE(scan.ok()) << scan.status().message();
  ASSERT_EQ(scan->models.size(), 1u);
  EXPECT_TRUE(scan->models[0].fault.ok());
  ASSERT_EQ(scan->warnings.size(), 1u);
  EXPECT_THAT(scan->warnings[0], HasSubstr("config.pbtxt"));
  std::filesystem::rename(root / "m", root / "has space");
  EXPECT_EQ(fault().code(), StatusCode::kInvalidArgument);
  std::filesystem::remove_all(root);
}

TEST(Repository, ModelNames) {
  for (const char* good : {"a", "digits", "resnet-50_v1.5", "A.b"})
    EXPECT_TRUE(IsValidModelName(good)) << good;
  for (const std::string& bad :
       {std::string(""), std::string(".."), std::string(".a"), std::string("a/b"),
        std::string("a b"), std::string("a\0b", 3), std::string(kModelNameMax + 1, 'a')}) {
    EXPECT_FALSE(IsValidModelName(bad)) << bad;
  }
}

TEST(Repository, LatencyTablesComeFromTheBuckets) {
  const FakeModel model("slow", "m", 1);
  std::vector<std::vector<int64_t>> classes;
  const sched::ModelProfile profile = MakeProfile(model.info(), std::chrono::seconds(10), &classes);
  EXPECT_EQ(classes, (std::vector<std::vector<int64_t>>{{1000}}));
  EXPECT_TRUE(profile.batchable);
  EXPECT_EQ(profile.rows_max, 8u);
  EXPECT_EQ(profile.latency[0].Predict(4), std::chrono::milliseconds(200));
}

TEST_F(HttpTest, OptionsBeyondTheirLimitsAreRefusedAtTheStart) {
  const auto code = [&](auto change) {
    ServeOptions options = options_;
    change(options);
    return Server::Start(options, &executor_).status().code();
  };
  const StatusCode refused = StatusCode::kInvalidArgument;
  EXPECT_EQ(code([](ServeOptions& o) { o.http_threads = kHttpThreadsMax + 1; }), refused);
  EXPECT_EQ(code([](ServeOptions& o) { o.queue.requests = kQueueRequestsMax + 1; }), refused);
  EXPECT_EQ(code([](ServeOptions& o) { o.http.body_bytes = kBodyBytesMax + 1; }), refused);
  EXPECT_EQ(code([](ServeOptions& o) { o.http.body_bytes = o.http.body_bytes_in_flight / 2 + 1; }),
            refused);
  EXPECT_EQ(code([](ServeOptions& o) { o.http.body_bytes = o.http.body_bytes_in_flight / 2; }),
            StatusCode::kOk);
}

TEST(HttpServer, TakenPortsAndBadAddressesAreErrors) {
  obs::Metrics metrics;
  auto first = HttpServer::Listen({.address = "127.0.0.1"}, nullptr, &metrics);
  ASSERT_TRUE(first.ok());
  const auto second =
      HttpServer::Listen({.address = "127.0.0.1", .port = (*first)->port()}, nullptr, &metrics);
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(HttpServer::Listen({.address = "here"}, nullptr, &metrics).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::server
