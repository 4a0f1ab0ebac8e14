// The host side of the pools on a CUDA device; kernels: pool_window_cuda.cu.
#include <algorithm>

#include "ops/nn/pool.h"
#include "ops/nn/pool_cuda.h"

namespace fusee::ops {
namespace {

// Planes as images of one channel where channels are not innermost.
int64_t ChannelsOf(const PoolShape& s) { return s.window.channels_last ? s.channels : 1; }
int64_t ImagesOf(const PoolShape& s) {
  return s.planes == 0 ? 0 : s.planes / ChannelsOf(s);  // no planes: no channels, perhaps
}

PoolArgs ArgsOf(const PoolParams& p, const PoolShape& s, const RunArgs& args) {
  PoolArgs a;
  a.channels = ChannelsOf(s);
  a.images = ImagesOf(s);
  const Window& w = s.window;
  std::ranges::copy(w.in, a.in);
  std::ranges::copy(w.out, a.out);
  std::ranges::copy(w.kernel, a.kernel);
  std::ranges::copy(w.stride, a.stride);
  std::ranges::copy(w.dilation, a.dilation);
  std::ranges::copy(w.pad_begin, a.pad_begin);
  std::ranges::copy(w.pad_end, a.pad_end);
  a.lp = p.lp;
  a.include_pad = p.count_include_pad;
  a.column_major = p.column_major;
  if (args.outputs.size() > 1 && args.outputs[1].present())
    a.indices = static_cast<int64_t*>(args.outputs[1].data);
  return a;
}

class PoolCuda final : public BoundKernel {
 public:
  explicit PoolCuda(PoolParams params) : params_(params) {
    op_ = params.max ? PoolOp::kMax : params.lp != 0 ? PoolOp::kLp : PoolOp::kAverage;
  }
  Status CheckShapes(const RunArgs& args) const override { return CheckPool(params_, args); }
  Status Run(const RunArgs& args) const override {
    PoolShape s;
    FUSEE_TRY(PoolGeometry(params_, args.inputs[0].shape, &s));
    const void* x = args.inputs[0].data;
    void* y = args.outputs[0].data;
    if (params_.global) {
      const GlobalPoolArgs a{ImagesOf(s), s.window.InElements(), ChannelsOf(s)};
      return LaunchGlobalPool(op_, params_.dtype, a, x, y, args.queue);
    }
    return LaunchWindowPool(op_, params_.dtype, ArgsOf(params_, s, args), x, y, args.queue);
  }

 private:
  PoolParams params_;
  PoolOp op_ = PoolOp::kAverage;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(PoolParams params, ParsePool(spec));
  // ParsePool lets i8 and u8 through for MaxPool alone.
  if (params.dtype == DType::kF64) return RefuseTactic(spec, "does not take f64");
  return std::unique_ptr<BoundKernel>(new PoolCuda(params));
}

}  // namespace

#define FUSEE_POOL_CUDA(Op, name)        \
  extern const KernelDef name##_cuda = { \
      .id = #name "_cuda.1", .op = Op, .device = DeviceKind::kCuda, .bind = Bind};
FUSEE_POOL_CUDA("MaxPool", maxpool)
FUSEE_POOL_CUDA("AveragePool", averagepool)
FUSEE_POOL_CUDA("LpPool", lppool)
FUSEE_POOL_CUDA("GlobalAveragePool", globalaveragepool)
FUSEE_POOL_CUDA("GlobalMaxPool", globalmaxpool)
#undef FUSEE_POOL_CUDA

}  // namespace fusee::ops
