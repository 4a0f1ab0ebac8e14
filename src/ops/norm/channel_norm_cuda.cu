// BatchNormalization, GroupNormalization (InstanceNormalization is spelled with it) and LRN on f32,
// f16 and bf16, arithmetic in float; per-channel operands of any of these types.
//
// BatchNormalization: a thread a pack of neighbours, which share a channel unless the pack crosses
// into the next. GroupNormalization: a block a group, mean and variance in two passes over it, the
// second and third from cache. LRN: a thread an element.
//
// Floor: bytes read and written over the bandwidth. GroupNormalization reads a group three times
// and occupies one multiprocessor a group, so few large groups stay above it.
#include "cuda/float_view.cuh"
#include "cuda/launch.cuh"
#include "cuda/packed.cuh"
#include "cuda/reduce.cuh"
#include "ops/norm/norm.h"

namespace fusee::ops {
namespace {

using cuda::AddFloats;
using cuda::FloatView;
using cuda::FromFloat;
using cuda::Pack;
using cuda::ToFloat;

constexpr int kThreads = 256;
// A group of this many elements or more gets a block of 1,024 threads.
constexpr int64_t kLargeGroup = 16384;

// --- BatchNormalization ---

struct BatchNormArgs {
  FloatView scale, bias, mean, var;
  int64_t count = 0, channels = 0;
  int64_t plane = 0;  // neighbours of one channel; 1 when channels are innermost
  float epsilon = 0;
};

// y = x * factor + shift would lose bits where x is close to the mean; y = (x - mean) * factor +
// bias does not.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    BatchNormKernel(const T* x, T* y, const __grid_constant__ BatchNormArgs a, bool aligned) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  constexpr int kPack = Pack<T>::kCount;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * kPack;
  int64_t begin = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPack;
  for (; begin < a.count; begin += step) {
    const int left = a.count - begin < kPack ? static_cast<int>(a.count - begin) : kPack;
    const bool whole = aligned && left == kPack;
    Pack<T> pack;
    if (whole) {
      pack = *reinterpret_cast<const Pack<T>*>(x + begin);
    } else {
#pragma unroll
      for (int i = 0; i < kPack; ++i) pack.value[i] = i < left ? x[begin + i] : FromFloat<T>(0);
    }
    int64_t channel = begin / a.plane % a.channels;
    int64_t rest = begin % a.plane;
    float factor = 0, mean = 0, bias = 0;
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      if (i == 0 || rest == a.plane) {
        if (i > 0) {
          rest = 0;
          channel = channel + 1 == a.channels ? 0 : channel + 1;
        }
        factor = a.scale[channel] / sqrtf(a.var[channel] + a.epsilon);
        mean = a.mean[channel];
        bias = a.bias[channel];
      }
      ++rest;
      pack.value[i] = FromFloat<T>((ToFloat(pack.value[i]) - mean) * factor + bias);
    }
    if (whole) {
      *reinterpret_cast<Pack<T>*>(y + begin) = pack;
    } else {
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        if (i < left) y[begin + i] = pack.value[i];
      }
    }
  }
}

template <typename T>
Status RunBatchNorm(const ChannelParams& params, const ChannelShape& s, const RunArgs& args) {
  BatchNormArgs a;
  a.scale = FloatView(args.inputs[1]);
  a.bias = FloatView(args.inputs[2]);
  a.mean = FloatView(args.inputs[3]);
  a.var = FloatView(args.inputs[4]);
  a.count = args.inputs[0].elements();
  a.channels = s.channels;
  a.plane = params.channels_last ? 1 : s.plane;
  a.epsilon = static_cast<float>(params.epsilon);
  const T* x = static_cast<const T*>(args.inputs[0].data);
  T* y = static_cast<T*>(args.outputs[0].data);
  return cuda::Launch(&BatchNormKernel<T>,
                      dim3(cuda::BlocksFor(a.count, kThreads * Pack<T>::kCount)), dim3(kThreads), 0,
                      args.queue, x, y, a, cuda::IsPackAligned(x) && cuda::IsPackAligned(y));
}

// --- GroupNormalization ---

struct GroupNormArgs {
  FloatView scale, bias;
  int64_t total = 0;     // groups of the whole batch
  int64_t groups = 0;    // of one image
  int64_t channels = 0;  // of one group
  int64_t plane = 0;
  float epsilon = 0;
};

// kVec neighbours share a channel: plane is a multiple of kVec.
template <typename T, int kVec, int kBlock>
__global__ void __launch_bounds__(kBlock, 1)
    GroupNormKernel(const T* x, T* y, const __grid_constant__ GroupNormArgs a) {
  using Packed = cuda::Packed<T, kVec>;
  __shared__ float slots[kBlock / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t count = a.channels * a.plane;
  const int64_t packs = count / kVec;
  const float size = static_cast<float>(count);
  for (int64_t group = blockIdx.x; group < a.total; group += gridDim.x) {
    const auto* in = reinterpret_cast<const Packed*>(x + group * count);
    auto* out = reinterpret_cast<Packed*>(y + group * count);
    float mean = 0;
    for (int64_t p = threadIdx.x; p < packs; p += kBlock) {
      const Packed pack = in[p];
#pragma unroll
      for (int i = 0; i < kVec; ++i) mean += ToFloat(pack.value[i]);
    }
    mean = cuda::TeamReduce<kBlock>(mean, slots, AddFloats()) / size;
    float squares = 0;
    for (int64_t p = threadIdx.x; p < packs; p += kBlock) {
      const Packed pack = in[p];
#pragma unroll
      for (int i = 0; i < kVec; ++i) {
        const float d = ToFloat(pack.value[i]) - mean;
        squares += d * d;
      }
    }
    squares = cuda::TeamReduce<kBlock>(squares, slots, AddFloats());
    const float inv_std = 1.0f / sqrtf(squares / size + a.epsilon);
    const int64_t first = group % a.groups * a.channels;
    for (int64_t p = threadIdx.x; p < packs; p += kBlock) {
      const int64_t channel = first + p * kVec / a.plane;
      const float scale = a.scale[channel], bias = a.bias[channel];
      Packed pack = in[p];
#pragma unroll
      for (int i = 0; i < kVec; ++i) {
        pack.value[i] = FromFloat<T>((ToFloat(pack.value[i]) - mean) * inv_std * scale + bias);
      }
      out[p] = pack;
    }
  }
}

template <typename T>
Status RunGroupNorm(const ChannelParams& params, const ChannelShape& s, const RunArgs& args) {
  GroupNormArgs a;
  a.scale = FloatView(args.inputs[1]);
  a.bias = FloatView(args.inputs[2]);
  a.groups = params.groups;
  a.total = s.batch * params.groups;
  a.channels = s.channels / params.groups;
  a.plane = s.plane;
  a.epsilon = static_cast<float>(params.epsilon);
  const T* x = static_cast<const T*>(args.inputs[0].data);
  T* y = static_cast<T*>(args.outputs[0].data);
  constexpr int kPack = Pack<T>::kCount;
  const bool packed = cuda::IsPackAligned(x) && cuda::IsPackAligned(y) && s.plane % kPack == 0;
  const bool large = a.channels * a.plane >= kLargeGroup;
  const auto launch = [&](auto kernel, int block) {
    return cuda::Launch(kernel, dim3(cuda::BlocksFor(a.total, 1)),
                        dim3(static_cast<unsigned>(block)), 0, args.queue, x, y, a);
  };
  if (packed && large) return launch(&GroupNormKernel<T, kPack, 1024>, 1024);
  if (packed) return launch(&GroupNormKernel<T, kPack, 256>, 256);
  if (large) return launch(&GroupNormKernel<T, 1, 1024>, 1024);
  return launch(&GroupNormKernel<T, 1, 256>, 256);
}

// --- LRN ---

struct LrnArgs {
  int64_t count = 0, channels = 0, plane = 0;
  int64_t before = 0, after = 0;  // neighbouring channels that take part
  float alpha = 0, beta = 0, bias = 0;
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    LrnKernel(const T* x, T* y, const __grid_constant__ LrnArgs a) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.count;
       i += step) {
    const int64_t channel = i / a.plane % a.channels;
    const int64_t first = channel < a.before ? -channel : -a.before;
    const int64_t left = a.channels - 1 - channel;
    const int64_t last = left < a.after ? left : a.after;
    float sum = 0;
    for (int64_t d = first; d <= last; ++d) {
      const float v = ToFloat(x[i + d * a.plane]);
      sum += v * v;
    }
    y[i] = FromFloat<T>(ToFloat(x[i]) / powf(a.bias + a.alpha * sum, a.beta));
  }
}

template <typename T>
Status RunLrn(const ChannelParams& params, const ChannelShape& s, const RunArgs& args) {
  LrnArgs a;
  a.count = args.inputs[0].elements();
  a.channels = s.channels;
  a.plane = s.plane;
  a.before = (params.size - 1) / 2;
  a.after = params.size / 2;
  a.alpha = static_cast<float>(params.alpha / static_cast<double>(params.size));
  a.beta = static_cast<float>(params.beta);
  a.bias = static_cast<float>(params.bias);
  return cuda::Launch(&LrnKernel<T>, dim3(cuda::BlocksFor(a.count, kThreads)), dim3(kThreads), 0,
                      args.queue, static_cast<const T*>(args.inputs[0].data),
                      static_cast<T*>(args.outputs[0].data), a);
}

class ChannelNormCuda final : public BoundKernel {
 public:
  explicit ChannelNormCuda(ChannelParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckChannelNorm(params_, args));
    for (const ConstTensorView& input : args.inputs) {
      if (!cuda::IsComputeFloat(input.dtype))
        return InvalidArgument("operands differ from those bound");
    }
    return OkStatus();
  }
  Status Run(const RunArgs& args) const override {
    if (args.inputs[0].elements() == 0) return OkStatus();
    const ChannelShape s = ChannelGeometry(args.inputs[0].shape, params_.channels_last);
    return cuda::VisitComputeFloat(params_.dtype, [&]<typename T>() -> Status {
      if (params_.op == "BatchNormalization") return RunBatchNorm<T>(params_, s, args);
      if (params_.op == "GroupNormalization") return RunGroupNorm<T>(params_, s, args);
      return RunLrn<T>(params_, s, args);
    });
  }

 private:
  ChannelParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ChannelParams params, ParseChannelNorm(spec));
  for (const TensorSpec& input : spec.inputs) {
    if (!cuda::IsComputeFloat(input.dtype)) return RefuseTactic(spec, "takes f32, f16 and bf16");
  }
  return std::unique_ptr<BoundKernel>(new ChannelNormCuda(params));
}

}  // namespace

extern const KernelDef batchnorm_cuda = {.id = "batchnorm_cuda.1",
                                         .op = "BatchNormalization",
                                         .device = DeviceKind::kCuda,
                                         .in_place_inputs = 1,
                                         .bind = Bind};
extern const KernelDef groupnorm_cuda = {.id = "groupnorm_cuda.1",
                                         .op = "GroupNormalization",
                                         .device = DeviceKind::kCuda,
                                         .in_place_inputs = 1,
                                         .bind = Bind};
extern const KernelDef lrn_cuda = {
    .id = "lrn_cuda.1", .op = "LRN", .device = DeviceKind::kCuda, .bind = Bind};

}  // namespace fusee::ops
