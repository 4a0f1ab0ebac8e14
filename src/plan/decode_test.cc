// Damage and malice. Damage: every bit flip and truncation is refused by digests before anything is
// used. Malice: the same changes with the digests made right again must end in a plan that passed
// the verifier, or an error.
#include "plan/decode.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/check.h"
#include "plan/container.h"
#include "plan/encode.h"
#include "plan/plan_test_util.h"
#include "plan/print.h"
#include "plan/verify.h"
#include "plan_schema_generated.h"

namespace fusee::plan {
namespace {

using testing::AlignedCopy;
using testing::GpuPlan;
using testing::RichPlan;

// Of a plan for a GPU, which has every kind of section.
std::vector<std::byte> Sample() { return Encode(GpuPlan()).value(); }
std::vector<std::byte> CpuSample() { return Encode(RichPlan()).value(); }

class Damaged : public ::testing::Test {
 protected:
  Damaged() : file_(AlignedCopy(Sample())) {}
  std::span<std::byte> bytes() {
    return {const_cast<std::byte*>(file_.bytes().data()), file_.bytes().size()};
  }
  void Flip(size_t bit) { bytes()[bit / 8] ^= std::byte{static_cast<uint8_t>(1u << (bit % 8))}; }
  Tensor file_;
};

TEST_F(Damaged, EveryBitFlipIsRefused) {
  ASSERT_TRUE(Decode(bytes(), nullptr).ok());
  const size_t bits = bytes().size() * 8;
  constexpr uint64_t kSeed = 11;
  constexpr int kFlips = 10000;
  for (int i = 0; i < kFlips; ++i) {
    const size_t bit = RandomBits(kSeed, 0, static_cast<uint64_t>(i)) % bits;
    Flip(bit);
    EXPECT_FALSE(Decode(bytes(), nullptr).ok()) << "seed " << kSeed << ", bit " << bit;
    Flip(bit);
  }
  // Every bit of the header page, whose fields are read first; and of the padding between sections.
  for (size_t bit = 0; bit < kHeaderBytes * 8; ++bit) {
    Flip(bit);
    ASSERT_FALSE(ReadHeader(bytes()).ok()) << "bit " << bit;
    Flip(bit);
  }
  EXPECT_TRUE(Decode(bytes(), nullptr).ok());
}

TEST_F(Damaged, EveryTruncationAndExtensionIsRefused) {
  for (size_t size = 0; size < bytes().size(); ++size) {
    // A copy of exactly that size, so that a sanitizer sees any read behind it; near the page ends
    // and now and then.
    if (size % 4096 > 2 && size % 97 != 0) {
      ASSERT_FALSE(Decode(bytes().first(size), nullptr).ok()) << size;
    } else {
      const Tensor cut = AlignedCopy(bytes().first(size));
      ASSERT_FALSE(Decode(cut.bytes(), nullptr).ok()) << size;
    }
  }
  std::vector<std::byte> longer(bytes().begin(), bytes().end());
  longer.push_back(std::byte{0});
  const auto result = Decode(AlignedCopy(longer).bytes(), nullptr);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kDataLoss);
}

TEST_F(Damaged, NamesWhatIsWrong) {
  EXPECT_NE(Decode({}, nullptr).status().message().find("truncated"), std::string::npos);
  Flip(0);
  EXPECT_NE(Decode(bytes(), nullptr).status().message().find("not a plan"), std::string::npos);
  Flip(0);
  Flip((bytes().size() - 1) * 8);
  EXPECT_NE(Decode(bytes(), nullptr).status().message().find("weights"), std::string::npos);
}

// Whatever survives the decoder must satisfy the verifier and print.
void DecodeHostile(std::span<const std::byte> bytes) {
  auto plan = Decode(bytes, nullptr);
  if (!plan.ok()) {
    EXPECT_FALSE(plan.status().message().empty());
    return;
  }
  EXPECT_TRUE(Verify(**plan).ok());
  EXPECT_FALSE(PlanText(**plan, {.tensors = true, .tried = true}).empty());
}

TEST_F(Damaged, ResealedChangesNeverCrash) {
  const std::vector<std::byte> original(bytes().begin(), bytes().end());
  auto header = ReadContainerHeader(original, original.size());
  ASSERT_TRUE(header.ok());
  constexpr uint64_t kSeed = 12;
  int survived = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    std::ranges::copy(original, bytes().begin());
    const uint64_t changes = 1 + RandomBits(kSeed, 1, i) % 4;
    for (uint64_t c = 0; c < changes; ++c) {
      const uint64_t draw = RandomBits(kSeed, 2 + c, i);
      const SectionInfo& s = header->sections[draw % header->sections.size()];
      const uint64_t at = s.offset + (draw >> 8) % s.length;
      constexpr uint8_t kValues[] = {0, 1, 4, 0x7f, 0x80, 0xff};
      bytes()[at] = (draw >> 40) % 2 == 0
                        ? std::byte{kValues[(draw >> 48) % 6]}
                        : bytes()[at] ^ std::byte{static_cast<uint8_t>(1u << ((draw >> 48) % 8))};
    }
    ASSERT_TRUE(Reseal(bytes()));
    DecodeHostile(bytes());
    survived += Decode(bytes(), nullptr).ok() ? 1 : 0;
  }
  EXPECT_GT(survived, 0) << "no change reached the end: the test does not test what it says";
  EXPECT_LT(survived, 20000);
}

TEST_F(Damaged, ResealedHeaderChangesNeverCrash) {
  const std::vector<std::byte> original(bytes().begin(), bytes().end());
  for (uint64_t i = 0; i < 20000; ++i) {
    std::ranges::copy(original, bytes().begin());
    const uint64_t draw = RandomBits(13, 0, i);
    bytes()[8 + draw % 1200] = static_cast<std::byte>(draw >> 32);
    if (!Reseal(bytes())) continue;
    if (auto h = ReadHeader(bytes()); h.ok()) {
      EXPECT_FALSE(HeaderText(*h).empty());
      EXPECT_FALSE(CheckText(Check(*h, {})).empty());
    }
    DecodeHostile(bytes());
  }
}

// One long name that thousands of tensors refer to: a small file that would unfold into a large
// plan.
TEST(Decode, RefusesASectionThatUnfoldsToMoreThanItself) {
  const std::vector<std::byte> original = CpuSample();
  const ContainerHeader header = ReadContainerHeader(original, original.size()).value();
  flatbuffers::FlatBufferBuilder b;
  const auto name = b.CreateString(std::string(4000, 'x'));
  std::vector<flatbuffers::Offset<fb::Tensor>> tensors;
  for (int i = 0; i < 1000; ++i) tensors.push_back(fb::CreateTensor(b, name));
  const auto list = b.CreateVector(tensors);
  fb::ProgramBuilder program(b);
  program.add_tensors(list);
  b.Finish(program.Finish());
  std::vector<SectionBytes> sections;
  for (const SectionInfo& s : header.sections) {
    sections.push_back({static_cast<SectionType>(s.type), s.required,
                        std::span(original).subspan(s.offset, s.length)});
  }
  sections[0].bytes = std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize()));
  const auto plan = Decode(AlignedCopy(BuildContainer(sections, header.summary)).bytes(), nullptr);
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.status().message().find("unfolds"), std::string::npos) << plan.status().message();
}

TEST(Decode, RunnerDoesNotChangeTheResult) {
  const Tensor file = AlignedCopy(Sample());
  int calls = 0;
  const TaskRunner backwards{
      [](void* self, int64_t count, void (*task)(void*, int64_t), void* context) {
        ++*static_cast<int*>(self);
        for (int64_t i = count; i-- > 0;) task(context, i);
      },
      &calls};
  EXPECT_TRUE(Decode(file.bytes(), nullptr, backwards).ok());
  EXPECT_EQ(calls, 1);
}

// One file whose program is replaced by what `build` makes.
std::vector<std::byte> WithProgram(flatbuffers::FlatBufferBuilder& b) {
  const std::vector<std::byte> original = Sample();
  const ContainerHeader header = ReadContainerHeader(original, original.size()).value();
  std::vector<SectionBytes> sections;
  for (const SectionInfo& s : header.sections) {
    sections.push_back({static_cast<SectionType>(s.type), s.required,
                        std::span(original).subspan(s.offset, s.length)});
  }
  sections[0].bytes = std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize()));
  return BuildContainer(sections, header.summary);
}

std::string RefusalOfPieces(const std::vector<fb::Piece>& pieces) {
  flatbuffers::FlatBufferBuilder b;
  const auto device = b.CreateString("cuda");
  const auto configs = b.CreateVectorOfStructs(pieces);
  fb::ProgramBuilder program(b);
  program.add_device(device);
  program.add_configs(configs);
  b.Finish(program.Finish());
  const auto plan = Decode(AlignedCopy(WithProgram(b)).bytes(), nullptr);
  return plan.ok() ? "" : plan.status().message();
}

TEST(Decode, RefusesConfigurationsThatDoNotFillTheirSection) {
  // GpuPlan's vendor section has 3 + 1 bytes.
  for (const auto& pieces : std::vector<std::vector<fb::Piece>>{{},
                                                                {{0, 3}},
                                                                {{0, 3}, {3, 2}},
                                                                {{0, 3}, {2, 2}},
                                                                {{1, 3}},
                                                                {{0, 3}, {3, 0}, {3, 1}},
                                                                {{0, UINT64_MAX}},
                                                                {{0, 3}, {3, 1}, {4, 1}}}) {
    EXPECT_NE(RefusalOfPieces(pieces).find("'vendor'"), std::string::npos)
        << pieces.size() << " pieces: " << RefusalOfPieces(pieces);
  }
  EXPECT_EQ(RefusalOfPieces({{0, 3}, {3, 1}}).find("'vendor'"), std::string::npos);
}

TEST(Decode, RefusesAStepThatNamesNoConfiguration) {
  flatbuffers::FlatBufferBuilder b;
  const auto device = b.CreateString("cuda");
  const auto configs = b.CreateVectorOfStructs(std::vector<fb::Piece>{{0, 3}, {3, 1}});
  fb::StepBuilder step(b);
  step.add_config(3);  // 1 and 2 exist
  std::vector<flatbuffers::Offset<fb::Step>> list = {step.Finish()};
  const auto steps = b.CreateVector(list);
  fb::ProgramBuilder program(b);
  program.add_device(device);
  program.add_configs(configs);
  program.add_steps(steps);
  b.Finish(program.Finish());
  const auto plan = Decode(AlignedCopy(WithProgram(b)).bytes(), nullptr);
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.status().message().find("configuration that is not there"), std::string::npos)
      << plan.status().message();
}

// The header of GpuPlan, and the machine it was made on.
struct GpuCheck {
  Header header = ReadHeader(Sample()).value();
  HostFacts host;
  GpuCheck() {
    GpuFacts gpu;
    gpu.name = "NVIDIA H200";
    gpu.compute_capability = 90;
    gpu.multiprocessors = 132;
    gpu.driver_version = 13000;
    gpu.memory_bytes = uint64_t{1} << 30;
    gpu.libraries = {{"cublaslt", 130100}, {"cudnn", 91400}};
    host.gpu = gpu;
  }
  CheckReport Run() const { return Check(header, host); }
};

void ExpectOne(const CheckReport& report, Verdict verdict, std::string_view field,
               std::string_view need, std::string_view have) {
  EXPECT_EQ(report.verdict, verdict) << CheckText(report);
  ASSERT_EQ(report.findings.size(), 1u) << CheckText(report);
  EXPECT_EQ(report.findings[0].field, field);
  EXPECT_EQ(report.findings[0].need, need);
  EXPECT_EQ(report.findings[0].have, have);
  EXPECT_FALSE(report.findings[0].remedy.empty());
}

TEST(CheckGpu, AcceptsTheMachineItWasMadeOn) {
  const GpuCheck check;
  EXPECT_EQ(check.Run().verdict, Verdict::kOk) << CheckText(check.Run());
}

TEST(CheckGpu, NamesTheReasonWhenThereIsNoGpu) {
  GpuCheck check;
  check.host.gpu.reset();
  check.host.no_gpu_reason = "no driver";
  ExpectOne(check.Run(), Verdict::kIncompatible, "target.device", "cuda", "no driver");
}

TEST(CheckGpu, WantsTheDriverOrANewerOne) {
  GpuCheck check;
  check.host.gpu->driver_version = 12080;
  ExpectOne(check.Run(), Verdict::kIncompatible, "target.driver", "CUDA 13.0 or newer",
            "CUDA 12.8");
  check.host.gpu->driver_version = 13010;
  EXPECT_EQ(check.Run().verdict, Verdict::kOk);
}

TEST(CheckGpu, WantsLibrariesAtExactlyTheirVersion) {
  GpuCheck check;
  check.host.gpu->libraries[1].version = 91900;
  ExpectOne(check.Run(), Verdict::kIncompatible, "target.library", "cudnn 91400", "cudnn 91900");
  check.host.gpu->libraries.pop_back();
  ExpectOne(check.Run(), Verdict::kIncompatible, "target.library", "cudnn 91400", "no cudnn");
}

TEST(CheckGpu, AnotherGpuOfTheSameKindRunsItTunedForTheFirst) {
  GpuCheck check;
  check.host.gpu->name = "NVIDIA H100";
  ExpectOne(check.Run(), Verdict::kOkButRetune, "target.gpu", "NVIDIA H200", "NVIDIA H100");
}

TEST(CheckGpu, MultiprocessorsAreHardWhereALibraryIsPinned) {
  GpuCheck check;
  check.host.gpu->multiprocessors = 114;
  ExpectOne(check.Run(), Verdict::kIncompatible, "target.multiprocessors", "132", "114");
  check.header.gpu.libraries.clear();
  ExpectOne(check.Run(), Verdict::kOkButRetune, "target.multiprocessors", "132", "114");
  check.host.gpu->multiprocessors = 132;
}

TEST(CheckGpu, KernelsAreOfOneArchitecture) {
  GpuCheck check;
  for (int32_t other : {80, 100}) {
    check.host.gpu->compute_capability = other;
    ExpectOne(check.Run(), Verdict::kIncompatible, "target.compute_capability", "90",
              std::to_string(other));
  }
}

TEST(CheckGpu, ComparesTheGpusMemory) {
  GpuCheck check;
  check.host.gpu->memory_bytes = 100;
  EXPECT_EQ(check.Run().findings[0].field, "gpu.memory");
  check.host.gpu->memory_bytes = 0;  // unknown
  EXPECT_EQ(check.Run().verdict, Verdict::kOk);
}

TEST(Check, JudgesFromTheHeader) {
  const auto bytes = CpuSample();
  Header header = ReadHeader(bytes).value();
  EXPECT_EQ(Check(header, {.isa = 1}).verdict, Verdict::kOk);
  EXPECT_EQ(Check(header, {.isa = 3}).verdict, Verdict::kOkButRetune);
  header.figures_from_lockfile = true;  // as in every plan: no finding by itself
  EXPECT_EQ(Check(header, {.isa = 1}).verdict, Verdict::kOk);
  header.available_isa = 3;  // built for vnni, where avx2 kernels were found the fastest
  EXPECT_EQ(Check(header, {.isa = 3}).verdict, Verdict::kOk);
  EXPECT_EQ(Check(header, {.isa = 2}).verdict, Verdict::kOk) << "kernels need no more than avx2";
  const CheckReport newer = Check(header, {.isa = 5});
  EXPECT_EQ(newer.verdict, Verdict::kOkButRetune);
  ASSERT_EQ(newer.findings.size(), 1u);
  EXPECT_EQ(newer.findings[0].field, "target.available_isa");
  EXPECT_EQ(newer.findings[0].need, "vnni");
  EXPECT_EQ(newer.findings[0].have, "amx");
  header.isa = 4;
  const CheckReport report = Check(header, {.isa = 2});
  EXPECT_EQ(report.verdict, Verdict::kIncompatible);
  EXPECT_EQ(report.findings[0].field, "target.isa");
  EXPECT_EQ(report.findings[0].need, "bf16");
  EXPECT_EQ(report.findings[0].have, "avx512");
  EXPECT_EQ(report.findings[0].remedy, "rebuild with fusee build --isa avx512");
  EXPECT_NE(CheckJson(report).find("\"remedy\""), std::string::npos);
  const CheckReport elsewhere = Check(header, {.device = "gpu", .isa = 4});
  EXPECT_EQ(elsewhere.verdict, Verdict::kIncompatible);
  EXPECT_EQ(elsewhere.findings[0].field, "target.device");
  EXPECT_EQ(elsewhere.findings[0].remedy.find("--"), std::string::npos) << "names no option";
  EXPECT_EQ(Check(header, {.isa = 4, .memory_bytes = 100}).verdict, Verdict::kIncompatible);
}

}  // namespace
}  // namespace fusee::plan
