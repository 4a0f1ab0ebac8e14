// The wire contract of POST .../infer, point by point, over a loopback socket.
#include <gmock/gmock.h>

#include <bit>

#include "server/compression.h"
#include "server/test_util.h"

namespace fusee::server {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Numbers(int n, int first) {
  std::string s;
  for (int i = 0; i < n; ++i) s += fmt::format("{}{}", i ? "," : "", first + i);
  return s;
}
std::string Blob(int n, int first) {
  std::string s;
  for (int32_t i = first; i < first + n; ++i) s.append(reinterpret_cast<const char*>(&i), 4);
  return s;
}
std::string SimpleJson(const std::string& extra = "") {
  return fmt::format(
      R"({{{}"inputs":[{{"name":"INPUT0","datatype":"INT32","shape":[1,16],"data":[{}]}},)"
      R"({{"name":"INPUT1","datatype":"INT32","shape":[1,16],"data":[{}]}}]}})",
      extra, Numbers(16, 0), Numbers(16, 1));
}
std::string SimpleBinary(const std::string& extra = "", size_t size1 = 64) {
  return fmt::format(
      R"({{{}"inputs":[{{"name":"INPUT0","datatype":"INT32","shape":[1,16],"parameters":{{"binary_data_size":64}}}},)"
      R"({{"name":"INPUT1","datatype":"INT32","shape":[1,16],"parameters":{{"binary_data_size":{}}}}}]}})",
      extra, size1);
}
std::string Identity(const std::string& shape, const std::string& data) {
  return fmt::format(R"({{"inputs":[{{"name":"INPUT","datatype":"FP32","shape":{},"data":{}}}]}})",
                     shape, data);
}

class InferTest : public ServerTest {
 protected:
  InferTest() {
    AddPlan("simple", "simple");
    AddPlan("identity", "identity");
    AddPlan("half", "half");
    AddPlan("bytes8", "bytes8");
  }
  void SetUp() override { Start(); }
  Reply Infer(std::string_view body, const std::string& headers = "",
              const std::string& model = "simple") {
    return Client(port()).Post("/v2/models/" + model + "/infer", body, headers);
  }
  Reply InferBinary(const std::string& json, const std::string& blobs,
                    const std::string& headers = "", const std::string& model = "simple") {
    return Infer(json + blobs,
                 fmt::format("Inference-Header-Content-Length: {}\r\n{}", json.size(), headers),
                 model);
  }
  void ExpectError(const Reply& reply, int status, const std::string& text) {
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_THAT(reply.body, HasSubstr(text));
    EXPECT_TRUE(reply.body.starts_with("{\"error\":\"")) << reply.body;
    EXPECT_EQ(Client(port()).Get("/v2/health/ready").status, 200) << "the server must survive";
  }
};

TEST_F(InferTest, AnswersJsonWithJson) {
  const Reply reply = Infer(SimpleJson());
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  EXPECT_EQ(reply.headers.count("inference-header-content-length"), 0u);
  EXPECT_EQ(
      reply.body,
      R"({"model_name":"simple","model_version":"1","parameters":{"served_by":"cpu:0"},"outputs":[)"
      R"({"name":"OUTPUT0","datatype":"INT32","shape":[1,16],"data":[1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31]},)"
      R"({"name":"OUTPUT1","datatype":"INT32","shape":[1,16],"data":[-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1,-1]}]})");
}

TEST_F(InferTest, EchoesTheIdOnlyWhenItIsNotEmpty) {
  EXPECT_THAT(Infer(SimpleJson(R"("id":"a\"b",)")).body, HasSubstr(R"({"id":"a\"b","model_name")"));
  EXPECT_THAT(Infer(SimpleJson(R"("id":"",)")).body, Not(HasSubstr("\"id\"")));
}

TEST_F(InferTest, ReadsAndWritesBinaryTensors) {
  const Reply reply = InferBinary(SimpleBinary(R"("parameters":{"binary_data_output":true},)"),
                                  Blob(16, 0) + Blob(16, 1));
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.headers.at("content-type"), "application/octet-stream");
  const size_t json = std::stoul(reply.headers.at("inference-header-content-length"));
  EXPECT_THAT(reply.body.substr(0, json),
              HasSubstr(R"("shape":[1,16],"parameters":{"binary_data_size":64}})"));
  ASSERT_EQ(reply.body.size(), json + 128);
  int32_t first[2];
  std::memcpy(first, reply.body.data() + json, 8);
  EXPECT_EQ(first[0], 1);
  EXPECT_EQ(first[1], 3);
}

TEST_F(InferTest, AListedOutputWithoutBinaryDataIsJsonWhateverTheDefault) {
  const Reply reply =
      Infer(SimpleJson(R"("parameters":{"binary_data_output":true},"outputs":[{"name":"OUTPUT1"},)"
                       R"({"name":"OUTPUT0","parameters":{"binary_data":true}}],)"));
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(reply.body,
              HasSubstr(R"({"name":"OUTPUT1","datatype":"INT32","shape":[1,16],"data":[)"));
  EXPECT_THAT(
      reply.body,
      HasSubstr(
          R"({"name":"OUTPUT0","datatype":"INT32","shape":[1,16],"parameters":{"binary_data_size":64}})"));
}

TEST_F(InferTest, RawRequestIsTheOnlyInput) {
  const float values[] = {1.5f, -2, 3};
  const std::string body(reinterpret_cast<const char*>(values), sizeof(values));
  const Reply reply = Infer(body, "Inference-Header-Content-Length: 0\r\n", "identity");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const size_t json = std::stoul(reply.headers.at("inference-header-content-length"));
  EXPECT_THAT(reply.body.substr(0, json), HasSubstr("\"shape\":[1,3]"));
  EXPECT_EQ(reply.body.substr(json), body);
  ExpectError(Infer(body, "Inference-Header-Content-Length: 0\r\n"), 400,
              "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in "
              "'simple' model configuration");
}

TEST_F(InferTest, RefusesBadHeaderLengths) {
  const std::string body = SimpleJson();
  const auto with = [&](const std::string& value) {
    return Infer(body, "Inference-Header-Content-Length: " + value + "\r\n");
  };
  ExpectError(
      with("-1"), 400,
      fmt::format("inference header size should be in range (0, {}), got: -1", body.size()));
  ExpectError(with(std::to_string(body.size() + 1)), 400,
              "inference header size should be in range (0, ");
  ExpectError(with("abc"), 400, "Unable to parse Inference-Header-Content-Length, got: abc");
  ExpectError(with("12abc"), 400, "Unable to parse Inference-Header-Content-Length, got: 12abc");
  ExpectError(with("99999999999"), 400,
              "Unable to parse Inference-Header-Content-Length, value is out of range [ "
              "-2147483648, 2147483647 ], got: 99999999999");
  ExpectError(with("99999999999999999999999999"), 400, "value is out of range");
}

TEST_F(InferTest, EachInputHasExactlyOneSource) {
  ExpectError(Infer(R"({"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,16]}]})"), 400,
              "Input must set only one of the following fields: 'data', 'binary_data_size' in "
              "'parameters', "
              "'shared_memory_region' in 'parameters'. But no field is set");
  ExpectError(
      Infer(
          R"({"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,16],"data":[1],"parameters":{"binary_data_size":4}}]})"),
      400, "But set 'data' 'binary_data_size'");
}

TEST_F(InferTest, BlobsMustFitExactly) {
  const std::string json = SimpleBinary();
  ExpectError(InferBinary(json, Blob(16, 0) + Blob(17, 1)), 400,
              "unexpected additional input data for model 'simple'");
  ExpectError(
      InferBinary(json, Blob(31, 0)), 400,
      "unexpected size for input 'INPUT1', expecting 4 additional bytes for model 'simple'");
  ExpectError(InferBinary(SimpleBinary("", 60), Blob(31, 0)), 400,
              "[request id: <id_unknown>] input byte size mismatch for input 'INPUT1' for model "
              "'simple'. Expected 64, got 60");
  ExpectError(InferBinary(SimpleBinary("", 18446744073709551615ull), Blob(32, 0)), 400,
              "unexpected size for input 'INPUT1'");
  ExpectError(Infer(json), 400,
              "must specify valid 'Infer-Header-Content-Length' in request header");
}

TEST_F(InferTest, WrongElementCountIs500AsInTriton) {
  ExpectError(Infer(Identity("[1,3]", "[1,2]"), "", "identity"), 500,
              "Failed to parse 'data' field: shape does not match true shape");
  ExpectError(Infer(Identity("[1,3]", "[1,2,3,4]"), "", "identity"), 500,
              "Unable to parse 'data': Shape does not match true shape of 'data' field");
}

TEST_F(InferTest, DataMayBeNestedOrFlat) {
  for (const char* data : {"[1,2,3,4]", "[[1,2],[3,4]]", "[[[1],2],[[[3,4]]]]"}) {
    EXPECT_THAT(Infer(Identity("[2,2]", data), "", "identity").body,
                HasSubstr("\"shape\":[2,2],\"data\":[1.0,2.0,3.0,4.0]"));
  }
}

TEST_F(InferTest, BoundsNesting) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') + "1" +
           std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_EQ(Infer(Identity("[1,1]", nested(50)), "", "identity").status, 200);
  EXPECT_EQ(Infer(Identity("[1,1]", nested(99)), "", "identity").status, 200);
  for (int depth : {100, 101, 120, 10'000, 1'000'000}) {
    ExpectError(Infer(Identity("[1,1]", nested(depth)), "", "identity"), 400,
                "Unable to parse 'data': JSON nesting depth exceeds maximum allowed limit (100)");
  }
}

TEST_F(InferTest, RefusesShapesThatOverflow) {
  ExpectError(Infer(Identity("[4611686018427387904,4]", "[1]"), "", "identity"), 400,
              "causes total element count to exceed maximum size of 9223372036854775807");
  ExpectError(Infer(Identity("[4611686018427387904,1]", "[1]"), "", "identity"), 400,
              "byte size overflow for input 'INPUT': element count (4611686018427387904) * data "
              "type size (4)");
  ExpectError(
      Infer(Identity("[-1,4]", "[1]"), "", "identity"), 500,
      "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer");
  ExpectError(Infer(Identity("[18446744073709551615,1]", "[1]"), "", "identity"), 400,
              "contains one or more invalid dimensions");
  ExpectError(Infer(Identity("[1,100000000]", "[1]"), "", "identity"), 400,
              "JSON input 'INPUT' has a byte_size (400000000 bytes) that exceeds the maximum "
              "allowed value of 67108864 bytes");
  ExpectError(
      InferBinary(
          R"({"inputs":[{"name":"INPUT","datatype":"FP32","shape":[4294967296,4294967296],"parameters":{"binary_data_size":4}}]})",
          "abcd", "", "identity"),
      400, "");
}

TEST_F(InferTest, RefusesWhatTheModelDoesNotTake) {
  ExpectError(Infer(Identity("[1,3]", "[1,2,3]")), 400,
              R"({"error":"unexpected inference input 'INPUT' for model 'simple'"})");
  ExpectError(
      Infer(R"({"id":"7","inputs":[{"name":"INPUT","datatype":"INT32","shape":[1,1],"data":[1]}]})",
            "", "identity"),
      400,
      "[request id: 7] inference input 'INPUT' data-type is 'INT32', but model 'identity' expects "
      "'FP32'");
  ExpectError(Infer(Identity("[3]", "[1,2,3]"), "", "identity"), 400,
              "[request id: <id_unknown>] unexpected shape for input 'INPUT' for model 'identity'. "
              "Expected [-1,-1], got [3]. ");
  ExpectError(
      Infer(Identity("[9,1]", "[1,2,3,4,5,6,7,8,9]"), "", "identity"), 400,
      "[request id: <id_unknown>] inference request batch-size must be <= 8 for 'identity'");
  ExpectError(
      Infer(R"({"inputs":[{"name":"INPUT","datatype":"BYTES","shape":[1,1],"data":["a"]}]})", "",
            "identity"),
      400, "inference input 'INPUT' data-type is 'BYTES', but model 'identity' expects 'FP32'");
  ExpectError(
      Infer(
          R"({"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,16],"data":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}]})"),
      400,
      "expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) ['INPUT0'], but missing "
      "required input(s) "
      "['INPUT1']. Please provide all required input(s).");
  ExpectError(Infer(R"({"inputs":[]})"), 400,
              "Got input(s) [], but missing required input(s) ['INPUT0','INPUT1']");
  ExpectError(Infer(Identity("[1,1001]", "[" + Numbers(1001, 0) + "]"), "", "identity"), 400,
              "length is 1001, outside 1..1000");
  ExpectError(Infer(SimpleJson(R"("outputs":[{"name":"NOPE"}],)")), 400,
              R"({"error":"unexpected inference output 'NOPE' for model 'simple'"})");
}

TEST_F(InferTest, RefusesDuplicateInputs) {
  const char* one = R"({"name":"INPUT","datatype":"FP32","shape":[1,1],"data":[1]})";
  ExpectError(Infer(fmt::format(R"({{"inputs":[{},{}]}})", one, one), "", "identity"), 400,
              "input 'INPUT' already exists in request");
}

TEST_F(InferTest, RefusesIntegersThatDoNotFit) {
  const auto u8 = [](const char* v) {
    return fmt::format(
        R"({{"inputs":[{{"name":"INPUT","datatype":"UINT8","shape":[1],"data":[{}]}}]}})", v);
  };
  EXPECT_EQ(Infer(u8("255"), "", "bytes8").status, 200);
  ExpectError(Infer(u8("256"), "", "bytes8"), 400, "256 is outside the range of the datatype");
  ExpectError(Infer(u8("-1"), "", "bytes8"), 500,
              "attempt to access JSON non-unsigned-integer as unsigned-integer");
  ExpectError(Infer(u8("1.5"), "", "bytes8"), 500,
              "attempt to access JSON non-unsigned-integer as unsigned-integer");
  ExpectError(Infer(u8("true"), "", "bytes8"), 500,
              "attempt to access JSON non-unsigned-integer as unsigned-integer");
}

TEST_F(InferTest, EmptyTensorsAreTensors) {
  const Reply reply = Infer(
      R"({"inputs":[{"name":"INPUT","datatype":"UINT8","shape":[0],"data":[]}]})", "", "bytes8");
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(reply.body, HasSubstr("\"shape\":[0],\"data\":[]"));
  const Reply binary = InferBinary(
      R"({"parameters":{"binary_data_output":true},"inputs":[{"name":"INPUT","datatype":"UINT8","shape":[0],"parameters":{"binary_data_size":0}}]})",
      "", "", "bytes8");
  EXPECT_EQ(binary.status, 200) << binary.body;
  EXPECT_EQ(binary.headers.at("content-type"), "application/json") << "nothing binary follows";
}

TEST_F(InferTest, HalfPrecisionIsBinaryOnly) {
  ExpectError(
      Infer(R"({"inputs":[{"name":"INPUT","datatype":"FP16","shape":[4],"data":[1,2,3,4]}]})", "",
            "half"),
      400,
      "receiving FP16 data via JSON is not supported. Please use the binary data format for input "
      "INPUT");
  const std::string json =
      R"({"inputs":[{"name":"INPUT","datatype":"FP16","shape":[4],"parameters":{"binary_data_size":8}}]})";
  ExpectError(
      InferBinary(json, "abcdefgh", "", "half"), 400,
      "sending FP16 data via JSON is not supported. Please use the binary data format for output");
  const std::string binary = R"({"parameters":{"binary_data_output":true},)" + json.substr(1);
  EXPECT_TRUE(InferBinary(binary, "abcdefgh", "", "half").body.ends_with("abcdefgh"));
}

TEST_F(InferTest, WritesFloatsThatReadBackExactly) {
  for (const char* text :
       {"0.1", "1e-45", "3.4028235e38", "-0.0", "16777216", "1e10", "0.30000001192092896"}) {
    const float value = std::strtof(text, nullptr);
    const Reply reply = Infer(Identity("[1,1]", fmt::format("[{}]", text)), "", "identity");
    const size_t data = reply.body.find("\"data\":[");
    ASSERT_NE(data, std::string::npos) << reply.body;
    EXPECT_EQ(std::bit_cast<uint32_t>(std::strtof(reply.body.c_str() + data + 8, nullptr)),
              std::bit_cast<uint32_t>(value))
        << reply.body;
  }
  const float odd[] = {std::numeric_limits<float>::quiet_NaN(),
                       -std::numeric_limits<float>::infinity()};
  const Reply reply = InferBinary(
      R"({"outputs":[{"name":"OUTPUT"}],"inputs":[{"name":"INPUT","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]})",
      std::string(reinterpret_cast<const char*>(odd), 8), "", "identity");
  EXPECT_THAT(reply.body, HasSubstr("\"data\":[NaN,-Infinity]"));
}

TEST_F(InferTest, ChecksParameters) {
  ExpectError(Infer(SimpleJson(R"("parameters":{"triton_x":1},)")), 400,
              "parameter keys starting with 'triton_' are reserved for Triton usage and should not "
              "be specified.");
  ExpectError(Infer(SimpleJson(R"("parameters":{"timeout":"soon"},)")), 500,
              "Unable to parse 'timeout': attempt to access JSON non-unsigned-integer");
  ExpectError(Infer(SimpleJson(R"("parameters":[],)")), 500, "failed to get request params.");
  EXPECT_EQ(
      Infer(SimpleJson(
                R"("parameters":{"priority":1,"sequence_id":5,"sequence_start":true,"mine":"x"},)"))
          .status,
      200);
}

TEST_F(InferTest, MalformedJsonIsAnError) {
  for (const char* body : {"", "{", "nonsense", "[]", "{\"inputs\":", "{\"inputs\":1}",
                           "{\"inputs\":[1]}", "\xff\xfe", "null", "{\"inputs\":[{\"name\":1}]}"}) {
    const Reply reply = Infer(body);
    EXPECT_GE(reply.status, 400) << body;
    EXPECT_TRUE(reply.body.starts_with("{\"error\":\"")) << reply.body;
  }
}

TEST_F(InferTest, UnknownModelsAndVersions) {
  ExpectError(Infer("{}", "", "nope"), 404, "Request for unknown model: 'nope' is not found");
  ExpectError(Infer("{}", "", "simple/versions/7"), 404,
              "Request for unknown model: 'simple' version 7 is not found");
  EXPECT_EQ(Infer(SimpleJson(), "", "simple/versions/1").status, 200);
  ExpectError(Infer("{}", "", "simple/versions/99999999999999999999"), 400,
              "version should be an integral value > 0");
  EXPECT_EQ(Infer("{}", "", "simple/versions/x").status, 404);
  for (const char* name : {"..", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc", "a%00b", "%zz", "%"}) {
    EXPECT_EQ(Infer("{}", "", name).status, 404) << name;
  }
  EXPECT_EQ(Infer("{}", "", std::string(4000, 'a')).status, 404);
  EXPECT_EQ(Infer(SimpleJson(), "", "sim%70le").status, 200) << "clients may quote";
}

TEST_F(InferTest, ReadsAndWritesCompressedBodies) {
  for (ContentEncoding encoding : {ContentEncoding::kGzip, ContentEncoding::kDeflate}) {
    const std::string json = SimpleBinary(R"("parameters":{"binary_data_output":true},)");
    const std::string plain = json + Blob(16, 0) + Blob(16, 1);
    const std::span<const std::byte> parts[] = {std::as_bytes(std::span(plain))};
    const std::string packed = *Compress(parts, encoding);
    const std::string name(EncodingName(encoding));
    const Reply reply =
        Infer(packed, fmt::format("Inference-Header-Content-Length: {}\r\nContent-Encoding: "
                                  "{}\r\nAccept-Encoding: {}\r\n",
                                  json.size(), name, name));
    ASSERT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.headers.at("content-encoding"), name);
    const auto body = Decompress(reply.body, encoding, 1 << 20);
    ASSERT_TRUE(body.ok());
    EXPECT_EQ(body->size(), std::stoul(reply.headers.at("inference-header-content-length")) + 128);
    ExpectError(Infer(packed.substr(0, packed.size() / 2), "Content-Encoding: " + name + "\r\n"),
                400, "is not valid " + name);
    ExpectError(Infer(packed + "x", "Content-Encoding: " + name + "\r\n"), 400,
                "is not valid " + name);
  }
  const Reply unknown = Infer("x", "Content-Encoding: br\r\n");
  ExpectError(unknown, 501, "Unsupported compression type");
  EXPECT_EQ(unknown.headers.at("accept-encoding"), "gzip, deflate");
}

TEST_F(InferTest, ACompressionBombIsRefused) {
  const std::string zeros(65 << 20, '0');
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(zeros))};
  ExpectError(Infer(*Compress(parts, ContentEncoding::kGzip), "Content-Encoding: gzip\r\n"), 400,
              "decompressed request exceeds the maximum allowed input size of 67108864 bytes");
}

TEST(Compression, ChoosesByWeight) {
  EXPECT_EQ(ChooseEncoding(""), ContentEncoding::kIdentity);
  EXPECT_EQ(ChooseEncoding("gzip, deflate"), ContentEncoding::kGzip);
  EXPECT_EQ(ChooseEncoding("gzip;q=0.5, deflate;q=0.8"), ContentEncoding::kDeflate);
  EXPECT_EQ(ChooseEncoding("gzip;q=0.5,identity"), ContentEncoding::kIdentity);
  EXPECT_EQ(ChooseEncoding("br, gzip;q=x"), ContentEncoding::kIdentity);
  EXPECT_EQ(ChooseEncoding("gzip;q=0"), ContentEncoding::kIdentity);
}

}  // namespace
}  // namespace fusee::server
