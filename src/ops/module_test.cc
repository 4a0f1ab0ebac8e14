// The kernels that libfusee_cuda.so brings keep the rules of the registry, and refuse at bind what
// no kernel could run. Needs the module, no device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <iterator>
#include <set>
#include <string>

#include "ops/kernel.h"
#include "ops/module.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

class CudaModule : public testing::Test {
 protected:
  void SetUp() override {
    const Result<const DeviceModule*> loaded = LoadDeviceModule(DeviceKind::kCuda);
    if (loaded.status().code() == StatusCode::kUnavailable)
      GTEST_SKIP() << loaded.status().ToString();
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    kernels_ = (*loaded)->kernels->all();
    ASSERT_FALSE(kernels_.empty());
  }
  std::span<const KernelDef* const> kernels_;
};

TEST_F(CudaModule, KernelsImplementOperatorsThatTheCpuHasAReferenceFor) {
  for (const KernelDef* kernel : kernels_) {
    const OpDef* op = FindOp(kernel->op);
    ASSERT_NE(op, nullptr) << kernel->id << " implements the unknown operator " << kernel->op;
    EXPECT_NE(op->infer, nullptr) << kernel->id;
    EXPECT_FALSE(KernelsFor(kernel->op).empty())
        << kernel->id << " has nothing to be compared with";
    EXPECT_TRUE(kernel->bind) << kernel->id;
  }
}

TEST_F(CudaModule, KernelsSayThatTheyAreTheDevices) {
  for (const KernelDef* kernel : kernels_) {
    EXPECT_EQ(kernel->device, DeviceKind::kCuda) << kernel->id;
    EXPECT_FALSE(kernel->reference) << kernel->id << ": references are the CPU's";
    EXPECT_GE(kernel->compute_capability, 75) << kernel->id;
  }
}

TEST_F(CudaModule, KernelIdsAreUniqueEverywhereAndEndInAVersion) {
  std::set<std::string_view> ids;
  for (const KernelDef* kernel : kernels_) {
    EXPECT_TRUE(ids.insert(kernel->id).second) << kernel->id << " is there twice";
    EXPECT_EQ(FindKernel(kernel->id), nullptr) << kernel->id << " is also the CPU's";
    EXPECT_THAT(std::string(kernel->id), testing::MatchesRegex("[a-z0-9_]+\\.[0-9]+"));
  }
}

TEST_F(CudaModule, BindRefusesStepsWithoutOperands) {
  const Attrs none;
  for (const KernelDef* kernel : kernels_) {
    EXPECT_FALSE(kernel->bind({.op = kernel->op, .attrs = &none}).ok()) << kernel->id;
  }
}

TEST_F(CudaModule, BindRefusesAbsentOperandsAndResults) {
  const Attrs none;
  const std::array<TensorSpec, 4> absent{};
  for (const KernelDef* kernel : kernels_) {
    for (size_t inputs = 1; inputs <= absent.size(); ++inputs) {
      const StepSpec spec{.op = kernel->op,
                          .attrs = &none,
                          .inputs = std::span(absent).first(inputs),
                          .outputs = std::span(absent).first(1)};
      EXPECT_FALSE(kernel->bind(spec).ok()) << kernel->id << " of " << inputs << " absent operands";
    }
  }
}

// Every combination of operand types, with and without dims that no operator has.
TEST_F(CudaModule, BindRefusesWhatTheReferenceRefuses) {
  const Attrs none;
  const TensorSpec choices[] = {{DType::kF32, {2, 3}, true},
                                {DType::kI64, {2, 3}, true},
                                {DType::kBool, {}, true},
                                {DType::kU16, {1, 2, 3, 4, 5, 6, 7, 8}, true},
                                {}};
  constexpr size_t kChoices = std::size(choices);
  for (const KernelDef* kernel : kernels_) {
    const KernelDef* reference = KernelsFor(kernel->op).back();
    for (size_t pick = 0; pick < kChoices * kChoices * kChoices * kChoices; ++pick) {
      const std::array<TensorSpec, 4> specs{
          choices[pick % kChoices], choices[pick / kChoices % kChoices],
          choices[pick / kChoices / kChoices % kChoices],
          choices[pick / kChoices / kChoices / kChoices % kChoices]};
      for (size_t inputs = 1; inputs <= 3; ++inputs) {
        for (const size_t dims : {size_t{0}, size_t{1000}}) {
          const StepSpec spec{.op = kernel->op,
                              .attrs = &none,
                              .inputs = std::span(specs).first(inputs),
                              .outputs = std::span(specs).last(1),
                              .dim_count = dims};
          if (!kernel->bind(spec).ok()) continue;
          const Status want = reference->bind(spec).status();
          ASSERT_TRUE(want.ok()) << kernel->id << " takes " << inputs << " operands of pick "
                                 << pick << " and " << dims << " dims: " << want.ToString();
        }
      }
    }
  }
}

}  // namespace
}  // namespace fusee::ops
