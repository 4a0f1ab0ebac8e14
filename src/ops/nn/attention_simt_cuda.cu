// Attention without tensor cores (attention_simt_cuda.cuh): f32, f64, and halves where the
// tensor-core kernel does not go; heads of up to 256 columns (64 in f64).
//
// Floor: 4 * queries * keys * dim operations at the device's f32 rate (67 TFLOP/s on an H200);
// expected is a sixth of it, because each product reads shared memory.
#include <algorithm>
#include <string>

#include "ops/nn/attention_simt_cuda.cuh"

namespace fusee::ops {
namespace {

constexpr int64_t kDimMax = 256;
constexpr int64_t kDimMaxF64 = 64;

template <typename Sum>
using SimtKernel = void (*)(AttentionArgsCuda, DType, Sum);

template <typename T, typename Sum>
SimtKernel<Sum> KernelOf(int64_t dim_v) {
  if (dim_v <= 64) return &AttentionSimtKernel<T, Sum, 2>;
  if constexpr (std::is_same_v<T, double>) {
    return nullptr;  // bind refuses it
  } else {
    if (dim_v <= 128) return &AttentionSimtKernel<T, Sum, 4>;
    return &AttentionSimtKernel<T, Sum, 8>;
  }
}

template <typename T, typename Sum>
class AttentionSimt final : public BoundKernel {
 public:
  AttentionSimt(AttentionParams params, int64_t dim, int64_t dim_v)
      : params_(params), dim_(dim), dim_v_(dim_v), kernel_(KernelOf<T, Sum>(dim_v)) {}

  Status LoadOnDevice(Device& device) override {
    const int bytes = static_cast<int>(AttentionSimtSharedBytes(dim_, dim_v_, sizeof(Sum)));
    int shared_max = 0;
    FUSEE_CUDA_TRY(cudaDeviceGetAttribute(&shared_max, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                                          device.info().ordinal));
    if (bytes > shared_max)
      return FailedPrecondition("attention_simt_cuda: heads of " + std::to_string(dim_) +
                                " columns need " + std::to_string(bytes) +
                                " bytes of shared memory, " + device.info().name + " has " +
                                std::to_string(shared_max));
    FUSEE_CUDA_TRY(
        cudaFuncSetAttribute(kernel_, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    return OkStatus();
  }
  Status CheckShapes(const RunArgs& args) const override {
    int64_t blocks = 0;
    FUSEE_TRY(const AttentionArgsCuda a,
              MakeAttentionArgsCuda(params_, args, kSimtBlockRows, &blocks));
    if (a.dim > dim_ || a.dim_v > dim_v_)
      return OutOfRange("FusedAttention: heads of " + std::to_string(std::max(a.dim, a.dim_v)) +
                        " columns, above the profile's " + std::to_string(std::max(dim_, dim_v_)));
    return OkStatus();
  }
  Status Run(const RunArgs& args) const override {
    int64_t blocks = 0;
    FUSEE_TRY(const AttentionArgsCuda a,
              MakeAttentionArgsCuda(params_, args, kSimtBlockRows, &blocks));
    return cuda::Launch(kernel_, dim3(static_cast<unsigned>(blocks)), dim3(kSimtThreads),
                        static_cast<size_t>(AttentionSimtSharedBytes(a.dim, a.dim_v, sizeof(Sum))),
                        args.queue, a, params_.bias_dtype, static_cast<Sum>(params_.scale));
  }

 private:
  const AttentionParams params_;
  const int64_t dim_, dim_v_;
  const SimtKernel<Sum> kernel_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const AttentionParams params, ParseAttention(spec));
  const Shape& q = spec.inputs[0].max_shape;
  AttentionShape s;
  FUSEE_TRY(AttentionGeometry(params, q, params.packed ? q : spec.inputs[1].max_shape,
                              params.packed ? q : spec.inputs[2].max_shape, &s));
  const int64_t limit = params.dtype == DType::kF64 ? kDimMaxF64 : kDimMax;
  if (std::max(s.dim, s.dim_v) > limit)
    return RefuseTactic(spec, "takes heads of up to 256 columns, 64 in f64");
  std::unique_ptr<BoundKernel> kernel;
  switch (params.dtype) {
    case DType::kF16:
      kernel = std::make_unique<AttentionSimt<__half, float>>(params, s.dim, s.dim_v);
      break;
    case DType::kBF16:
      kernel = std::make_unique<AttentionSimt<__nv_bfloat16, float>>(params, s.dim, s.dim_v);
      break;
    case DType::kF32:
      kernel = std::make_unique<AttentionSimt<float, float>>(params, s.dim, s.dim_v);
      break;
    case DType::kF64:
      kernel = std::make_unique<AttentionSimt<double, double>>(params, s.dim, s.dim_v);
      break;
    default: return RefuseTactic(spec, "takes f32, f64, f16 and bf16");
  }
  return Result<std::unique_ptr<BoundKernel>>(std::move(kernel));
}

}  // namespace

extern const KernelDef attention_simt_cuda = {.id = "attention_simt_cuda.1",
                                              .op = "FusedAttention",
                                              .device = DeviceKind::kCuda,
                                              .bind = &Bind};

}  // namespace fusee::ops
