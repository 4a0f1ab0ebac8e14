#include "plan/encode.h"

#include <gtest/gtest.h>

#include "plan/container.h"
#include "plan/decode.h"
#include "plan/plan_test_util.h"
#include "plan/print.h"

namespace fusee::plan {
namespace {

using testing::AlignedCopy;
using testing::CountingPlan;
using testing::GpuPlan;
using testing::GuardedPlan;
using testing::RichPlan;
using testing::SmallPlan;

std::vector<std::byte> EncodeOrDie(const Plan& plan) {
  auto bytes = Encode(plan);
  EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
  return std::move(bytes).value();
}

TEST(Encode, IsAFunctionOfThePlan) {
  EXPECT_EQ(EncodeOrDie(SmallPlan()), EncodeOrDie(SmallPlan()));
  EXPECT_NE(EncodeOrDie(SmallPlan(8)), EncodeOrDie(SmallPlan(16)));
}

TEST(Encode, DecodeGivesThePlanBackAndEncodesToTheSameBytes) {
  const auto first = EncodeOrDie(RichPlan());
  const Tensor file = AlignedCopy(first);
  auto plan = Decode(file.bytes(), nullptr);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(EncodeOrDie(**plan), first);
  EXPECT_EQ((*plan)->steps[1].attrs, RichPlan().steps[1].attrs);
  EXPECT_EQ((*plan)->steps[1].inputs, RichPlan().steps[1].inputs);
  EXPECT_EQ((*plan)->steps[1].tried[0].verdict, "accepted");
  EXPECT_EQ((*plan)->certificate.golden[0].seed, 7u);
  EXPECT_EQ((*plan)->fusions[1].reason, "not a Relu");
  EXPECT_EQ(PlanJson(**plan, {.tensors = true, .tried = true}),
            PlanJson(RichPlan(), {.tensors = true, .tried = true}));
}

TEST(Encode, KeepsSizesThatARunFindsAndAsksForAReaderThatKnowsThem) {
  const auto first = EncodeOrDie(CountingPlan());
  const Tensor file = AlignedCopy(first);
  auto plan = Decode(file.bytes(), nullptr);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(EncodeOrDie(**plan), first);
  EXPECT_EQ((*plan)->counts[0].name, "find/y:1");
  EXPECT_EQ((*plan)->steps[0].counts, (std::vector<uint32_t>{0}));
  EXPECT_NE(PlanText(**plan).find("find/y:1 in [0, 32], found by a run"), std::string::npos);
  EXPECT_EQ(ReadContainerHeader(file.bytes(), file.bytes().size())->minimum_reader, 2u);
  EXPECT_EQ(ReadContainerHeader(EncodeOrDie(SmallPlan()), std::nullopt)->minimum_reader, 1u);
}

TEST(Encode, KeepsGuardsAndAsksForAReaderThatKnowsThem) {
  const auto first = EncodeOrDie(GuardedPlan());
  const Tensor file = AlignedCopy(first);
  auto plan = Decode(file.bytes(), nullptr);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(EncodeOrDie(**plan), first);
  EXPECT_EQ((*plan)->steps[0].guards, (std::vector<Guard>{{1, true}}));
  EXPECT_EQ((*plan)->steps[1].guards, (std::vector<Guard>{{1, false}}));
  EXPECT_TRUE((*plan)->steps[2].guards.empty());
  EXPECT_NE(PlanText(**plan, {.steps = true}).find("when=!%1:bool[]"), std::string::npos);
  EXPECT_EQ(ReadContainerHeader(file.bytes(), file.bytes().size())->minimum_reader, 2u);
}

TEST(Encode, KeepsThatChannelsAreLastAndCostsNothingElsewhere) {
  Plan plan = SmallPlan();
  plan.dims.push_back({DimOp::kConstant, 1, 0});
  plan.tensors[testing::kX].shape = plan.tensors[testing::kY].shape = {0, 1, 2};
  const auto plain = EncodeOrDie(plan);
  plan.outputs[0].channels_last = true;
  const Tensor file = AlignedCopy(EncodeOrDie(plan));
  auto back = Decode(file.bytes(), nullptr);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_FALSE((*back)->inputs[0].channels_last);
  EXPECT_TRUE((*back)->outputs[0].channels_last);
  EXPECT_NE(PlanText(**back).find("f32[batch,4,1] (channels last)"), std::string::npos);
  plan.outputs[0].channels_last = false;
  EXPECT_EQ(EncodeOrDie(plan), plain);
}

TEST(Encode, HeaderAnswersWithoutTheRest) {
  const auto bytes = EncodeOrDie(SmallPlan());
  auto header = ReadHeader(std::span(bytes).first(kHeaderBytes), bytes.size());
  ASSERT_TRUE(header.ok()) << header.status().ToString();
  EXPECT_EQ(header->model_name, "small");
  EXPECT_EQ(header->inputs[0].shape, "[batch,4]");
  EXPECT_EQ(header->outputs[0].name, "y");
  EXPECT_EQ(header->symbols[0].max, 8);
  EXPECT_EQ(header->buckets[1].p99_us, 4);
  EXPECT_EQ(header->context_bytes(), 3u * 128);
  EXPECT_TRUE(header->verified);
  EXPECT_NE(HeaderText(*header).find("small"), std::string::npos);
  EXPECT_NE(HeaderJson(*header).find("\"file_sha256\""), std::string::npos);
}

TEST(Encode, KeepsTheLevelThatKernelsWereChosenFor) {
  Plan plan = SmallPlan();
  const auto unsaid = ReadHeader(EncodeOrDie(plan));
  ASSERT_TRUE(unsaid.ok()) << unsaid.status().ToString();
  EXPECT_EQ(unsaid->available_isa, unsaid->isa);
  plan.target = {"cpu", 2, 5};
  const auto bytes = EncodeOrDie(plan);
  const auto header = ReadHeader(bytes);
  ASSERT_TRUE(header.ok()) << header.status().ToString();
  EXPECT_EQ(header->isa, 2);
  EXPECT_EQ(header->available_isa, 5);
  EXPECT_NE(HeaderText(*header).find("avx512 (kernels chosen for amx)"), std::string::npos);
  const Tensor file = AlignedCopy(bytes);
  const auto decoded = Decode(file.bytes(), nullptr);
  ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
  EXPECT_EQ((*decoded)->target.available_isa, 5);
  plan.target = {"cpu", 5, 2};
  EXPECT_FALSE(Encode(plan).ok()) << "chosen for less than they need";
}

TEST(Encode, APlanForAGpuComesBackWhole) {
  const auto first = EncodeOrDie(GpuPlan());
  const Tensor file = AlignedCopy(first);
  auto plan = Decode(file.bytes(), nullptr);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(EncodeOrDie(**plan), first);
  EXPECT_EQ((*plan)->target.gpu, GpuPlan().target.gpu);
  for (size_t i = 0; i < 3; ++i) {
    const Step &got = (*plan)->steps[i], want = GpuPlan().steps[i];
    EXPECT_EQ(got.device, want.device) << i;
    EXPECT_EQ(got.config, want.config) << i;
    ASSERT_EQ(got.bucket_tactics.size(), want.bucket_tactics.size()) << i;
    for (size_t t = 0; t < want.bucket_tactics.size(); ++t) {
      EXPECT_EQ(got.bucket_tactics[t].bucket, want.bucket_tactics[t].bucket);
      EXPECT_EQ(got.bucket_tactics[t].kernel, want.bucket_tactics[t].kernel);
      EXPECT_EQ(got.bucket_tactics[t].config, want.bucket_tactics[t].config);
    }
  }
}

TEST(Encode, EqualConfigurationsAreStoredAndDecodedOnce) {
  const auto bytes = EncodeOrDie(GpuPlan());
  const auto header = ReadHeader(bytes);
  ASSERT_TRUE(header.ok()) << header.status().ToString();
  EXPECT_EQ(header->vendor_bytes, 4u);
  const Tensor file = AlignedCopy(bytes);
  const auto plan = Decode(file.bytes(), nullptr).value();
  EXPECT_EQ(plan->steps[0].config.data(), plan->steps[1].bucket_tactics[0].config.data());
}

TEST(Encode, HeaderSaysWhatAGpuPlanNeeds) {
  const auto header = ReadHeader(EncodeOrDie(GpuPlan()));
  ASSERT_TRUE(header.ok()) << header.status().ToString();
  EXPECT_EQ(header->gpu, GpuPlan().target.gpu);
  EXPECT_EQ(header->host_step_count, 1u);
  const std::string text = HeaderText(*header);
  EXPECT_NE(text.find("NVIDIA H200, compute capability 9.0"), std::string::npos) << text;
  EXPECT_NE(text.find("cublaslt at exactly 130100"), std::string::npos) << text;
  EXPECT_NE(text.find("1 of 3 run on the CPU"), std::string::npos) << text;
  const std::string plan = PlanText(GpuPlan());
  EXPECT_NE(plan.find("at batch=1: abs_cuda.1 config=1 B"), std::string::npos) << plan;
  EXPECT_NE(plan.find("on the host"), std::string::npos) << plan;
}

TEST(Encode, APlanWithoutConfigurationsHasNoVendorSection) {
  const auto header = ReadHeader(EncodeOrDie(RichPlan()));
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->sections.size(), 4u);
  EXPECT_EQ(header->vendor_bytes, 0u);
}

TEST(Encode, LongListsAndNamesAreCutToTheHeaderAndCounted) {
  Plan plan = SmallPlan();
  plan.provenance.model_name = std::string(5000, 'm');
  for (int64_t i = 0; i < 300; ++i)
    plan.buckets.insert(plan.buckets.begin(), {{1 + i % 8}, 64, {}});
  const auto bytes = EncodeOrDie(plan);
  auto header = ReadHeader(bytes);
  ASSERT_TRUE(header.ok()) << header.status().ToString();
  EXPECT_EQ(header->bucket_count, 302u);
  EXPECT_GE(header->buckets.size(), 8u);
  EXPECT_LT(header->buckets.size(), 302u);
  EXPECT_LT(header->model_name.size(), 300u);
}

TEST(Encode, TheLargestGpuTargetFitsTheHeader) {
  Plan plan = GpuPlan();
  plan.target.gpu.name.assign(kMaxGpuNameBytes, 'g');
  plan.target.gpu.libraries.clear();
  for (size_t i = 0; i < kMaxLibraries; ++i) {
    plan.target.gpu.libraries.push_back(
        {std::string(kMaxLibraryNameBytes - 1, 'l') + static_cast<char>('a' + i), UINT64_MAX});
  }
  plan.provenance.model_name = std::string(5000, 'm');
  const auto header = ReadHeader(EncodeOrDie(plan));
  ASSERT_TRUE(header.ok()) << header.status().ToString();
  EXPECT_EQ(header->gpu, plan.target.gpu);
}

TEST(Encode, RefusesAnInvalidPlan) {
  Plan plan = SmallPlan();
  plan.tensors[0].offset = 4;
  auto bytes = Encode(plan);
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.status().code(), StatusCode::kInternal);
}

TEST(Encode, DigestTreeCoversSectionsLongerThanAChunk) {
  Plan plan = SmallPlan();
  TensorView view;
  auto weights =
      Tensor::Allocate(DType::kU8, Shape{3 * static_cast<int64_t>(kChunkBytes) + 64}, &view);
  ASSERT_TRUE(weights.ok());
  plan.weights = weights->bytes();
  auto bytes = EncodeOrDie(plan);
  EXPECT_TRUE(Decode(AlignedCopy(bytes).bytes(), nullptr).ok());
  bytes[bytes.size() - 4096 - 1] ^= std::byte{4};  // in the last chunk but one page
  const auto damaged = Decode(AlignedCopy(bytes).bytes(), nullptr);
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.status().code(), StatusCode::kDataLoss);
}

// An optional section of a later format is skipped, a required one refused: same bytes but for one
// flag.
TEST(Decode, SkipsUnknownOptionalSectionsAndRefusesRequiredOnes) {
  const auto plain = EncodeOrDie(SmallPlan());
  auto header = ReadContainerHeader(plain, plain.size());
  ASSERT_TRUE(header.ok());
  for (bool required : {false, true}) {
    std::vector<SectionBytes> sections;
    for (const SectionInfo& s : header->sections) {
      sections.push_back({static_cast<SectionType>(s.type), s.required,
                          std::span(plain).subspan(s.offset, s.length)});
    }
    const std::byte extra[3] = {};
    sections.push_back({static_cast<SectionType>(77), required, extra});
    const auto bytes = BuildContainer(sections, header->summary);
    auto plan = Decode(AlignedCopy(bytes).bytes(), nullptr);
    EXPECT_EQ(plan.ok(), !required);
    EXPECT_EQ(plan.status().code(), required ? StatusCode::kFailedPrecondition : StatusCode::kOk);
  }
}

}  // namespace
}  // namespace fusee::plan
