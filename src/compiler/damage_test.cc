// A real plan, damaged in every way a disk or a network damages files: no single-bit flip and no
// truncation of the digits plan may load, and nothing may crash (the suite also runs under
// AddressSanitizer).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "compiler/build.h"
#include "runtime/runtime.h"
#include "tensor/random.h"

namespace fusee::compiler {
namespace {

constexpr uint64_t kFlips = 10000;
constexpr uint64_t kSeed = 20261123;

class DamagedPlan : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    BuildOptions options;
    options.profiles["image"].shapes = {{1, 1, 8, 8}, {8, 1, 8, 8}, {32, 1, 8, 8}};
    options.measure = false;
    auto built = Build(FUSEE_SOURCE_DIR "/examples/digits/digits.onnx", options);
    ASSERT_TRUE(built.ok()) << built.status().ToString();
    bytes_ = new std::vector<std::byte>(std::move(built->bytes));
  }
  static void TearDownTestSuite() {
    delete bytes_;
    bytes_ = nullptr;
  }
  static Status Load(std::span<const std::byte> bytes) {
    auto plan = runtime::LoadedPlan::FromBytes(bytes, nullptr);
    return plan.ok() ? OkStatus() : std::move(plan).status();
  }
  static std::vector<std::byte>* bytes_;
};
std::vector<std::byte>* DamagedPlan::bytes_ = nullptr;

TEST_F(DamagedPlan, IsWholeBefore) {
  const Status status = Load(*bytes_);
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST_F(DamagedPlan, EverySampledBitFlipIsRefused) {
  std::vector<std::byte> copy = *bytes_;
  for (uint64_t i = 0; i < kFlips; ++i) {
    const uint64_t bit = RandomBits(kSeed, 0, i) % (copy.size() * 8);
    const auto mask = static_cast<std::byte>(1u << (bit % 8));
    copy[bit / 8] ^= mask;
    ASSERT_FALSE(Load(copy).ok()) << "bit " << bit << " of the plan (seed " << kSeed << ")";
    copy[bit / 8] ^= mask;
  }
}

TEST_F(DamagedPlan, EveryTruncationIsRefused) {
  for (size_t n = 0; n < bytes_->size(); ++n) {
    ASSERT_FALSE(Load(std::span(*bytes_).first(n)).ok())
        << n << " of " << bytes_->size() << " bytes";
  }
}

TEST_F(DamagedPlan, TrailingBytesAreRefused) {
  std::vector<std::byte> longer = *bytes_;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(Load(longer).ok());
}

}  // namespace
}  // namespace fusee::compiler
