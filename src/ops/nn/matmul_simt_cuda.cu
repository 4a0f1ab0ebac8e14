// MatMul and Gemm without tensor cores (matmul_simt_cuda.cuh): true f32, f64, integers, and halves
// on GPUs that lack the instructions of matmul_mma_cuda.
//
// Floor: 2 m n k operations at the device's rate for the type (f32 on an H200: 67 TFLOP/s);
// expected is 40 % of it for large f32 products, because each multiply-add of a tile of 128 x 64
// reads shared memory 3/8 times. Registers a thread (sm_90a): at most 128, no spills.
#include <algorithm>

#include "ops/nn/matmul_simt_cuda.cuh"

namespace fusee::ops {
namespace {

template <typename T>
using SimtKernel = void (*)(SimtArgs<T>);

template <typename T>
struct SimtTile {
  int rows, columns;
  SimtKernel<T> kernel;
};

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t TilesOf(int rows, int columns, const MatMulShape& s) {
  return s.batches * DivideUp(s.m, rows) * DivideUp(s.n, columns);
}

// The largest tile that occupies every multiprocessor; the smallest when none does.
template <typename T>
SimtTile<T> ChooseTile(const MatMulShape& s, int multiprocessors) {
  if constexpr (sizeof(typename SimtSumOf<T>::Type) == 4) {
    if (TilesOf(128, 64, s) >= multiprocessors) return {128, 64, &MatMulSimtKernel<T, 8, 4>};
  }
  if (TilesOf(64, 64, s) >= multiprocessors) return {64, 64, &MatMulSimtKernel<T, 4, 4>};
  return {32, 32, &MatMulSimtKernel<T, 2, 2>};
}

template <typename T>
class MatMulSimt final : public BoundKernel {
 public:
  explicit MatMulSimt(MatMulParams params) : params_(params) {}

  Status LoadOnDevice(Device& device) override {
    multiprocessors_ = std::max(device.info().multiprocessors, 1);
    // Asking for attributes loads the code.
    cudaFuncAttributes attributes;
    if constexpr (sizeof(typename SimtSumOf<T>::Type) == 4)
      FUSEE_CUDA_TRY(cudaFuncGetAttributes(&attributes, &MatMulSimtKernel<T, 8, 4>));
    FUSEE_CUDA_TRY(cudaFuncGetAttributes(&attributes, &MatMulSimtKernel<T, 4, 4>));
    FUSEE_CUDA_TRY(cudaFuncGetAttributes(&attributes, &MatMulSimtKernel<T, 2, 2>));
    return OkStatus();
  }
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckMatMulCuda(params_, args));
    MatMulShape s;
    FUSEE_TRY(MatMulGeometryCuda(params_, args, &s));
    const double blocks = static_cast<double>(s.batches) * static_cast<double>(DivideUp(s.m, 32)) *
                          static_cast<double>(DivideUp(s.n, 32));
    if (blocks > static_cast<double>(kCudaMatMulSizeMax))
      return OutOfRange("MatMul: the result has more tiles than one launch can have");
    return OkStatus();
  }
  Status Run(const RunArgs& args) const override {
    MatMulShape s;
    FUSEE_TRY(MatMulGeometryCuda(params_, args, &s));
    if (s.m == 0 || s.n == 0 || s.batches == 0) return OkStatus();
    const SimtTile<T> tile = ChooseTile<T>(s, multiprocessors_);
    SimtArgs<T> k;
    k.a = static_cast<const T*>(args.inputs[0].data);
    k.b = static_cast<const T*>(args.inputs[1].data);
    k.y = static_cast<T*>(args.outputs[0].data);
    k.m = static_cast<int>(s.m);
    k.n = static_cast<int>(s.n);
    k.k = static_cast<int>(s.k);
    k.tiles_m = static_cast<int>(DivideUp(s.m, tile.rows));
    k.tiles_n = static_cast<int>(DivideUp(s.n, tile.columns));
    k.a_row = s.a_row;
    k.a_col = s.a_col;
    k.b_row = s.b_row;
    k.b_col = s.b_col;
    k.a_by_rows = params_.trans_a;
    k.b_by_rows = params_.trans_b;
    k.batch = BatchStrides(s);
    k.epilogue = MakeEpilogueCuda<T>(params_, s, args, &k.vector_epilogue);
    k.alpha = params_.alpha;
    k.beta = params_.beta;
    return cuda::Launch(tile.kernel,
                        dim3(static_cast<unsigned>(TilesOf(tile.rows, tile.columns, s))),
                        dim3(kSimtGemmThreads), 0, args.queue, k);
  }

 private:
  const MatMulParams params_;
  int multiprocessors_ = 1;
};

template <typename T>
Result<std::unique_ptr<BoundKernel>> Make(const MatMulParams& params) {
  return std::unique_ptr<BoundKernel>(std::make_unique<MatMulSimt<T>>(params));
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const MatMulParams params, ParseMatMul(spec));
  bool same = spec.inputs[1].dtype == params.dtype && spec.outputs[0].dtype == params.dtype;
  if (spec.has_input(2)) same = same && spec.inputs[2].dtype == params.dtype;
  if (!same) return BadStep(spec, "b, c and the result should be of a's type");
  if (!IsFloat(params.dtype) && (params.alpha != 1 || params.beta != 1))
    return RefuseTactic(spec, "scales no integers");
  switch (params.dtype) {
    case DType::kF32: return Make<float>(params);
    case DType::kF16: return Make<__half>(params);
    case DType::kBF16: return Make<__nv_bfloat16>(params);
    case DType::kF64: return Make<double>(params);
    // Wrapping sums have the same bits with and without a sign.
    case DType::kI32:
    case DType::kU32: return Make<uint32_t>(params);
    case DType::kI64:
    case DType::kU64: return Make<uint64_t>(params);
    default: return RefuseTactic(spec, "takes no such type");
  }
}

}  // namespace

extern const KernelDef matmul_simt_cuda = {
    .id = "matmul_simt_cuda.1", .op = "MatMul", .device = DeviceKind::kCuda, .bind = &Bind};
extern const KernelDef gemm_simt_cuda = {
    .id = "gemm_simt_cuda.1", .op = "Gemm", .device = DeviceKind::kCuda, .bind = &Bind};

}  // namespace fusee::ops
