// The CUDA device through its module, on a real GPU where there is one; what needs none runs
// everywhere the module is built.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <numeric>

#include "ops/module.h"
#include "tensor/random.h"

namespace fusee::cuda {
namespace {

using ops::DeviceModule;

// The module, or a skip with its reason.
class CudaModule : public ::testing::Test {
 protected:
  void SetUp() override {
    auto module = ops::LoadDeviceModule(DeviceKind::kCuda);
    if (!module.ok()) GTEST_SKIP() << module.status().message();
    module_ = *module;
  }
  const DeviceModule* module_ = nullptr;
};

class CudaGpu : public CudaModule {
 protected:
  void SetUp() override {
    CudaModule::SetUp();
    if (module_ == nullptr) return;
    const Result<int> count = module_->device_count();
    if (!count.ok()) GTEST_SKIP() << count.status().message();
    if (*count == 0) GTEST_SKIP() << "this machine has no GPU";
    auto device = module_->open(0);
    ASSERT_TRUE(device.ok()) << device.status().ToString();
    device_ = std::move(device).value();
    queue_ = std::move(device_->CreateQueue()).value();
  }
  void TearDown() override {
    queue_.reset();
    device_.reset();
  }
  std::unique_ptr<Device> device_;
  std::unique_ptr<DeviceQueue> queue_;
};

TEST_F(CudaModule, LoadsWithoutADriverAndIsOfThisBuild) {
  EXPECT_EQ(std::string_view(module_->build_id), ops::ModuleBuildId());
  EXPECT_EQ(module_->kind, DeviceKind::kCuda);
  EXPECT_FALSE(module_->kernels->all().empty());
  // Without a GPU this is an error with the driver's words, not an end of the program.
  const Result<int> count = module_->device_count();
  if (!count.ok()) {
    EXPECT_EQ(count.status().code(), StatusCode::kUnavailable) << count.status().ToString();
    EXPECT_EQ(module_->open(0).status().code(), StatusCode::kUnavailable);
  }
}

// A configuration of cuBLASLt as plans store it: 88 bytes of which the last 64 are the library's.
std::vector<std::byte> LtConfigOf(uint32_t flags) {
  const uint32_t head[] = {0x31544C46, flags};  // "FLT1"
  const uint64_t version = 130100;
  std::vector<std::byte> bytes(88);
  std::memcpy(bytes.data(), head, sizeof(head));
  std::memcpy(bytes.data() + sizeof(head), &version, sizeof(version));
  return bytes;
}

TEST_F(CudaModule, ConfigurationsThatRoundToTf32AreForStepsThatAllowItOnly) {
  const ops::KernelDef* kernel = module_->kernels->Find("matmul_cublaslt_cuda.1");
  ASSERT_NE(kernel, nullptr);
  constexpr uint32_t kTf32 = 4;
  const std::vector<std::byte> exact = LtConfigOf(0), rounded = LtConfigOf(kTf32);
  const auto bind = [&](DType dtype, const char* math, const std::vector<std::byte>& config) {
    Attrs attrs;
    if (*math != '\0') attrs.Set("math", math);
    const ops::TensorSpec matrix{dtype, Shape{8, 8}, true};
    const ops::TensorSpec inputs[] = {matrix, matrix};
    return kernel->bind({"MatMul", &attrs, inputs, {&matrix, 1}, 0, config}).status().code();
  };
  EXPECT_EQ(bind(DType::kF32, "", exact), StatusCode::kOk);
  EXPECT_EQ(bind(DType::kF32, "tf32", rounded), StatusCode::kOk);
  EXPECT_EQ(bind(DType::kF32, "", rounded), StatusCode::kInvalidArgument);
  EXPECT_EQ(bind(DType::kF32, "tf32", exact), StatusCode::kInvalidArgument);
  EXPECT_EQ(bind(DType::kF16, "", rounded), StatusCode::kInvalidArgument);
  EXPECT_EQ(bind(DType::kF16, "tf32", rounded), StatusCode::kInvalidArgument);
}

TEST_F(CudaGpu, DescribesItself) {
  const DeviceInfo& info = device_->info();
  EXPECT_GE(info.compute_capability, 75);
  EXPECT_GT(info.multiprocessors, 0);
  EXPECT_GT(info.memory_bytes, uint64_t{1} << 30);
  EXPECT_GT(info.driver_version, 12000);
  EXPECT_FALSE(module_->open(1000).ok());
}

TEST_F(CudaGpu, RefusesMoreMemoryThanThereIsAndGoesOn) {
  const auto huge = device_->Allocate(device_->info().memory_bytes * 2);
  EXPECT_EQ(huge.status().code(), StatusCode::kResourceExhausted) << huge.status().ToString();
  EXPECT_TRUE(device_->health().ok());
  EXPECT_TRUE(device_->Allocate(0).ok());
  EXPECT_TRUE(device_->Allocate(1000).ok());
  EXPECT_EQ(device_->allocated_bytes(), 0u) << "freed with their owners";
}

// Pieces of every alignment and of sizes around the kernel's packs and chunks, in one table.
TEST_F(CudaGpu, CopiesPiecesOfAnySizeAndAlignmentInsideAGraph) {
  const uint64_t sizes[] = {0, 1, 15, 16, 17, 255, 4096, 16383, 16384, 16385, 100000};
  const uint64_t shifts[] = {0, 1, 3, 8, 16};
  constexpr uint64_t kRoom = 131072;
  const uint64_t count = std::size(sizes) * std::size(shifts);
  auto source = std::move(device_->AllocateHost(count * kRoom)).value();
  auto target = std::move(device_->Allocate(count * kRoom)).value();
  auto back = std::move(device_->AllocateHost(count * kRoom)).value();
  auto table = std::move(device_->AllocateHost(2 * count * sizeof(DeviceQueue::Piece) + 8)).value();
  FillRandom({DType::kU8, Shape{static_cast<int64_t>(count * kRoom)}, source->host_data()},
             Fill::kUniform, /*seed=*/3, 0, 0, 255);
  auto* in = static_cast<DeviceQueue::Piece*>(table->host_data());
  auto* out = in + count;
  auto* counts = reinterpret_cast<uint32_t*>(out + count);
  const auto on_device = [&](const void* host) {
    return static_cast<const std::byte*>(table->device_data()) +
           (static_cast<const std::byte*>(host) -
            static_cast<const std::byte*>(table->host_data()));
  };
  const auto at = [](const DeviceMemory& memory, uint64_t offset) {
    return static_cast<std::byte*>(memory.device_data()) + offset;
  };
  ASSERT_TRUE(queue_->BeginCapture().ok());
  ASSERT_TRUE(queue_
                  ->CopyPieces(reinterpret_cast<const DeviceQueue::Piece*>(on_device(in)),
                               reinterpret_cast<const uint32_t*>(on_device(counts)))
                  .ok());
  ASSERT_TRUE(queue_
                  ->CopyPieces(reinterpret_cast<const DeviceQueue::Piece*>(on_device(out)),
                               reinterpret_cast<const uint32_t*>(on_device(counts)))
                  .ok());
  auto graph = queue_->EndCapture();
  ASSERT_TRUE(graph.ok()) << graph.status().ToString();
  EXPECT_EQ((*graph)->node_count(), 2u);
  // The table is filled after the capture, twice with other content.
  for (uint64_t turn : {0, 1}) {
    std::memset(back->host_data(), 0xAB, count * kRoom);
    uint64_t k = 0;
    for (uint64_t size : sizes) {
      for (uint64_t shift : shifts) {
        const uint64_t base = k * kRoom;
        in[k] = {at(*source, base + (turn == 0 ? shift : 0)), at(*target, base + shift), size};
        out[k] = {at(*target, base + shift), at(*back, base + shift), size};
        ++k;
      }
    }
    *counts = static_cast<uint32_t>(count);
    ASSERT_TRUE(queue_->Launch(**graph).ok());
    ASSERT_TRUE(queue_->Synchronize().ok());
    k = 0;
    for (uint64_t size : sizes) {
      for (uint64_t shift : shifts) {
        const auto* want = static_cast<const std::byte*>(source->host_data()) + k * kRoom +
                           (turn == 0 ? shift : 0);
        const auto* got = static_cast<const std::byte*>(back->host_data()) + k * kRoom + shift;
        EXPECT_EQ(std::memcmp(want, got, size), 0) << size << " bytes at " << shift;
        EXPECT_EQ(got[size], std::byte{0xAB}) << size << " bytes at " << shift;
        ++k;
      }
    }
  }
}

TEST_F(CudaGpu, ReadsAndWritesRegisteredMemory) {
  constexpr size_t kBytes = 1 << 16;
  void* host = std::aligned_alloc(4096, kBytes);
  ASSERT_NE(host, nullptr);
  std::memset(host, 7, kBytes);
  {
    auto registered = device_->RegisterHost(host, kBytes);
    ASSERT_TRUE(registered.ok()) << registered.status().ToString();
    ASSERT_TRUE(queue_->Fill((*registered)->device_data(), 9, kBytes / 2).ok());
    ASSERT_TRUE(queue_->Synchronize().ok());
  }
  EXPECT_EQ(static_cast<char*>(host)[0], 9);
  EXPECT_EQ(static_cast<char*>(host)[kBytes - 1], 7);
  std::free(host);
}

TEST_F(CudaGpu, TimesItself) {
  auto memory = std::move(device_->Allocate(1 << 20)).value();
  ASSERT_TRUE(queue_->MarkStart().ok());
  ASSERT_TRUE(queue_->Fill(memory->device_data(), 1, 1 << 20).ok());
  ASSERT_TRUE(queue_->MarkStop().ok());
  const Result<double> us = queue_->ElapsedMicroseconds();
  ASSERT_TRUE(us.ok());
  EXPECT_GT(*us, 0);
  EXPECT_LT(*us, 1e6);
}

TEST_F(CudaGpu, CountsWhatTheDriverIsAskedFor) {
  if (const Status status = device_->WatchDriver(); !status.ok()) GTEST_SKIP() << status.message();
  const DriverCalls before = device_->driver_calls();
  { auto memory = std::move(device_->Allocate(1 << 20)).value(); }
  const DriverCalls after = device_->driver_calls();
  EXPECT_EQ(after.allocations, before.allocations + 1);
  EXPECT_EQ(after.frees, before.frees + 1);
}

// In a process of its own, which the fault makes useless, as it would a worker.
TEST_F(CudaGpu, KnowsAStickyFaultAndStaysFailed) {
  // The driver does not survive a fork, so the process starts again from main.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  queue_.reset();
  device_.reset();
  EXPECT_EXIT(
      {
        auto device = std::move(module_->open(0)).value();
        auto queue = std::move(device->CreateQueue()).value();
        const Status fault = device->InjectStickyFault(*queue);
        const bool sticky = fault.code() == StatusCode::kAborted &&
                            device->health().code() == StatusCode::kAborted &&
                            device->Allocate(1).status().code() == StatusCode::kAborted;
        std::_Exit(sticky ? 42 : 1);
      },
      ::testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace fusee::cuda
