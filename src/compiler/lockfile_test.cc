#include "compiler/lockfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fusee::compiler {
namespace {

Lockfile Sample() {
  Lockfile lock;
  lock.builder_version = "0.1.0";
  lock.model_digest = std::string(64, 'a');
  lock.options = "profile x:[1x3][4x3];";
  lock.isa = Isa::kAvx512;
  lock.tactics = {{"y", "relu_f32_cpu.1"}, {"quote\"d\n", "add_ref.1"}};
  lock.latencies = {{1000, 1.5, 2.25, 3.125, 4, 0.1 + 0.2}};
  lock.certificate.verified = true;
  lock.certificate.rtol = 1e-3;
  lock.certificate.corners = {{{1}, Fill::kTiny, "y", false, 30, 1.0 / 3, 1e-300, 7.25}};
  Sha256Digest digest{};
  digest[0] = std::byte{0xfe};
  digest[31] = std::byte{0x01};
  lock.certificate.golden = {{{4}, Fill::kUniform, 2026, {digest}}};
  return lock;
}

TEST(Lockfile, ReadsBackExactlyWhatItWrote) {
  const std::string text = WriteLockfile(Sample());
  auto lock = ReadLockfile(text);
  ASSERT_TRUE(lock.ok()) << lock.status().ToString();
  EXPECT_EQ(WriteLockfile(*lock), text);
  EXPECT_EQ(lock->tactics, Sample().tactics);
  EXPECT_EQ(lock->latencies[0].max_us, 0.1 + 0.2);
  EXPECT_EQ(lock->certificate.corners[0].max_abs_error, 1.0 / 3);
  EXPECT_EQ(lock->certificate.corners[0].max_abs_value, 7.25);
  EXPECT_EQ(lock->certificate.golden[0].output_digests,
            Sample().certificate.golden[0].output_digests);
}

// Of a build for a GPU: configurations that steps share, times.
Lockfile TunedSample() {
  Lockfile lock = Sample();
  lock.device = "cuda";
  lock.gpu = {"NVIDIA H200", 90, 132, 13000, {{"cublaslt", 130100}, {"cudnn", 91400}}};
  const plan::ConfigBytes shared{std::byte{0xde}, std::byte{0xad}};
  lock.tuned["y"] = {shared,
                     {{0, "other_cuda.1", {}}, {2, "relu_cuda.1", {std::byte{7}}}},
                     {{"relu_cuda.1 [tile 64x64]", "chosen at batch=1", 1.0 / 3}}};
  lock.tuned["z"] = {shared, {}, {}};
  return lock;
}

TEST(Lockfile, TunedTacticsReadBackExactly) {
  const std::string text = WriteLockfile(TunedSample());
  EXPECT_EQ(text.find("dead"), text.rfind("dead")) << "equal configurations stand there once";
  const auto lock = ReadLockfile(text);
  ASSERT_TRUE(lock.ok()) << lock.status().ToString();
  EXPECT_EQ(WriteLockfile(*lock), text);
  EXPECT_EQ(lock->gpu, TunedSample().gpu);
  EXPECT_EQ(lock->tuned.at("y").config, TunedSample().tuned.at("y").config);
  ASSERT_EQ(lock->tuned.at("y").buckets.size(), 2u);
  EXPECT_EQ(lock->tuned.at("y").buckets[1].config, plan::ConfigBytes{std::byte{7}});
  EXPECT_EQ(lock->tuned.at("y").tried[0].time_us, 1.0 / 3);
}

TEST(Lockfile, RefusesConfigurationsThatAreNone) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"dead\"", "\"dea\""},
           {"\"dead\"", "\"dexd\""},
           {"\"dead\"", "\"\""},
           {"\"configuration\": 1", "\"configuration\": 3"},
           {"\"configuration\": 1", "\"configuration\": -1"},
           {"\"bucket\": 2", "\"bucket\": 0"}}) {
    std::string text = WriteLockfile(TunedSample());
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    EXPECT_FALSE(ReadLockfile(text).ok()) << from << " as " << to;
  }
}

TEST(Lockfile, EveryPrefixIsRefused) {
  const std::string text = WriteLockfile(TunedSample());
  for (size_t n = 0; n + 2 < text.size(); ++n) {
    EXPECT_FALSE(ReadLockfile(std::string_view(text).substr(0, n)).ok()) << n;
  }
}

TEST(Lockfile, NamesTheKeyThatIsWrong) {
  std::string text = WriteLockfile(Sample());
  text.replace(text.find("\"avx512\""), 8, "\"sse9\"");
  auto lock = ReadLockfile(text);
  ASSERT_FALSE(lock.ok());
  EXPECT_THAT(lock.status().message(), testing::HasSubstr("'isa'"));
}

TEST(CheckLockfileFits, SaysWhichFieldDiffersAndTheRemedy) {
  const Lockfile lock = Sample();
  EXPECT_TRUE(CheckLockfileFits(lock, "0.1.0", lock.model_digest, lock.options, 1).ok());
  const Status status = CheckLockfileFits(lock, "0.1.0", std::string(64, 'b'), lock.options, 1);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), testing::HasSubstr("model digest"));
  EXPECT_THAT(status.message(), testing::HasSubstr("without --locked"));
  EXPECT_FALSE(CheckLockfileFits(lock, "0.2.0", lock.model_digest, lock.options, 1).ok());
  EXPECT_FALSE(CheckLockfileFits(lock, "0.1.0", lock.model_digest, "", 1).ok());
  EXPECT_FALSE(CheckLockfileFits(lock, "0.1.0", lock.model_digest, lock.options, 2).ok());
}

}  // namespace
}  // namespace fusee::compiler
