// Normalisations of a device under test (FUSEE_TEST_DEVICE) against the CPU's reference: every
// floating type, sizes around the edges of packs, warps, blocks and register tiles.
#include <algorithm>
#include <cmath>

#include "ops/device_test_util.h"
#include "ops/nn/test_support.h"

namespace fusee::ops {
namespace {

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};
constexpr int64_t kSizes[] = {0,   1,    7,    8,    31,   32,   33,   255,  256,  257, 384,
                              768, 1000, 1023, 1024, 1025, 4095, 4096, 4097, 5000, 5008};

// One rounding of a result to its type; of f32 what a device's exp and sums in float may add.
double DeviceRtol(DType dtype) {
  if (dtype == DType::kF16) return 0x1p-10;
  return dtype == DType::kBF16 ? 0x1p-7 : 1e-4;
}
// Terms of size 1 that cancel leave errors of float's last bits.
constexpr double kDeviceAtol = 1e-5;

void ExpectDeviceAgrees(const KernelCall& call, double atol = kDeviceAtol) {
  ExpectTacticsAgree(call, TacticsUnderTest(call.op).size() - KernelsFor(call.op).size() + 1,
                     DeviceRtol(call.outputs[0].first), atol);
}

Tensor AbsoluteValues(DType dtype, const Shape& shape, uint64_t stream) {
  TensorView out;
  Tensor t = *Tensor::Allocate(dtype, shape, &out);
  for (int64_t i = 0; i < out.elements(); ++i)
    StoreDouble(out, i, 0.1 + RandomUniform(kTestSeed, stream, static_cast<uint64_t>(i)));
  return t;
}

KernelCall AxisCall(const char* op, const Shape& x, DType dtype, int64_t axis, int64_t p = 2) {
  return {op, {{"axis", axis}, {"p", p}}, {RandomTensor(dtype, x, 1)}, {{dtype, x}}};
}

TEST(NormOnDevice, SoftmaxRows) {
  FUSEE_NEEDS_DEVICE();
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    for (DType dtype : kFloats) {
      for (int64_t n : kSizes) {
        SCOPED_TRACE(::testing::Message() << op << " of " << n << " " << DTypeName(dtype));
        const KernelCall call = AxisCall(op, Shape{5, n}, dtype, 1);
        ExpectDeviceAgrees(call, op[0] == 'S' ? 1e-6 : kDeviceAtol);
        if (n > 0) ExpectBatchInvariant(call, 3);
      }
    }
  }
}

TEST(NormOnDevice, SoftmaxOfInfinities) {
  FUSEE_NEEDS_DEVICE();
  constexpr float kInf = INFINITY;
  for (const std::vector<float>& row : {std::vector<float>{-kInf, 0, 1, -kInf},
                                        {-kInf, -kInf, -kInf, -kInf},
                                        {kInf, 0, 0, 0},
                                        {NAN, 0, 1, 2},
                                        {3e38f, -3e38f, 0, 0}}) {
    for (const char* op : {"Softmax", "LogSoftmax"}) {
      const KernelCall call{op,
                            {{"axis", int64_t{1}}},
                            {Tensor::Of<float>(Shape{1, 4}, row)},
                            {{DType::kF32, Shape{1, 4}}}};
      ExpectDeviceAgrees(call);
    }
  }
}

TEST(NormOnDevice, LpNormalizationRows) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : kFloats) {
    for (int64_t n : kSizes) {
      for (int64_t p : {1, 2}) {
        SCOPED_TRACE(::testing::Message() << n << " " << DTypeName(dtype) << ", p " << p);
        ExpectDeviceAgrees(AxisCall("LpNormalization", Shape{3, n}, dtype, 1, p), 1e-6);
      }
    }
  }
}

TEST(NormOnDevice, AxesThatAreNotInnermost) {
  FUSEE_NEEDS_DEVICE();
  for (const char* op : {"Softmax", "LogSoftmax", "LpNormalization"}) {
    for (DType dtype : kFloats) {
      for (int64_t n : {0, 1, 33, 257}) {
        for (int64_t inner : {2, 31, 255, 256, 257}) {
          SCOPED_TRACE(::testing::Message() << op << " of " << n << " x " << inner);
          ExpectDeviceAgrees(AxisCall(op, Shape{3, n, inner}, dtype, 1));
        }
      }
    }
  }
}

KernelCall RowCall(const char* op, const Shape& x, DType dtype) {
  const std::string_view name(op);
  const Shape row{x[x.rank() - 1]};
  KernelCall call{op, {{"axis", int64_t{x.rank() - 1}}}, {RandomTensor(dtype, x, 1)}, {{dtype, x}}};
  if (name == "SkipLayerNormalization") call.inputs.push_back(RandomTensor(dtype, x, 2));
  call.inputs.push_back(RandomTensor(dtype, row, 3));
  if (name != "RMSNormalization") call.inputs.push_back(RandomTensor(dtype, row, 4));
  if (name == "SkipLayerNormalization") call.outputs.push_back({dtype, x});
  return call;
}

TEST(NormOnDevice, Rows) {
  FUSEE_NEEDS_DEVICE();
  for (const char* op : {"LayerNormalization", "RMSNormalization", "SkipLayerNormalization"}) {
    for (DType dtype : kFloats) {
      for (int64_t n : kSizes) {
        SCOPED_TRACE(::testing::Message() << op << " of " << n << " " << DTypeName(dtype));
        KernelCall call = RowCall(op, Shape{5, n}, dtype);
        ExpectDeviceAgrees(call);
        if (op[0] != 'S' && n > 0) ExpectBatchInvariant(call, 3);
        if (op[0] == 'R') continue;
        call.inputs.pop_back();  // no bias
        ExpectDeviceAgrees(call);
        if (op[0] == 'L') {
          call.outputs.push_back({DType::kF32, Shape{5, 1}});
          call.outputs.push_back({dtype, Shape{5, 1}});
        } else {
          call.outputs[1] = {DType::kInvalid, Shape{}};
        }
        ExpectDeviceAgrees(call);
      }
    }
  }
}

TEST(NormOnDevice, RowsWhoseScaleBroadcasts) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : kFloats) {
    for (const Shape& s : {Shape{32}, Shape{3, 32}, Shape{3, 1}, Shape{1}, Shape{}}) {
      const KernelCall call{"LayerNormalization",
                            {{"axis", int64_t{1}}},
                            {RandomTensor(dtype, Shape{2, 3, 32}, 1), RandomTensor(dtype, s, 2),
                             RandomTensor(dtype, Shape{32}, 3)},
                            {{dtype, Shape{2, 3, 32}}}};
      ExpectDeviceAgrees(call);
    }
  }
}

// The mean is a thousand times the deviation: a variance of squares would be noise.
TEST(NormOnDevice, VarianceIsOfTheDeviations) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t n : {256, 768, 3000, 5000}) {
    std::vector<float> v = Floats(RandomTensor(DType::kF32, Shape{1, 2, n}, 1));
    for (float& f : v) f += 1000;
    const Tensor x = Tensor::Of<float>(Shape{1, 2, n}, v);
    KernelCall call = RowCall("LayerNormalization", x.shape(), DType::kF32);
    call.attrs.Set("axis", int64_t{2});
    call.inputs[0] = x;
    ExpectTacticsAgree(call, 2, 1e-3, 1e-3);
    call = {"GroupNormalization",
            {{"num_groups", int64_t{2}}},
            {x, RandomTensor(DType::kF32, Shape{2}, 2), RandomTensor(DType::kF32, Shape{2}, 3)},
            {{DType::kF32, x.shape()}}};
    ExpectTacticsAgree(call, 2, 1e-3, 1e-3);
  }
}

TEST(NormOnDevice, Groups) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : kFloats) {
    for (DType scale : {dtype, DType::kF32}) {
      for (const Shape& x : {Shape{2, 6, 1}, Shape{2, 6, 7}, Shape{2, 6, 8}, Shape{3, 6, 5, 5},
                             Shape{1, 6, 257}, Shape{1, 6, 2729}, Shape{1, 6, 2730},
                             Shape{1, 6, 5461}, Shape{2, 6, 5464}, Shape{0, 6, 3}}) {
        for (int64_t groups : {1, 3, 6}) {
          SCOPED_TRACE(x.ToString());
          const KernelCall call{"GroupNormalization",
                                {{"num_groups", groups}},
                                {RandomTensor(dtype, x, 1), RandomTensor(scale, Shape{6}, 2),
                                 RandomTensor(scale, Shape{6}, 3)},
                                {{dtype, x}}};
          ExpectDeviceAgrees(call);
          if (x[0] > 1) ExpectBatchInvariant(call, 1);
        }
      }
    }
  }
}

TEST(NormOnDevice, Batches) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : kFloats) {
    for (DType statistics : {dtype, DType::kF32}) {
      for (const Shape& x : {Shape{3, 5}, Shape{2, 3, 7}, Shape{2, 3, 8}, Shape{1, 1, 2049},
                             Shape{2, 33, 3, 5}, Shape{0, 3, 4}, Shape{5, 1000}}) {
        for (const char* layout : {"NCHW", "NHWC"}) {
          SCOPED_TRACE(x.ToString() + layout);
          const Shape c{layout[1] == 'C' ? x[1] : x[x.rank() - 1]};
          const KernelCall call{"BatchNormalization",
                                {{"epsilon", 1e-3}, {"layout", layout}},
                                {RandomTensor(dtype, x, 1), RandomTensor(statistics, c, 2),
                                 RandomTensor(statistics, c, 3), RandomTensor(statistics, c, 4),
                                 AbsoluteValues(statistics, c, 5)},
                                {{dtype, x}}};
          ExpectDeviceAgrees(call);
        }
      }
    }
  }
}

TEST(NormOnDevice, LocalResponse) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : kFloats) {
    for (int64_t size : {1, 2, 5, 100}) {
      for (int64_t plane : {1, 36, 37, 255}) {
        const Shape x{2, 7, plane};
        ExpectDeviceAgrees({"LRN",
                            {{"size", size}, {"alpha", 0.5}, {"beta", 0.75}, {"bias", 2.0}},
                            {RandomTensor(dtype, x, 1)},
                            {{dtype, x}}});
      }
    }
  }
}

// Bytes of result 0 when it lies where operand `shared` does.
Result<std::vector<std::byte>> RunInPlace(const KernelDef& kernel, const KernelCall& call,
                                          size_t shared) {
  const DeviceUnderTest& under = *TestDevice();
  std::vector<std::unique_ptr<DeviceMemory>> memory;
  std::vector<TensorSpec> specs;
  std::vector<ConstTensorView> inputs;
  for (const Tensor& t : call.inputs) {
    specs.push_back({t.dtype(), t.shape(), true, nullptr});
    FUSEE_TRY(memory.emplace_back(), under.device->Allocate(t.bytes().size()));
    FUSEE_TRY(
        under.queue->Upload(memory.back()->device_data(), t.bytes().data(), t.bytes().size()));
    inputs.push_back({t.dtype(), t.shape(), memory.back()->device_data()});
  }
  const auto& [dtype, shape] = call.outputs[0];
  const std::vector<TensorSpec> out_specs{{dtype, shape, true, nullptr}};
  const std::vector<TensorView> outputs{{dtype, shape, memory[shared]->device_data()}};
  FUSEE_TRY(const std::unique_ptr<BoundKernel> bound,
            kernel.bind({call.op, &call.attrs, specs, out_specs, 0}));
  FUSEE_TRY(bound->LoadOnDevice(*under.device));
  const RunArgs args{.inputs = inputs, .outputs = outputs, .queue = under.queue->native()};
  FUSEE_TRY(bound->CheckShapes(args));
  FUSEE_TRY(bound->Run(args));
  std::vector<std::byte> bytes(static_cast<size_t>(outputs[0].size_bytes()));
  FUSEE_TRY(under.queue->Download(bytes.data(), outputs[0].data, bytes.size()));
  FUSEE_TRY(under.queue->Synchronize());
  return bytes;
}

TEST(NormOnDevice, InPlaceGivesTheSameBits) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t n : {35, 256, 768, 4100}) {
    const Shape x{3, 4, n};
    const DType d = DType::kF16;
    std::vector<KernelCall> calls{AxisCall("Softmax", x, d, 2), AxisCall("Softmax", x, d, 1),
                                  AxisCall("LogSoftmax", x, d, 2),
                                  AxisCall("LpNormalization", x, d, 1)};
    for (const char* op : {"LayerNormalization", "RMSNormalization", "SkipLayerNormalization"}) {
      calls.push_back(RowCall(op, x, d));
      calls.back().outputs.resize(1);
    }
    calls.push_back(
        {"GroupNormalization",
         {{"num_groups", int64_t{2}}},
         {RandomTensor(d, x, 1), RandomTensor(d, Shape{4}, 2), RandomTensor(d, Shape{4}, 3)},
         {{d, x}}});
    for (const KernelCall& call : calls) {
      for (const KernelDef* kernel : TestDevice()->kernels->For(call.op)) {
        auto apart = RunKernel(kernel->id, call);
        ASSERT_TRUE(apart.ok()) << apart.status().ToString();
        for (size_t operand = 0; operand < 2; ++operand) {
          if (((kernel->in_place_inputs >> operand) & 1u) == 0) continue;
          auto shared = RunInPlace(*kernel, call, operand);
          ASSERT_TRUE(shared.ok()) << shared.status().ToString();
          EXPECT_TRUE(std::ranges::equal(*shared, (*apart)[0].bytes()))
              << kernel->id << ", operand " << operand << ", rows of " << n;
        }
      }
    }
  }
}

}  // namespace
}  // namespace fusee::ops
