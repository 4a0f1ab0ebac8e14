// Launches of the tensor-core convolution (conv_mma_cuda.cuh).
#include <cstdint>

#include "ops/nn/conv_mma_cuda.cuh"

namespace fusee::ops {
namespace {

// For operands that must be read element by element where the chosen tile cannot.
constexpr int kElementsTile = 2;

// Whether a window's rows are contiguous: the last one of a row must lie inside, as it does without
// pads.
bool HasWholeRows(const ConvCuda& c) {
  return c.pad[2] == 0 && c.dilation[2] == 1 && c.kernel[2] > 1 &&
         (c.out[2] - 1) * c.stride[2] + c.kernel[2] <= c.in[2];
}

// Whether every piece of 8 elements lies in one run and begins at a multiple of 8.
bool ReadsPieces(const ConvCuda& c) {
  return c.channels % 8 == 0 ||
         (HasWholeRows(c) && c.kernel[2] * c.channels % 8 == 0 &&
          c.stride[2] * c.channels % 8 == 0 && static_cast<int64_t>(c.in[2]) * c.channels % 8 == 0);
}

template <typename T>
Status Load(int tile) {
  const int bytes = kConvTiles[tile].shared_bytes(true);
  const auto load = [&](ConvMmaFunction<T> kernel) {
    FUSEE_CUDA_TRY(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    return OkStatus();
  };
  FUSEE_TRY(load(ConvMmaKernelsOf<T>().pieces[tile]));
  if (tile < kConvMmaAnyTileCount) return load(ConvMmaKernelsOf<T>().elements[tile]);
  FUSEE_CUDA_TRY(cudaFuncSetAttribute(ConvMmaKernelsOf<T>().elements[kElementsTile],
                                      cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      kConvTiles[kElementsTile].shared_bytes(true)));
  return OkStatus();
}

template <typename T>
Status Enqueue(const ConvCuda& c, int wanted, void* queue) {
  const bool vector = ReadsPieces(c) && cuda::IsPackAligned(c.x) && cuda::IsPackAligned(c.w);
  const int index = vector || wanted < kConvMmaAnyTileCount ? wanted : kElementsTile;
  const MmaTile& tile = kConvTiles[index];
  const int rows = static_cast<int>(c.batch * c.out_pixels());
  const int tiles_n = (c.out_channels + tile.columns - 1) / tile.columns;
  const int tiles_m = (rows + tile.rows - 1) / tile.rows;
  EpilogueCuda<T> epilogue;
  epilogue.c = static_cast<const T*>(c.bias);
  epilogue.c_col = 1;
  epilogue.residual = static_cast<const T*>(c.residual);
  epilogue.activation = ToCuda(c.activation);
  const bool vector_epilogue = c.out_channels % 8 == 0 && cuda::IsPackAligned(c.y) &&
                               cuda::IsPackAligned(c.bias) && cuda::IsPackAligned(c.residual);
  const bool whole_rows = HasWholeRows(c);
  const int run = whole_rows ? c.kernel[2] * c.channels : c.channels;
  const int kernel_w = whole_rows ? 1 : c.kernel[2];
  const ConvMmaArgs<T> args{static_cast<const T*>(c.x),
                            static_cast<const T*>(c.w),
                            static_cast<T*>(c.y),
                            rows,
                            c.out_channels,
                            c.taps() * c.channels,
                            tiles_n,
                            run,
                            c.channels,
                            c.in[1],
                            c.in[2],
                            c.out[1],
                            c.out[2],
                            kernel_w,
                            c.stride[1],
                            c.stride[2],
                            c.dilation[1],
                            c.dilation[2],
                            c.pad[1],
                            c.pad[2],
                            Divider(run),
                            Divider(kernel_w),
                            Divider(c.out[2]),
                            Divider(c.out[1]),
                            epilogue,
                            vector_epilogue,
                            c.w_is_constant};
  const auto kernel =
      vector ? ConvMmaKernelsOf<T>().pieces[index] : ConvMmaKernelsOf<T>().elements[index];
  const auto split = static_cast<unsigned>(tile.split);
  return cuda::LaunchClusters(
      kernel, dim3(static_cast<unsigned>(tiles_m) * static_cast<unsigned>(tiles_n) * split),
      dim3(static_cast<unsigned>(tile.threads())), split,
      static_cast<size_t>(tile.shared_bytes(true)), queue, args);
}

}  // namespace

bool ConvMmaReadsPieces(const ConvCuda& conv) { return ReadsPieces(conv); }

ConvMmaTile ConvMmaTileOf(int tile) {
  const MmaTile& t = kConvTiles[tile];
  return {t.rows, t.columns, t.depth, t.stages, t.split};
}

Status LoadConvMma(DType dtype, int tile) {
  return dtype == DType::kF16 ? Load<__half>(tile) : Load<__nv_bfloat16>(tile);
}

Status EnqueueConvMma(const ConvCuda& conv, int tile, void* queue) {
  return conv.dtype == DType::kF16 ? Enqueue<__half>(conv, tile, queue)
                                   : Enqueue<__nv_bfloat16>(conv, tile, queue);
}

}  // namespace fusee::ops
