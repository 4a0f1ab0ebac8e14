#include "runtime/gpu_facts.h"

namespace fusee::runtime {

plan::GpuFacts FactsOf(const DeviceInfo& info) {
  plan::GpuFacts facts;
  facts.name = info.name;
  facts.compute_capability = info.compute_capability;
  facts.multiprocessors = info.multiprocessors;
  facts.driver_version = info.driver_version;
  facts.memory_bytes = info.memory_free_bytes;
  if (info.cublaslt_version != 0) facts.libraries.push_back({"cublaslt", info.cublaslt_version});
  if (info.cudnn_version != 0) facts.libraries.push_back({"cudnn", info.cudnn_version});
  return facts;
}

}  // namespace fusee::runtime
