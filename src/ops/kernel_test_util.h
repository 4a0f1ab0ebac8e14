// Runs one kernel on given tensors, the way the runtime would: bind, CheckShapes, Run, workspace
// included. With FUSEE_TEST_DEVICE=cuda in the environment, operator tests run that device's
// kernels too, through the same calls.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ops/kernel.h"
#include "tensor/compare.h"

namespace fusee::ops {

// The device that FUSEE_TEST_DEVICE names, opened once with its module; null when it names none. A
// name that cannot be opened ends the program: a test that was asked for must not pass unrun.
struct DeviceUnderTest {
  const KernelLibrary* kernels = nullptr;
  Device* device = nullptr;
  DeviceQueue* queue = nullptr;
};
const DeviceUnderTest* TestDevice();

// True with FUSEE_TEST_BRIEF=1: fewer repetitions of the same, every path still taken. For
// sanitizers, under which a launch takes a hundred times as long.
bool TestsAreBrief();

// False with FUSEE_TEST_LIBRARIES=0: kernels that call a library are left out. For sanitizers,
// which take minutes to prepare each of the hundreds of kernels that a library brings.
bool TestsLibraries();

// KernelsFor(op), then the kernels of the device under test: what a test of an operator loops over.
std::vector<const KernelDef*> TacticsUnderTest(std::string_view op);

struct KernelCall {
  std::string_view op;
  Attrs attrs;
  std::vector<Tensor> inputs;                    // absent operands: Tensor()
  std::vector<std::pair<DType, Shape>> outputs;  // kInvalid: unwanted result
  std::vector<int64_t> dims;
  uint32_t constant_inputs = 0;        // bit i: operand i is a constant (may be packed)
  std::vector<std::byte> config = {};  // StepSpec::config
  int in_place = -1;                   // operand whose memory result 0 shares; -1: none
  // The most of each size that the step finds (RunArgs::counts); outputs have room for these. On
  // the CPU only.
  std::vector<int64_t> counts = {};
};

// Runs the kernel with this id, or an error (a refusal keeps its code kUnimplemented). Outputs are
// filled with 0xAB before, and guarded by canaries behind: an overrun is kInternal. found, when
// given, gets the sizes that the step found, which its results begin with.
Result<std::vector<Tensor>> RunKernel(std::string_view id, const KernelCall& call,
                                      Parallel* parallel = nullptr,
                                      std::vector<int64_t>* found = nullptr);

// Binds the step and checks its shapes as a loader would, without any data or device: ok when the
// kernel takes them.
Status TakesStep(const KernelDef& kernel, const KernelCall& call);

// Runs every tactic of call.op and compares each with the CPU's reference. Returns the ids
// that ran; an error names the tactic that differed. Tactics that refuse are skipped. `device`
// stands for the tolerance of the device under test where its elementary functions (powf, ...) are
// only within some units in the last place.
Result<std::vector<std::string_view>> CompareTactics(const KernelCall& call, double rtol,
                                                     double atol,
                                                     std::optional<Tolerance> device = {});

// The same over the configurations that the tactics of the device under test offer for this call,
// at most `limit` of each. Returns "id: configuration" of those that ran; none without such a
// device.
Result<std::vector<std::string>> CompareConfigurations(const KernelCall& call, double rtol,
                                                       double atol, size_t limit);

}  // namespace fusee::ops
