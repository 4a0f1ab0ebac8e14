// What a real Triton (2.51) was seen to answer where Fusee once differed. docs/triton.md lists the
// differences that are meant.
#include <gmock/gmock.h>

#include "server/compression.h"
#include "server/service.h"
#include "server/test_util.h"

namespace fusee::server {
namespace {

using testing::HasSubstr;

constexpr const char* kNoVersion =
    R"({"error":"failed to get model version from specified version string '99999999999999999999' )"
    R"((details: stol), version should be an integral value > 0"})";

std::string Simple(const std::string& members) {
  const std::string data = "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]";
  return fmt::format(
      R"({{{}"inputs":[{{"name":"INPUT0","datatype":"INT32","shape":[1,16],"data":{}}},)"
      R"({{"name":"INPUT1","datatype":"INT32","shape":[1,16],"data":{}}}]}})",
      members, data, data);
}

class TritonTest : public ServerTest {
 protected:
  TritonTest() {
    AddPlan("simple", "simple");
    AddPlan("identity", "identity");
  }
  void SetUp() override { Start(); }
  Reply Get(const std::string& path) { return Client(port()).Get(path); }
  Reply Post(const std::string& path, const std::string& body = "") {
    return Client(port()).Post(path, body);
  }
  Reply Infer(const std::string& body) { return Post("/v2/models/simple/infer", body); }
  static void ExpectAnswer(const Reply& reply, int status, const std::string& body) {
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.body, body);
  }
};

TEST_F(TritonTest, VersionZeroIsNotFound) {
  ExpectAnswer(Get("/v2/models/simple/versions/0"), 404,
               R"({"error":"Request for unknown model: 'simple' version 0 is not found"})");
}

TEST_F(TritonTest, AVersionThatDoesNotFitIsNamed) {
  for (const char* what : {"", "/ready", "/stats", "/config"})
    ExpectAnswer(Get(fmt::format("/v2/models/simple/versions/99999999999999999999{}", what)), 400,
                 kNoVersion);
}

TEST_F(TritonTest, AModelThatDoesNotExistIsNotReady) {
  for (const char* path : {"/v2/models/nope/ready", "/v2/models/nope/versions/3/ready",
                           "/v2/models/simple/versions/2/ready"})
    ExpectAnswer(Get(path), 400, R"({"error":"Model version not ready"})");
}

TEST_F(TritonTest, StatisticsOfAnUnknownModelAre400) {
  const char* text = R"({"error":"requested model 'nope' is not available"})";
  ExpectAnswer(Get("/v2/models/nope/stats"), 400, text);
  ExpectAnswer(Get("/v2/models/nope/versions/1/stats"), 400, text);
}

TEST_F(TritonTest, StatisticsOfAnUnknownVersionAre400) {
  for (const char* version : {"0", "2"})
    ExpectAnswer(Get(fmt::format("/v2/models/simple/versions/{}/stats", version)), 400,
                 R"({"error":"requested model version is not available for model 'simple'"})");
}

TEST_F(TritonTest, StatisticsTellWhenTheLastInferenceWas) {
  EXPECT_THAT(Get("/v2/models/simple/stats").body, HasSubstr(R"("last_inference":0,)"));
  ASSERT_EQ(Infer(Simple("")).status, 200);
  // Milliseconds since 1970 have thirteen digits until 2286.
  EXPECT_THAT(Get("/v2/models/simple/stats").body,
              testing::ContainsRegex(R"("last_inference":[1-9][0-9]{12},)"));
}

TEST_F(TritonTest, StatisticsHaveEveryMember) {
  EXPECT_THAT(
      Get("/v2/models/simple/stats").body,
      HasSubstr(
          R"("response_stats":{},"batch_stats":[],"memory_usage":[{"type":"CPU","id":0,"byte_size":)"));
}

TEST_F(TritonTest, TheIndexTakesBooleansOnly) {
  for (const char* body : {R"({"ready":1})", R"({"ready":"x"})"})
    ExpectAnswer(Post("/v2/repository/index", body), 500,
                 R"({"error":"attempt to access JSON non-boolean as boolean"})");
}

TEST_F(TritonTest, TheIndexMayNameTheRepository) {
  const Reply named = Post("/v2/repository/mine/index");
  ExpectAnswer(named, 200, Post("/v2/repository/index").body);
  EXPECT_THAT(named.body, HasSubstr(R"({"name":"simple","version":"1","state":"READY"})"));
  EXPECT_EQ(Get("/v2/repository/mine/index").status, 405);
  EXPECT_EQ(Post("/v2/repository//index").status, 404);
}

TEST_F(TritonTest, ModelsAreNotLoadedOrUnloadedOnDemand) {
  for (const char* path : {"/v2/repository/models/simple/load", "/v2/repository/models/nope/load",
                           "/v2/repository/models/simple/unload"})
    ExpectAnswer(
        Post(path), 503,
        R"({"error":"explicit model load / unload is not allowed if polling is enabled"})");
  EXPECT_EQ(Get("/v2/repository/models/simple/load").status, 405);
}

TEST_F(TritonTest, LoadingFromANamedRepositoryIsUnsupported) {
  for (const char* verb : {"load", "unload"})
    ExpectAnswer(Post(fmt::format("/v2/repository/mine/models/simple/{}", verb)), 501,
                 R"({"error":"'repository_name' specification is not supported"})");
}

TEST_F(TritonTest, TheConfigurationHasEveryMember) {
  const std::string config = Get("/v2/models/simple/config").body;
  for (const char* member :
       {R"("runtime":"")", R"("format":"FORMAT_NONE")", R"("is_shape_tensor":false)",
        R"("allow_ragged_batch":false,"optional":false,"is_non_linear_format_io":false)",
        R"("label_filename":"")", R"("batch_input":[],"batch_output":[])",
        R"("dynamic_batching":{"preferred_batch_size":[8],"max_queue_delay_microseconds":0,)",
        R"("instance_group":[{"name":"simple_0","kind":"KIND_CPU","count":1,"gpus":[],)",
        R"("cc_model_filenames":{},"metric_tags":{},)", R"("model_warmup":[])"})
    EXPECT_THAT(config, HasSubstr(member));
}

TEST_F(TritonTest, MessagesAboutUnknownTensorsDoNotNameTheRequest) {
  ExpectAnswer(
      Infer(R"({"id":"q","inputs":[{"name":"X","datatype":"FP32","shape":[1],"data":[1]}]})"), 400,
      R"({"error":"unexpected inference input 'X' for model 'simple'"})");
  ExpectAnswer(Infer(Simple(R"("id":"q","outputs":[{"name":"X"}],)")), 400,
               R"({"error":"unexpected inference output 'X' for model 'simple'"})");
}

TEST_F(TritonTest, OutputsComeInTheModelsOrder) {
  const Reply reply = Infer(Simple(R"("outputs":[{"name":"OUTPUT1"},{"name":"OUTPUT0"}],)"));
  EXPECT_LT(reply.body.find("OUTPUT0"), reply.body.find("OUTPUT1"));
}

TEST_F(TritonTest, BinaryOutputsComeInTheModelsOrder) {
  const Reply reply = Infer(
      R"({"outputs":[{"name":"OUTPUT1","parameters":{"binary_data":true}},)"
      R"({"name":"OUTPUT0","parameters":{"binary_data":true}}],"inputs":[)"
      R"({"name":"INPUT0","datatype":"INT32","shape":[1,16],"data":[3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3]},)"
      R"({"name":"INPUT1","datatype":"INT32","shape":[1,16],"data":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}]})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const size_t json = std::stoul(reply.headers.at("inference-header-content-length"));
  ASSERT_EQ(reply.body.size(), json + 128);
  EXPECT_EQ(reply.body[json], 4) << "the sum";
  EXPECT_EQ(reply.body[json + 64], 2) << "the difference";
}

TEST_F(TritonTest, AnOutputListedTwiceIsSentOnceAsFirstAsked) {
  const Reply json = Infer(Simple(
      R"("outputs":[{"name":"OUTPUT0"},{"name":"OUTPUT0","parameters":{"binary_data":true}}],)"));
  ASSERT_EQ(json.status, 200) << json.body;
  EXPECT_THAT(json.body,
              HasSubstr(R"("outputs":[{"name":"OUTPUT0","datatype":"INT32",)"
                        R"("shape":[1,16],"data":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}]})"));
  const Reply binary = Infer(Simple(
      R"("outputs":[{"name":"OUTPUT0","parameters":{"binary_data":true}},{"name":"OUTPUT0"}],)"));
  EXPECT_EQ(binary.headers.count("inference-header-content-length"), 1u);
}

TEST_F(TritonTest, ParametersAreNumbersBooleansOrStrings) {
  for (const char* value : {"null", "{}", "[]", "[1]"})
    ExpectAnswer(
        Infer(Simple(fmt::format(R"("parameters":{{"mine":{}}},)", value))), 400,
        R"({"error":"parameter 'mine' has invalid type. It should be either 'int', 'bool', or 'string'."})");
  for (const char* value : {"1", "1.5", "true", "\"x\"", "9223372036854775808"})
    EXPECT_EQ(Infer(Simple(fmt::format(R"("parameters":{{"mine":{}}},)", value))).status, 200);
}

TEST_F(TritonTest, AnEmptyBodyIsABadRequest) {
  const Reply reply = Infer("");
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("the request has no body; expected JSON"));
}

TEST_F(TritonTest, StringsAreOfTheWrongDatatype) {
  ExpectAnswer(
      Post("/v2/models/identity/infer",
           R"({"inputs":[{"name":"INPUT","datatype":"BYTES","shape":[1,1],"data":["a"]}]})"),
      400,
      R"({"error":"[request id: <id_unknown>] inference input 'INPUT' data-type is 'BYTES', but model 'identity' expects 'FP32'"})");
}

TEST_F(TritonTest, ARequestTargetMayBeAWholeUrl) {
  Client client(port());
  const auto get = [&](const char* target) {
    client.Send(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", target));
    return client.Read().status;
  };
  EXPECT_EQ(get("http://example.com/v2/health/live"), 200);
  EXPECT_EQ(get("https://example.com:8000/v2/models/simple?x=/y"), 200);
  EXPECT_EQ(get("http://example.com"), 404);
  EXPECT_EQ(get("http:///v2"), 200);
  EXPECT_EQ(get("ftp://example.com/v2"), 404);
}

TEST(Compression, SaysWhatIsWrongWithABody) {
  const std::string plain = "plain";
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(plain))};
  const std::string packed = *Compress(parts, ContentEncoding::kDeflate);
  const auto fails = [](const std::string& bytes, ContentEncoding encoding) {
    return Decompress(bytes, encoding, 100).status().message();
  };
  EXPECT_THAT(fails(packed, ContentEncoding::kGzip), HasSubstr("not valid gzip data: damaged"));
  EXPECT_THAT(fails(packed + "x", ContentEncoding::kDeflate), HasSubstr("bytes follow its end"));
  EXPECT_THAT(fails(packed.substr(0, 4), ContentEncoding::kDeflate), HasSubstr("ends too early"));
}

}  // namespace
}  // namespace fusee::server
