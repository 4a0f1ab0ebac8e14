// Copy and Reshape: the bytes of operand 0. Shape and Size: the operand's shape, which the host
// passes to the kernel; its data is not read.
#include "cuda/launch.cuh"
#include "ops/movement/copy_steps.h"
#include "ops/movement/pieces_cuda.cuh"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) { return CheckCopy(args); }

Status Run(const Params&, const RunArgs& args) {
  return LaunchCopyBytes(args.inputs[0].data, args.outputs[0].data, args.inputs[0].size_bytes(),
                         args.queue);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ReadCopy(spec));
  return MakeKernel(Params{}, Check, Run);
}

struct Numbers {
  int64_t value[kMaxRank];
};

__global__ void __launch_bounds__(kMaxRank)
    WriteKernel(int64_t* to, const __grid_constant__ Numbers numbers) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  to[threadIdx.x] = numbers.value[threadIdx.x];
}

Status RunShape(const ShapeParams& params, const RunArgs& args) {
  Numbers numbers{};
  for (int i = params.start; i < params.end; ++i)
    numbers.value[i - params.start] = args.inputs[0].shape[i];
  const int count = params.end - params.start;
  if (count == 0) return OkStatus();
  return cuda::Launch(&WriteKernel, dim3(1), dim3(static_cast<unsigned>(count)), 0, args.queue,
                      static_cast<int64_t*>(args.outputs[0].data), numbers);
}

Status CheckSizeOf(const Params&, const RunArgs& args) { return CheckSize(args); }

Status RunSize(const Params&, const RunArgs& args) {
  const Numbers numbers{{args.inputs[0].elements()}};
  return cuda::Launch(&WriteKernel, dim3(1), dim3(1), 0, args.queue,
                      static_cast<int64_t*>(args.outputs[0].data), numbers);
}

Result<std::unique_ptr<BoundKernel>> BindShape(const StepSpec& spec) {
  FUSEE_TRY(const ShapeParams params, ReadShape(spec));
  return MakeKernel(params, CheckShapeOf, RunShape);
}

Result<std::unique_ptr<BoundKernel>> BindSize(const StepSpec& spec) {
  FUSEE_TRY(ReadSize(spec));
  return MakeKernel(Params{}, CheckSizeOf, RunSize);
}

}  // namespace

extern const KernelDef copy_cuda = {
    .id = "copy_cuda.1", .op = "Copy", .device = DeviceKind::kCuda, .bind = Bind};
extern const KernelDef reshape_cuda = {
    .id = "reshape_cuda.1", .op = "Reshape", .device = DeviceKind::kCuda, .bind = Bind};
extern const KernelDef shape_cuda = {
    .id = "shape_cuda.1", .op = "Shape", .device = DeviceKind::kCuda, .bind = BindShape};
extern const KernelDef size_cuda = {
    .id = "size_cuda.1", .op = "Size", .device = DeviceKind::kCuda, .bind = BindSize};

}  // namespace fusee::ops
