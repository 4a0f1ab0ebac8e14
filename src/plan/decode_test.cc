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
using testing::RichPlan;

std::vector<std::byte> Sample() { return Encode(RichPlan()).value(); }

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
  const std::vector<std::byte> original = Sample();
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

TEST(Check, JudgesFromTheHeader) {
  const auto bytes = Sample();
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
