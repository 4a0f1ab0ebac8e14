#include "compiler/io_formats.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/import.h"
#include "compiler/reference.h"
#include "ir/text.h"
#include "passes/interpret.h"
#include "passes/pass_manager.h"
#include "passes/permutation.h"
#include "quant/convert_precision.h"
#include "tensor/compare.h"
#include "tensor/random.h"

namespace fusee::compiler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<IoFormat> Formats(std::string_view text) {
  if (text.empty()) return {};
  auto formats = ParseIoFormats(text);
  EXPECT_TRUE(formats.ok()) << formats.status().ToString();
  return formats.ok() ? *formats : std::vector<IoFormat>();
}

std::string Refusal(std::string_view text) {
  const auto formats = ParseIoFormats(text);
  EXPECT_EQ(formats.status().code(), StatusCode::kInvalidArgument) << text;
  return formats.status().message();
}

// --- what is asked for ---

TEST(ParseIoFormats, ReadsTrtexecsSpellings) {
  const auto formats = Formats("fp32:chw,fp16:hwc,bf16:hwc8,int64:chw,uint8:hwc,bool:chw");
  std::vector<std::string> texts;
  texts.reserve(formats.size());
  for (const IoFormat& f : formats) texts.push_back(IoFormatText(f));
  EXPECT_THAT(
      texts, ElementsAre("fp32:chw", "fp16:hwc", "bf16:hwc", "int64:chw", "uint8:hwc", "bool:chw"));
  EXPECT_FALSE(formats[1].asked_padding);
  EXPECT_TRUE(formats[2].asked_padding);
}

TEST(ParseIoFormats, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(Refusal("fp16"), HasSubstr("'fp16' is not TYPE:FORMAT, as in fp16:chw"));
  EXPECT_THAT(Refusal("fp16:chw,"), HasSubstr("'' is not TYPE:FORMAT"));
  EXPECT_THAT(Refusal("fp8:chw"), HasSubstr("there is no type 'fp8'; expected one of fp32, fp16"));
  EXPECT_THAT(Refusal(":chw"), HasSubstr("there is no type ''"));
  EXPECT_THAT(Refusal("fp16:chw32"),
              HasSubstr("there is no format 'chw32'; expected chw, hwc or hwc8"));
  EXPECT_THAT(Refusal("fp16:"), HasSubstr("there is no format ''"));
}

// --- what becomes of the graph ---

constexpr std::string_view kNet = R"(graph "net" {
  symbol n in [1, 4]
  symbol h in [4, 9]
  input %ids : i64[n]
  input %x : f32[n,3,h,2]
  const %w : f32[2,3,1,1] = {1, -2, 3, 0.5, 0.25, -1}
  %c : f32[n,2,h,2] = Conv(%x, %w) {kernel_shape = [1, 1]} from("conv")
  %y : f32[n,2,h,2] = Relu(%c) from("relu")
  output %y as "y"
  output %ids as "same"
})";

ImportedModel ModelOf(std::string_view text) {
  ImportedModel model;
  model.graph = ir::Parse(text).value();
  model.symbols = {{"n", 0, 0}, {"h", 1, 2}};
  return model;
}

Status Apply(std::string_view inputs, std::string_view outputs, ImportedModel* model) {
  return ApplyIoFormats(Formats(inputs), Formats(outputs), model);
}

std::string Complaint(std::string_view inputs, std::string_view outputs,
                      std::string_view net = kNet) {
  ImportedModel model = ModelOf(net);
  const Status status = Apply(inputs, outputs, &model);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
  return status.message();
}

TEST(ApplyIoFormats, CastsAndTransposesAtTheBordersInTheNarrowerType) {
  ImportedModel model = ModelOf(kNet);
  const Status status = Apply("int64:chw,fp16:hwc", "bf16:hwc,int64:chw", &model);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(ir::Print(*model.graph), ir::Print(*ir::Parse(R"(graph "net" {
  symbol h in [4, 9]
  symbol n in [1, 4]
  input %ids : i64[n]
  input %x : f16[n,h,2,3]
  const %w : f32[2,3,1,1] = {1, -2, 3, 0.5, 0.25, -1}
  %x/chw : f16[n,3,h,2] = Transpose(%x) {perm = [0, 3, 1, 2]} from("input x")
  %x/f32 : f32[n,3,h,2] = Cast(%x/chw) {to = 1} from("input x")
  %c : f32[n,2,h,2] = Conv(%x/f32, %w) {kernel_shape = [1, 1]} from("conv")
  %y : f32[n,2,h,2] = Relu(%c) from("relu")
  %y/bf16 : bf16[n,2,h,2] = Cast(%y) {to = 16} from("output y")
  %y/hwc : bf16[n,h,2,2] = Transpose(%y/bf16) {perm = [0, 2, 3, 1]} from("output y")
  output %y/hwc as "y"
  output %ids as "same"
})")
                                                    .value()));
  const Status typed = passes::VerifyTyped(*model.graph);
  EXPECT_TRUE(typed.ok()) << typed.ToString();
  EXPECT_EQ(model.symbols[0].axis, 0);
  EXPECT_EQ(model.symbols[1].axis, 1);  // h is read where it now is
  ASSERT_EQ(model.input_formats.size(), 2u);
  EXPECT_TRUE(model.input_formats[1].channels_last);
}

TEST(ApplyIoFormats, WhatTheModelHasAlreadyChangesNothing) {
  ImportedModel model = ModelOf(kNet);
  ASSERT_TRUE(Apply("int64:chw,fp32:chw", "fp32:chw,int64:chw", &model).ok());
  EXPECT_EQ(ir::Print(*model.graph), ir::Print(*ir::Parse(kNet).value()));
  ASSERT_TRUE(Apply("", "", &model).ok());
  EXPECT_EQ(ir::Print(*model.graph), ir::Print(*ir::Parse(kNet).value()));
}

TEST(ApplyIoFormats, OneEntryIsForAll) {
  ImportedModel model = ModelOf(R"(graph "sum" {
  input %a : f32[2,3,4]
  input %b : f16[2,3,4]
  %c : f32[2,3,4] = Cast(%b) {to = 1} from("cast")
  %y : f32[2,3,4] = Add(%a, %c) from("add")
  output %y as "y"
})");
  model.symbols.clear();
  ASSERT_TRUE(Apply("bf16:hwc", "fp16:chw", &model).ok());
  for (ir::ValueId id : model.graph->inputs()) {
    EXPECT_EQ(model.graph->value(id).info.dtype, DType::kBF16);
    EXPECT_EQ(ir::ToString(model.graph->value(id).info.shape), "[2,4,3]");
  }
}

TEST(ApplyIoFormats, RefusesWithAListThatWouldDo) {
  EXPECT_THAT(
      Complaint("fp16:chw,fp16:chw,fp16:chw", ""),
      HasSubstr("--inputIOFormats lists 3 formats, but the model has 2 inputs; give one for "
                "each, in the model's order, or one for all: "
                "--inputIOFormats=int64:chw,fp16:chw"));
  EXPECT_THAT(Complaint("fp16:hwc", ""),
              HasSubstr("input 'ids' is int64 and keeps that type, but fp16:hwc is asked for; say "
                        "for example --inputIOFormats=int64:chw,fp16:hwc"));
  EXPECT_THAT(Complaint("int32:chw,fp16:chw", ""), HasSubstr("'ids' is int64 and keeps that type"));
  EXPECT_THAT(
      Complaint("int64:hwc,fp16:chw", ""),
      HasSubstr("'ids' is [n] of rank 1, and hwc is for [N, C, spatial...] of rank 3 to 5"));
  EXPECT_THAT(Complaint("", "int8:chw,int64:chw"),
              HasSubstr("--outputIOFormats: output 'y' is fp32 and may become fp32, fp16 or bf16, "
                        "but int8:chw is asked for"));
  EXPECT_THAT(Complaint("int64:chw,fp64:chw", ""), HasSubstr("may become"));
}

TEST(ApplyIoFormats, APinnedInputStaysAsItIs) {
  ImportedModel model = ModelOf(kNet);
  model.graph->pinned_inputs().push_back(
      {model.graph->inputs()[0], Tensor::Of<int64_t>(Shape{1}, {7})});
  EXPECT_TRUE(Apply("int64:chw,fp16:chw", "", &model).ok());
  constexpr std::string_view kPinned = R"(graph "net" {
  input %x : f32[1]
  pin %x : f32[1] = {2}
  %y : f32[1] = Relu(%x) from("relu")
  output %y as "y"
})";
  EXPECT_THAT(Complaint("fp16:chw", "", kPinned),
              HasSubstr("'x' is pinned to a value and stays fp32:chw"));
}

TEST(ApplyIoFormats, SaysThatHwc8DoesNotPad) {
  ImportedModel model = ModelOf(kNet);
  ASSERT_TRUE(Apply("int64:chw,fp16:hwc8", "", &model).ok());
  ASSERT_EQ(model.notes.size(), 1u);
  EXPECT_THAT(model.notes[0],
              HasSubstr("input 'x': hwc8 is hwc here, its 3 channels are not padded"));
}

// --- the same values ---

Tensor Cast(const Tensor& tensor, DType dtype) {
  TensorView out;
  Tensor result = Tensor::Allocate(dtype, tensor.shape(), &out).value();
  for (int64_t i = 0; i < tensor.elements(); ++i) StoreDouble(out, i, DoubleAt(tensor.view(), i));
  return result;
}

TEST(ApplyIoFormats, GivesTheSameValuesInTheOtherForm) {
  const passes::Permutation to_last = {0, 2, 3, 1};
  for (const char* format : {"fp32:hwc", "fp16:chw", "fp16:hwc", "bf16:hwc"}) {
    SCOPED_TRACE(format);
    const IoFormat asked = Formats(format)[0];
    ImportedModel model = ModelOf(kNet);
    const auto before = ir::Clone(*model.graph);
    ASSERT_TRUE(
        Apply(fmt::format("int64:chw,{}", format), fmt::format("{},int64:chw", format), &model)
            .ok());
    TensorView fill;
    const Tensor drawn = Tensor::Allocate(DType::kF32, Shape{2, 3, 5, 2}, &fill).value();
    FillRandom(fill, Fill::kUniform, 5, 0);
    // What the type holds exactly, so that both graphs see the same numbers.
    const Tensor narrow = Cast(drawn, asked.dtype);
    const Tensor ids = Tensor::Of<int64_t>(Shape{2}, {3, 4});
    const auto want = passes::Interpret(*before, std::vector{ids, Cast(narrow, DType::kF32)});
    const auto got = passes::Interpret(
        *model.graph,
        std::vector{
            ids, asked.channels_last ? passes::PermuteConstant(narrow, to_last).value() : narrow});
    ASSERT_TRUE(want.ok()) << want.status().ToString();
    ASSERT_TRUE(got.ok()) << got.status().ToString();
    Tensor expected = Cast((*want)[0], asked.dtype);
    if (asked.channels_last) expected = passes::PermuteConstant(expected, to_last).value();
    const Comparison same = Compare((*got)[0].view(), expected.view(), {0, 0});
    EXPECT_TRUE(same.passed) << same.reason;
  }
}

// --- with the passes ---

std::vector<std::string> Operators(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (ir::NodeId id : graph.order()) names.push_back(graph.node(id).op);
  return names;
}

void RunPasses(const passes::Target& target, std::span<const std::string_view> names,
               ir::Graph& graph) {
  std::vector<passes::PassDef> list;
  for (const passes::PassDef& pass : passes::Pipeline()) {
    if (names.empty() || std::ranges::find(names, pass.name) != names.end()) list.push_back(pass);
  }
  passes::PipelineOptions options;
  options.target = target;
  const Status status = passes::RunPasses(list, graph, options, nullptr);
  ASSERT_TRUE(status.ok()) << status.ToString();
}

TEST(ApplyIoFormats, NothingIsLeftAtTheBordersOfAPlanInHalvesWithChannelsLast) {
  ImportedModel model = ModelOf(kNet);
  ASSERT_TRUE(Apply("int64:chw,fp16:hwc", "fp16:hwc,int64:chw", &model).ok());
  RunPasses({.device = "cuda", .channels_last = true, .compute = DType::kF16}, {}, *model.graph);
  const auto report = quant::ConvertPrecision(*model.graph, {.dtype = DType::kF16});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->casts, 0);
  EXPECT_TRUE(report->kept.empty());
  constexpr std::string_view kTidy[] = {"remove_identity", "dead_code"};
  RunPasses({}, kTidy, *model.graph);
  EXPECT_THAT(Operators(*model.graph), ElementsAre("Conv"));
  const auto& graph = *model.graph;
  EXPECT_EQ(graph.value(graph.inputs()[1]).info.dtype, DType::kF16);
  EXPECT_EQ(ir::ToString(graph.value(graph.inputs()[1]).info.shape), "[n,h,2,3]");
  EXPECT_EQ(graph.value(graph.outputs()[0]).info.dtype, DType::kF16);
}

TEST(ApplyIoFormats, AReferenceHasThePlansInterface) {
  ImportedModel model = ModelOf(kNet);
  ProfilePoint point;
  point.values = {{"n", 4}, {"h", 9}};
  model.buckets = {point};
  model.opt = point;
  ASSERT_TRUE(Apply("int64:chw,fp16:hwc", "", &model).ok());
  const auto plan = ReferencePlan(model);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_TRUE(plan->inputs[1].channels_last);
  EXPECT_FALSE(plan->inputs[0].channels_last);
  EXPECT_FALSE(plan->outputs[0].channels_last);
  const auto options = OptionsOf(*plan);
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_THAT(options->profiles.at("x").shapes, ElementsAre(ElementsAre(4, 3, 9, 2)));
  EXPECT_EQ(IoFormatText(options->input_formats[1]), "fp16:hwc");
  EXPECT_EQ(IoFormatText(options->output_formats[0]), "fp32:chw");
}

}  // namespace
}  // namespace fusee::compiler
