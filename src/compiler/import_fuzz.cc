// libFuzzer target: any bytes as a model through the importer, the passes and the choice of
// kernels. What imports must verify, before and after the passes.
#include <cstdlib>

#include "compiler/capability.h"
#include "compiler/import.h"
#include "compiler/select.h"
#include "onnx/model.h"
#include "onnx/mutator_test_util.h"
#include "passes/pass_manager.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fusee::onnx::MutateForFuzzer(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fusee;            // NOLINT: entry point of the room's own fuzzer
  using namespace fusee::compiler;  // NOLINT
  if (size > 1 << 16) return 0;     // bounds time and memory of one run
  onnx::Limits limits;
  limits.memory_slack_bytes = 1u << 20;
  const auto model = onnx::Parse(std::as_bytes(std::span(data, size)), limits);
  if (!model.ok()) return 0;
  const BuildOptions options;
  auto imported = Import(**model, options);
  const Capability capability = FindCapability(**model, options);
  if (capability.supported() && !imported.ok()) std::abort();
  if (!imported.ok()) return 0;
  if (!ir::Verify(*imported->graph).ok()) std::abort();
  if (!passes::RunPipeline(*imported->graph, {}, nullptr).ok()) return 0;
  if (!ir::Verify(*imported->graph).ok()) std::abort();
  (void)SelectKernels(*imported->graph, {});
  return 0;
}
