// Convolution without tensor cores: what serves every layout, group, type and shape, and the fast
// path of depthwise convolutions.
//
// Direct: one thread a result, neighbouring threads neighbouring results, sums in float in one
// order (kernel position, then channel): the same bits whatever the batch. Floor: operations over
// the float rate; operands come through the caches, about a tenth of it is reached. It is what a
// step falls back on, not what a network is made of.
//
// Depthwise: bytes of x and y over bandwidth; each thread reads kernel x 16 bytes, neighbours share
// them through L1.
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "ops/nn/conv_cuda.h"
#include "ops/nn/epilogue_cuda.cuh"

namespace fusee::ops {
namespace {

using cuda::FromFloat;
using cuda::Pack;
using cuda::ToFloat;

constexpr int kThreads = 256;

struct Place {
  int64_t image;
  int channel;
  int at[3];
};

// From the flat index of a result, in the result's layout.
__device__ __forceinline__ Place PlaceOf(const ConvCuda& c, int64_t flat) {
  Place p;
  if (c.channels_last) {
    p.channel = static_cast<int>(flat % c.out_channels);
    flat /= c.out_channels;
  }
#pragma unroll
  for (int axis = 2; axis >= 0; --axis) {
    p.at[axis] = static_cast<int>(flat % c.out[axis]);
    flat /= c.out[axis];
  }
  if (!c.channels_last) {
    p.channel = static_cast<int>(flat % c.out_channels);
    flat /= c.out_channels;
  }
  p.image = flat;
  return p;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    ConvDirectKernel(const __grid_constant__ ConvCuda c, ActivationCuda activation, int64_t count) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t flat = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  if (flat >= count) return;
  const Place p = PlaceOf(c, flat);
  const int first_channel = p.channel / c.group_out_channels * c.group_channels;
  const int64_t in_pixels = static_cast<int64_t>(c.in[0]) * c.in[1] * c.in[2];
  const int64_t x_channel = c.channels_last ? 1 : in_pixels;  // strides of x
  const int64_t x_pixel = c.channels_last ? c.channels : 1;
  const int64_t w_channel = c.channels_last ? 1 : c.taps();  // and of w
  const int64_t w_tap = c.channels_last ? c.group_channels : 1;
  const T* x =
      static_cast<const T*>(c.x) + p.image * c.channels * in_pixels + first_channel * x_channel;
  const T* w =
      static_cast<const T*>(c.w) + static_cast<int64_t>(p.channel) * c.taps() * c.group_channels;
  float sum = 0;
  int tap = 0;
  for (int a = 0; a < c.kernel[0]; ++a) {
    const int i = p.at[0] * c.stride[0] + a * c.dilation[0] - c.pad[0];
    for (int b = 0; b < c.kernel[1]; ++b) {
      const int j = p.at[1] * c.stride[1] + b * c.dilation[1] - c.pad[1];
      for (int d = 0; d < c.kernel[2]; ++d, ++tap) {
        const int k = p.at[2] * c.stride[2] + d * c.dilation[2] - c.pad[2];
        if (i < 0 || i >= c.in[0] || j < 0 || j >= c.in[1] || k < 0 || k >= c.in[2]) continue;
        const T* from = x + ((static_cast<int64_t>(i) * c.in[1] + j) * c.in[2] + k) * x_pixel;
        const T* weight = w + tap * w_tap;
        for (int channel = 0; channel < c.group_channels; ++channel)
          sum = fmaf(ToFloat(from[channel * x_channel]), ToFloat(weight[channel * w_channel]), sum);
      }
    }
  }
  if (c.bias != nullptr) sum += ToFloat(static_cast<const T*>(c.bias)[p.channel]);
  if (c.residual != nullptr) sum += ToFloat(static_cast<const T*>(c.residual)[flat]);
  float value[1] = {sum};
  Activate(activation, value);
  static_cast<T*>(c.y)[flat] = FromFloat<T>(value[0]);
}

// Weights lie [channel][tap], as OHWI with one channel a group has them.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    ConvDepthwiseKernel(const __grid_constant__ ConvCuda c, ActivationCuda activation,
                        int64_t count) {
  constexpr int kPack = Pack<T>::kCount;
  cuda::WaitForPrior();
  cuda::AllowNext();
  int64_t at = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  if (at >= count) return;
  const int64_t element = at * kPack;
  const int packs = c.channels / kPack;
  const int channel = static_cast<int>(at % packs) * kPack;
  at /= packs;
  const int column = static_cast<int>(at % c.out[2]);
  at /= c.out[2];
  const int row = static_cast<int>(at % c.out[1]);
  const int64_t image = at / c.out[1];
  const T* x = static_cast<const T*>(c.x) + image * c.in[1] * c.in[2] * c.channels + channel;
  const T* w = static_cast<const T*>(c.w) + static_cast<int64_t>(channel) * c.taps();
  float sum[kPack] = {};
  for (int b = 0; b < c.kernel[1]; ++b) {
    const int j = row * c.stride[1] + b * c.dilation[1] - c.pad[1];
    if (j < 0 || j >= c.in[1]) continue;
    for (int d = 0; d < c.kernel[2]; ++d) {
      const int k = column * c.stride[2] + d * c.dilation[2] - c.pad[2];
      if (k < 0 || k >= c.in[2]) continue;
      const Pack<T> pixel = *reinterpret_cast<const Pack<T>*>(
          x + (static_cast<int64_t>(j) * c.in[2] + k) * c.channels);
      const int tap = b * c.kernel[2] + d;
#pragma unroll
      for (int i = 0; i < kPack; ++i)
        sum[i] = fmaf(ToFloat(pixel.value[i]), ToFloat(w[i * c.taps() + tap]), sum[i]);
    }
  }
  if (c.bias != nullptr) {
#pragma unroll
    for (int i = 0; i < kPack; ++i) sum[i] += ToFloat(static_cast<const T*>(c.bias)[channel + i]);
  }
  if (c.residual != nullptr) {
    const Pack<T> more =
        *reinterpret_cast<const Pack<T>*>(static_cast<const T*>(c.residual) + element);
#pragma unroll
    for (int i = 0; i < kPack; ++i) sum[i] += ToFloat(more.value[i]);
  }
  Activate(activation, sum);
  Pack<T> result;
#pragma unroll
  for (int i = 0; i < kPack; ++i) result.value[i] = FromFloat<T>(sum[i]);
  *reinterpret_cast<Pack<T>*>(static_cast<T*>(c.y) + element) = result;
}

unsigned Blocks(int64_t count) { return static_cast<unsigned>((count + kThreads - 1) / kThreads); }

}  // namespace

Status EnqueueConvDirect(const ConvCuda& conv, void* queue) {
  const int64_t count = conv.batch * conv.out_channels * conv.out_pixels();
  return cuda::VisitComputeFloat(conv.dtype, [&]<typename T>() -> Status {
    return cuda::Launch(&ConvDirectKernel<T>, dim3(Blocks(count)), dim3(kThreads), 0, queue, conv,
                        ToCuda(conv.activation), count);
  });
}

Status EnqueueConvDepthwise(const ConvCuda& conv, void* queue) {
  return cuda::VisitComputeFloat(conv.dtype, [&]<typename T>() -> Status {
    const int64_t count = conv.batch * conv.out_pixels() * (conv.channels / Pack<T>::kCount);
    return cuda::Launch(&ConvDepthwiseKernel<T>, dim3(Blocks(count)), dim3(kThreads), 0, queue,
                        conv, ToCuda(conv.activation), count);
  });
}

}  // namespace fusee::ops
