// MatMul and Gemm through cuBLASLt: f32 (TF32 where the step allows it), f16 and bf16 with float
// sums; bias over columns, one added matrix of the result's shape, Relu and GELU in the library's
// epilogue.
//
// For steps of static shapes: the algorithm is a configuration, 64 bytes that the library of the
// same version takes back, checked when the plan is loaded. Without one there is no step: what the
// heuristic answers depends on the GPU that is asked, and a plan's bits must not. Nothing is
// created while running.
//
// Floor as in matmul_mma_cuda.cu. Measured on one H200, f16, the best of 8 heuristic answers, us:
// 128 x 768 x 768 3.5, 128 x 3072 x 768 4.9, 4096 x 3072 x 768 with GELU 32.5 (floor 24.5).
#include <algorithm>
#include <cstring>

#include "ops/nn/cublaslt_problem_cuda.h"
#include "ops/nn/cublaslt_rounding_cuda.h"

namespace fusee::ops {
namespace {

class MatMulCublasLt final : public BoundKernel {
 public:
  MatMulCublasLt(LtProblem problem, LtConfig config)
      : problem_(std::move(problem)), config_(config) {}

  size_t workspace_bytes() const override { return LtWorkspaceBytes(config_); }

  Status LoadOnDevice(Device& device) override {
    FUSEE_TRY(lt_, cuda::GetCublasLt());
    FUSEE_TRY(handle_, cuda::CublasLtHandle(device.info().ordinal));
    FUSEE_TRY(InitLtDescriptors(*lt_, problem_, &descriptors_));
    FUSEE_TRY(CheckLtAlgo(*lt_, handle_, descriptors_, config_));
    return WarmUp(device);
  }

  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckMatMul(problem_.params, args));
    MatMulShape s;
    FUSEE_TRY(MatMulGeometryCuda(problem_.params, args, &s));
    const MatMulShape& want = problem_.shape;
    const bool has_c = problem_.bias || problem_.added == 2;
    if (s.m != want.m || s.n != want.n || s.k != want.k || s.batches != want.batches ||
        s.batch_rank != want.batch_rank || s.a_batch[0] != want.a_batch[0] ||
        s.b_batch[0] != want.b_batch[0] || s.c_row != want.c_row || s.c_col != want.c_col ||
        args.has_input(2) != has_c || args.has_input(3) != (problem_.added == 3))
      return OutOfRange("matmul_cublaslt_cuda: runs the shapes it was bound with only");
    return OkStatus();
  }

  Status Run(const RunArgs& args) const override {
    const void* added = problem_.added == 0 ? nullptr : args.inputs[problem_.added].data;
    return Enqueue(args.inputs[0].data, args.inputs[1].data,
                   problem_.bias ? args.inputs[2].data : nullptr, added, args.outputs[0].data,
                   args.workspace.data(), args.queue);
  }

 private:
  Status Enqueue(const void* a, const void* b, const void* bias, const void* added, void* y,
                 void* workspace, void* queue) const {
    LtDescriptors d = descriptors_;
    workspace = config_.workspace_bytes == 0 ? nullptr : AlignedLtWorkspace(workspace);
    if (problem_.bias)
      FUSEE_CUBLASLT_TRY(
          lt_->desc_set(&d.matmul, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias)));
    const float alpha = static_cast<float>(problem_.params.alpha);
    const cublasStatus_t status =
        lt_->matmul(handle_, &d.matmul, &alpha, b, &d.a, a, &d.b, &problem_.beta,
                    added != nullptr ? added : y, &d.c, y, &d.d, &config_.algo, workspace,
                    static_cast<size_t>(config_.workspace_bytes), static_cast<cudaStream_t>(queue));
    return cuda::ToStatus(status, "cublasLtMatmul");
  }

  // One run over scratch memory: the library loads its kernels at their first use, which must not
  // be a request's, and says only then what the descriptors cannot tell it. So addresses have the
  // alignment that a plan gives and no more, and the result is its own C where nothing is added, as
  // in Run.
  Status WarmUp(Device& device) const {
    const MatMulShape& s = problem_.shape;
    const int64_t bytes = BytesPerElement(problem_.params.dtype);
    const int64_t batches = s.batch_rank > 0 ? s.batches : 1;
    const int64_t from = std::max({batches * s.m * s.k, batches * s.k * s.n, batches * s.m * s.n});
    const auto scratch = [&](int64_t size) {
      return device.Allocate(static_cast<size_t>(size) + kTensorAlignment);
    };
    const auto start = [](const DeviceMemory& memory) {
      return static_cast<std::byte*>(memory.device_data()) + kTensorAlignment;
    };
    FUSEE_TRY(auto in, scratch(from * bytes));
    FUSEE_TRY(auto out, scratch(batches * s.m * s.n * bytes));
    FUSEE_TRY(auto workspace, scratch(static_cast<int64_t>(LtWorkspaceBytes(config_))));
    FUSEE_TRY(auto queue, device.CreateQueue());
    FUSEE_TRY(queue->Fill(in->device_data(), 0, in->size()));
    FUSEE_TRY(Enqueue(start(*in), start(*in), start(*in),
                      problem_.added == 0 ? nullptr : start(*in), start(*out), start(*workspace),
                      queue->native()));
    return queue->Synchronize();
  }

  const LtProblem problem_;
  const LtConfig config_;
  const cuda::CublasLt* lt_ = nullptr;
  cublasLtHandle_t handle_ = nullptr;
  LtDescriptors descriptors_ = {};
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(LtProblem problem, MakeLtProblem(spec));
  if (spec.config.empty())
    return RefuseTactic(spec, "runs only with an algorithm that the tuner chose");
  FUSEE_TRY(const LtConfig config, ReadLtConfig(spec, problem));
  return std::unique_ptr<BoundKernel>(std::make_unique<MatMulCublasLt>(std::move(problem), config));
}

Result<std::vector<Configuration>> Configurations(const StepSpec& spec, Device& device) {
  FUSEE_TRY(const LtProblem problem, MakeLtProblem(spec));
  if (problem.params.activation.kind == ActivationKind::kGelu &&
      problem.params.dtype == DType::kF32)
    return RefuseTactic(spec, "has only GELU's tanh form, which differs from erf's in f32");
  FUSEE_TRY(const cuda::CublasLt* lt, cuda::GetCublasLt());
  FUSEE_TRY(cublasLtHandle_t handle, cuda::CublasLtHandle(device.info().ordinal));
  FUSEE_TRY(std::vector<Configuration> list, LtConfigurations(*lt, handle, problem));
  if (list.empty()) return RefuseTactic(spec, "cuBLASLt has no algorithm for it");
  FUSEE_TRY(list, KeepFloatSums(spec, problem, device, std::move(list)));
  if (list.empty())
    return RefuseTactic(spec, "every algorithm of cuBLASLt rounds the sum before the epilogue");
  return list;
}

}  // namespace

extern const KernelDef matmul_cublaslt_cuda = {.id = "matmul_cublaslt_cuda.1",
                                               .op = "MatMul",
                                               .device = DeviceKind::kCuda,
                                               .batch_invariant = false,
                                               .bind = &Bind,
                                               .configurations = &Configurations,
                                               .library = "cublaslt"};
extern const KernelDef gemm_cublaslt_cuda = {.id = "gemm_cublaslt_cuda.1",
                                             .op = "Gemm",
                                             .device = DeviceKind::kCuda,
                                             .batch_invariant = false,
                                             .bind = &Bind,
                                             .configurations = &Configurations,
                                             .library = "cublaslt"};

}  // namespace fusee::ops
