// The one symbol that libfusee_cuda.so exports, and the table of its kernels.
#include "ops/module.h"
#include "cuda/cuda_device.h"

namespace fusee::ops {

#define FUSEE_TACTIC(name)
#define FUSEE_CUDA_TACTIC(name) extern const KernelDef name;
#include "ops/movement/tactics.inc"
#include "ops/nn/tactics.inc"
#include "ops/norm/tactics.inc"
#include "ops/pointwise/tactics.inc"
#include "ops/quant/tactics.inc"
#include "ops/recurrent/tactics.inc"
#include "ops/reduce/tactics.inc"
#include "ops/vision/tactics.inc"
#undef FUSEE_CUDA_TACTIC

namespace {

const KernelLibrary& CudaKernels() {
  static const KernelLibrary* const library = new KernelLibrary({
#define FUSEE_CUDA_TACTIC(name) &name,
#include "ops/movement/tactics.inc"
#include "ops/nn/tactics.inc"
#include "ops/norm/tactics.inc"
#include "ops/pointwise/tactics.inc"
#include "ops/quant/tactics.inc"
#include "ops/recurrent/tactics.inc"
#include "ops/reduce/tactics.inc"
#include "ops/vision/tactics.inc"
#undef FUSEE_CUDA_TACTIC
#undef FUSEE_TACTIC
  });
  return *library;
}

}  // namespace
}  // namespace fusee::ops

extern "C" __attribute__((visibility("default"))) const fusee::ops::DeviceModule*
fusee_device_module() {
  static const fusee::ops::DeviceModule module = {
      .build_id = FUSEE_MODULE_BUILD_ID,
      .kind = fusee::DeviceKind::kCuda,
      .kernels = &fusee::ops::CudaKernels(),
      .device_count = &fusee::cuda::DeviceCount,
      .open = &fusee::cuda::OpenDevice,
  };
  return &module;
}
