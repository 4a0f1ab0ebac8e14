#include "server/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fusee::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Order(std::string_view text) {
  auto order = ReadDeviceOrder(text);
  EXPECT_TRUE(order.ok()) << order.status().message();
  return order.ok() ? *order : std::vector<std::string>{"error"};
}
StatusCode CodeOf(std::string_view text) { return ReadDeviceOrder(text).status().code(); }

TEST(ModelConfig, FindsTheParameter) {
  EXPECT_THAT(Order(R"(parameters { key: "device_order" value { string_value: "cpu,cuda" } })"),
              ElementsAre("cpu", "cuda"));
}

TEST(ModelConfig, EverySpellingOfTheFormat) {
  for (const char* text : {
           R"(parameters: { key: "device_order", value: { string_value: "cpu" } })",
           R"(parameters < key: 'device_order'; value < string_value: "c" "pu"; > >)",
           "parameters [ {key:\"x\" value {string_value:\"1\"}},\n"
           "{key:\"device_order\" value{string_value:\"cpu\"}} ]",
           "# a comment { \"\nparameters{key:\"device_order\"value{string_value:\"cpu\"}}#end",
       }) {
    EXPECT_THAT(Order(text), ElementsAre("cpu")) << text;
  }
}

TEST(ModelConfig, ARealConfigWithoutTheParameterIsEmpty) {
  EXPECT_THAT(Order(R"(name: "resnet"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, -1, 224 ] reshape { shape: [ ] } } ]
instance_group [ { count: 1 kind: KIND_GPU gpus: [ 0 ] } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 1e+2 }
parameters { key: "execution_mode" value: { string_value: "0" } }
)"),
              IsEmpty());
  EXPECT_THAT(Order(""), IsEmpty());
}

TEST(ModelConfig, ParametersOfOtherMessagesAreNotMeant) {
  EXPECT_THAT(Order(R"(x { parameters { key: "device_order" value { string_value: "cpu" } } })"),
              IsEmpty());
}

TEST(ModelConfig, BadValuesAreNamed) {
  for (const char* value : {"", "tpu", "cpu,", "cpu,cpu", "cpu cuda", "CPU"}) {
    EXPECT_EQ(CodeOf(std::string(R"(parameters { key: "device_order" value { string_value: ")") +
                     value + "\" } }"),
              StatusCode::kInvalidArgument)
        << value;
  }
}

TEST(ModelConfig, BrokenTextIsAnErrorWithItsLine) {
  for (const char* text : {"x", "x {", "x }", "x: \"", "x: \"a\nb\"", "x: [1", "x: {]}", ": 1", "}",
                           "parameters {{", "x: @", "\"a\": 1"}) {
    EXPECT_EQ(CodeOf(text), StatusCode::kDataLoss) << text;
  }
  EXPECT_THAT(ReadDeviceOrder("a: 1\n\nb").status().message(), testing::HasSubstr("line 3"));
}

TEST(ModelConfig, EveryPrefixEndsWell) {
  const std::string text =
      R"(a: 1 b { c: [ "x" ] } parameters { key: "device_order" value { string_value: "cpu" } })";
  for (size_t n = 0; n <= text.size(); ++n) (void)ReadDeviceOrder(text.substr(0, n));
}

TEST(ModelConfig, NestingIsBounded) {
  std::string deep, list = "a: ";
  for (int i = 0; i < 100'000; ++i) deep += "a{";
  for (int i = 0; i < 100'000; ++i) list += "[";
  EXPECT_EQ(CodeOf(deep), StatusCode::kDataLoss);
  EXPECT_EQ(CodeOf(list), StatusCode::kDataLoss);
}

TEST(ModelConfig, SizeIsBounded) {
  EXPECT_EQ(CodeOf(std::string(kModelConfigBytesMax + 1, ' ')), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace fusee::server
