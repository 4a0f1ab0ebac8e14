// What the tests of nn and norm share: random tensors, and a Parallel that runs tasks backwards on
// several threads.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "ops/kernel_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {

inline constexpr uint64_t kTestSeed = 20240607;

// Values in [-1, 1), or small integers; the stream makes operands differ.
inline Tensor RandomTensor(DType dtype, const Shape& shape, uint64_t stream,
                           Fill fill = Fill::kUniform) {
  TensorView out;
  auto tensor = Tensor::Allocate(dtype, shape, &out);
  FUSEE_CHECK(tensor.ok(), "no memory for a test tensor");
  FillRandom(out, fill, kTestSeed, stream);
  return std::move(tensor).value();
}

// Threads take tasks from the last to the first, interleaved: a kernel whose tasks depend on each
// other or on their order gives other bits.
class BackwardParallel final : public Parallel {
 public:
  explicit BackwardParallel(int width) : width_(width) {}
  void For(int64_t count, void (*task)(void*, int64_t), void* context) override {
    std::vector<std::thread> threads;
    for (int t = 0; t < width_; ++t) {
      threads.emplace_back([=, this] {
        for (int64_t i = count - 1 - t; i >= 0; i -= width_) task(context, i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  int width() const override { return width_; }

 private:
  int width_;
};

inline bool SameBits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.bytes().empty() ||
          std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0);
}

// Every tactic gives the same bits on one thread and on several.
inline void ExpectThreadInvariant(const KernelCall& call) {
  BackwardParallel three(3);
  BackwardParallel eight(8);
  for (const KernelDef* kernel : TacticsUnderTest(call.op)) {
    auto one = RunKernel(kernel->id, call);
    if (!one.ok()) {
      EXPECT_EQ(one.status().code(), StatusCode::kUnimplemented) << one.status().ToString();
      continue;
    }
    for (Parallel* parallel : {static_cast<Parallel*>(&three), static_cast<Parallel*>(&eight)}) {
      auto many = RunKernel(kernel->id, call, parallel);
      ASSERT_TRUE(many.ok()) << many.status().ToString();
      for (size_t i = 0; i < one->size(); ++i) {
        if ((*one)[i].present()) {
          EXPECT_TRUE(SameBits((*one)[i], (*many)[i])) << kernel->id << " depends on the threads";
        }
      }
    }
  }
}

// Every tactic that promises it gives image or row `index` of operand 0 the same bits alone as in
// the batch (axis 0 is the batch).
inline void ExpectBatchInvariant(const KernelCall& call, int64_t index) {
  KernelCall alone = call;
  const auto slice = [index](const Tensor& t) {
    Shape shape = t.shape();
    const int64_t bytes = static_cast<int64_t>(t.bytes().size()) / shape[0];
    shape[0] = 1;
    TensorView out;
    auto one = Tensor::Allocate(t.dtype(), shape, &out);
    FUSEE_CHECK(one.ok(), "no memory for a test tensor");
    std::memcpy(out.data, t.bytes().data() + index * bytes, static_cast<size_t>(bytes));
    return std::move(one).value();
  };
  alone.inputs[0] = slice(call.inputs[0]);
  for (auto& output : alone.outputs) output.second[0] = 1;
  for (const KernelDef* kernel : TacticsUnderTest(call.op)) {
    if (!kernel->batch_invariant) continue;
    auto all = RunKernel(kernel->id, call);
    auto one = RunKernel(kernel->id, alone);
    if (!all.ok()) continue;
    ASSERT_TRUE(one.ok()) << one.status().ToString();
    EXPECT_TRUE(SameBits((*one)[0], slice((*all)[0])))
        << kernel->id << " depends on the batch, item " << index;
  }
}

// Every tactic agrees with the reference; at least `tactics` of them ran.
inline void ExpectTacticsAgree(const KernelCall& call, size_t tactics, double rtol = 1e-4,
                               double atol = 1e-5) {
  auto ran = CompareTactics(call, rtol, atol);
  ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kTestSeed << ")";
  if (TestsLibraries()) {
    EXPECT_GE(ran->size(), tactics);
  }
}

inline std::vector<float> Floats(const Tensor& t) {
  return {t.as<float>(), t.as<float>() + t.elements()};
}

// Runs the reference (the last tactic) and returns its results.
inline std::vector<Tensor> RunReference(const KernelCall& call) {
  auto results = RunKernel(KernelsFor(call.op).back()->id, call);
  EXPECT_TRUE(results.ok()) << results.status().ToString();
  return results.ok() ? *results : std::vector<Tensor>(call.outputs.size());
}

// [N, C, spatial...] to [N, spatial..., C], or back.
inline Shape ChannelsLast(const Shape& shape) {
  Shape last{shape[0]};
  for (int i = 2; i < shape.rank(); ++i) last.push_back(shape[i]);
  last.push_back(shape[1]);
  return last;
}
inline Tensor ChannelsLast(const Tensor& t) {
  std::vector<int64_t> perm{0};
  for (int i = 2; i < t.shape().rank(); ++i) perm.push_back(i);
  perm.push_back(1);
  return RunReference(
      {"Transpose", {{"perm", perm}}, {t}, {{t.dtype(), ChannelsLast(t.shape())}}})[0];
}
inline Tensor ChannelsFirst(const Tensor& t) {
  const int rank = t.shape().rank();
  std::vector<int64_t> perm{0, rank - 1};
  Shape first{t.shape()[0], t.shape()[rank - 1]};
  for (int i = 1; i + 1 < rank; ++i) {
    perm.push_back(i);
    first.push_back(t.shape()[i]);
  }
  return RunReference({"Transpose", {{"perm", perm}}, {t}, {{t.dtype(), first}}})[0];
}

}  // namespace fusee::ops
