// Identity: a copy of the bytes, none where operand and result are one memory.
#include "ops/movement/pieces_cuda.cuh"
#include "ops/pointwise/elementwise.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) { return CheckSameShape("Identity", args); }

Status Run(const Params&, const RunArgs& args) {
  return LaunchCopyBytes(args.inputs[0].data, args.outputs[0].data, args.inputs[0].size_bytes(),
                         args.queue);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 1));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  return MakeKernel(Params{}, &Check, &Run);
}

}  // namespace

extern const KernelDef identity_cuda = {.id = "identity_cuda.1",
                                        .op = "Identity",
                                        .device = DeviceKind::kCuda,
                                        .in_place_inputs = 1,
                                        .bind = &Bind};

}  // namespace fusee::ops
