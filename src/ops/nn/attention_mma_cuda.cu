// Attention on tensor cores: f16 and bf16, heads of up to 128 columns, any number of queries and
// keys (attention_mma_cuda.cuh).
//
// Floor for BERT-base at 128 tokens (12 heads of 64): 0.6 MB and 50 MFLOP, below 0.3 us on an H200;
// expected are 3 to 4 us, of which 1 is the way of the first bytes and the rest the chain of two
// key tiles in each of 24 blocks. For long sequences mma.sync reaches about 350 TFLOP/s.
#include <algorithm>
#include <string>

#include "ops/nn/attention_mma_cuda.cuh"

namespace fusee::ops {
namespace {

constexpr int kDimMax = 128;

using AttentionKernel = void (*)(AttentionArgsCuda);

template <typename T, typename Bias>
AttentionKernel KernelOfDim(int dim) {
  if (dim <= 32) return &AttentionMmaKernel<T, Bias, 32>;
  if (dim <= 64) return &AttentionMmaKernel<T, Bias, 64>;
  if (dim <= 96) return &AttentionMmaKernel<T, Bias, 96>;
  return &AttentionMmaKernel<T, Bias, kDimMax>;
}

template <typename T>
AttentionKernel KernelOf(const AttentionParams& params, int dim) {
  if (params.bias_dtype == DType::kInvalid) return KernelOfDim<T, void>(dim);
  if (params.bias_dtype == DType::kF32) return KernelOfDim<T, float>(dim);
  return KernelOfDim<T, T>(dim);
}

class AttentionMma final : public BoundKernel {
 public:
  AttentionMma(AttentionParams params, int dim) : params_(params), dim_(dim) {
    kernel_ = params.dtype == DType::kF16 ? KernelOf<__half>(params, dim)
                                          : KernelOf<__nv_bfloat16>(params, dim);
  }

  Status LoadOnDevice(Device& device) override {
    FUSEE_CUDA_TRY(cudaFuncSetAttribute(kernel_, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        AttentionSharedBytes(dim_)));
    return OkStatus();
  }
  Status CheckShapes(const RunArgs& args) const override {
    int64_t blocks = 0;
    FUSEE_TRY(const AttentionArgsCuda a,
              MakeAttentionArgsCuda(params_, args, kAttentionRows, &blocks));
    if (std::max(a.dim, a.dim_v) > dim_)
      return OutOfRange("FusedAttention: heads of " + std::to_string(std::max(a.dim, a.dim_v)) +
                        " columns, above the profile's " + std::to_string(dim_));
    return OkStatus();
  }
  Status Run(const RunArgs& args) const override {
    int64_t blocks = 0;
    FUSEE_TRY(const AttentionArgsCuda a,
              MakeAttentionArgsCuda(params_, args, kAttentionRows, &blocks));
    return cuda::Launch(kernel_, dim3(static_cast<unsigned>(blocks)), dim3(kAttentionThreads),
                        static_cast<size_t>(AttentionSharedBytes(dim_)), args.queue, a);
  }

 private:
  const AttentionParams params_;
  const int dim_;  // of the kernel: dim and dim_v rounded up
  AttentionKernel kernel_ = nullptr;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const AttentionParams params, ParseAttention(spec));
  if (params.dtype != DType::kF16 && params.dtype != DType::kBF16)
    return RefuseTactic(spec, "takes f16 and bf16");
  if (params.bias_dtype != DType::kInvalid && params.bias_dtype != DType::kF32 &&
      params.bias_dtype != params.dtype)
    return RefuseTactic(spec, "takes a bias of q's type or f32");
  const Shape& q = spec.inputs[0].max_shape;
  AttentionShape s;
  FUSEE_TRY(AttentionGeometry(params, q, params.packed ? q : spec.inputs[1].max_shape,
                              params.packed ? q : spec.inputs[2].max_shape, &s));
  const int64_t dim = std::max(s.dim, s.dim_v);
  if (dim > kDimMax) return RefuseTactic(spec, "takes heads of up to 128 columns");
  return std::unique_ptr<BoundKernel>(
      std::make_unique<AttentionMma>(params, static_cast<int>((dim + 31) / 32 * 32)));
}

}  // namespace

extern const KernelDef attention_mma_cuda = {.id = "attention_mma_cuda.1",
                                             .op = "FusedAttention",
                                             .device = DeviceKind::kCuda,
                                             .compute_capability = 80,
                                             .bind = &Bind};

}  // namespace fusee::ops
