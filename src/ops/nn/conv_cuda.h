// Convolution as the CUDA kernels take it: the geometry of one run in plain numbers, and the
// launches that its host side (conv_cuda.cc) chooses from. Host code and device code meet here
// because nvcc does not see the formatting library that the decoding of a step uses.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "ops/nn/activation.h"
#include "tensor/dtype.h"

namespace fusee::ops {

// Three spatial axes, leading ones of size 1. Strides are in elements.
struct ConvCuda {
  DType dtype = DType::kInvalid;
  bool channels_last = false;
  int64_t batch = 0;
  int channels = 0, out_channels = 0;              // of all groups
  int group_channels = 0, group_out_channels = 0;  // of one
  int in[3] = {1, 1, 1}, out[3] = {1, 1, 1};
  int kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1}, pad[3] = {0, 0, 0};
  const void* x = nullptr;
  const void* w = nullptr;
  const void* bias = nullptr;      // null: none
  const void* residual = nullptr;  // null: none
  void* y = nullptr;
  Activation activation;
  bool w_is_constant = false;

  constexpr int64_t out_pixels() const { return static_cast<int64_t>(out[0]) * out[1] * out[2]; }
  constexpr int taps() const { return kernel[0] * kernel[1] * kernel[2]; }
};

// Elements of one tensor that these kernels index with 32 bits within an image.
inline constexpr int64_t kConvCudaImageMax = (int64_t{1} << 31) - 1;

// Any layout, group and type among f32, f16, bf16: one thread a result. In conv_direct_cuda.cu.
Status EnqueueConvDirect(const ConvCuda& conv, void* queue);

// Depthwise, channels last, channels a multiple of 8 halves or 4 floats, 16-byte aligned: one
// thread a pack of channels. In conv_direct_cuda.cu.
Status EnqueueConvDepthwise(const ConvCuda& conv, void* queue);

// Tensor cores, channels last, one group, f16 and bf16; see conv_mma_cuda.cuh. tile: an index below
// kConvMmaTileCount. Those from kConvMmaAnyTileCount read 16 bytes at a time; for operands that do
// not allow it a smaller one stands in.
inline constexpr int kConvMmaTileCount = 17;
inline constexpr int kConvMmaAnyTileCount = 6;
struct ConvMmaTile {
  int rows, columns, depth, stages, split;  // split above 1: needs sm_90
};
ConvMmaTile ConvMmaTileOf(int tile);
// Whether operands of this geometry can be read 16 bytes at a time, where they are aligned so.
bool ConvMmaReadsPieces(const ConvCuda& conv);
// Raises the shared-memory limit of the kernels and so loads them. Errors: kFailedPrecondition when
// a tile does not fit the device.
Status LoadConvMma(DType dtype, int tile);
Status EnqueueConvMma(const ConvCuda& conv, int tile, void* queue);

}  // namespace fusee::ops
