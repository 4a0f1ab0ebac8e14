// The pools' CUDA kernels as their host side sees them; no CUDA header in between.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "tensor/dtype.h"

namespace fusee::ops {

enum class PoolOp : uint8_t { kMax, kAverage, kLp };

// x [images, in..., channels], y [images, out..., channels]. A tensor of layout NCHW is one of
// planes with one channel each. Spatial axes as in Window: three, leading ones of size 1.
struct PoolArgs {
  int64_t images = 0;
  int64_t channels = 1;
  int64_t in[3]{}, out[3]{}, kernel[3]{}, stride[3]{}, dilation[3]{}, pad_begin[3]{}, pad_end[3]{};
  int64_t lp = 0;
  bool include_pad = false, column_major = false;
  int64_t* indices = nullptr;  // of kMax with one channel; may be null
};

struct GlobalPoolArgs {
  int64_t images = 0, plane = 0, channels = 1;
};

// Enqueue on `queue` (RunArgs::queue). dtype: f32, f16, bf16; of kMax also i8 and u8, but not in
// global pools. Global pools: kMax or kAverage.
Status LaunchWindowPool(PoolOp op, DType dtype, const PoolArgs& args, const void* x, void* y,
                        void* queue);
Status LaunchGlobalPool(PoolOp op, DType dtype, const GlobalPoolArgs& args, const void* x, void* y,
                        void* queue);

}  // namespace fusee::ops
